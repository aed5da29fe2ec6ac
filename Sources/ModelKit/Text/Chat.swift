/// One turn of a dialogue.
public struct ChatMessage: Sendable, Equatable {
  public enum Role: String, Sendable { case system, user, assistant }

  public var role: Role
  public var text: String

  public init(_ role: Role, _ text: String) {
    self.role = role
    self.text = text
  }
}

/// The ChatML form that SmolLM2 and Qwen2 were trained on: `<|im_start|>role`, a line break, the text, `<|im_end|>`.
///
/// Only the template's own marks become special tokens: a user who says them cannot end a turn.
public enum ChatTemplate {
  /// The tokens of `messages`, then, for the model to answer, the opening of an assistant's turn.
  ///
  /// - Throws: ``ModelInputError`` when the tokenizer lacks ChatML's tokens.
  public static func encode(
    _ messages: [ChatMessage], with tokenizer: Tokenizer, openingAnswer: Bool = true
  ) throws(ModelInputError) -> [Int32] {
    guard let start = tokenizer.token(named: "<|im_start|>") else { throw .missingSpecialToken("<|im_start|>") }
    guard let end = tokenizer.token(named: "<|im_end|>") else { throw .missingSpecialToken("<|im_end|>") }
    var tokens: [Int32] = []
    for message in messages {
      tokens.append(start)
      tokens += tokenizer.encode("\(message.role.rawValue)\n\(message.text)")
      tokens.append(end)
      tokens += tokenizer.encode("\n")
    }
    if openingAnswer { tokens += [start] + tokenizer.encode("assistant\n") }
    return tokens
  }
}
