public import Dataflow
public import Messages
internal import ModelKit

/// Puts what was said into the form in which a chat model was taught to be asked.
///
/// A turn in which nothing was said (noise that Whisper made no words of) gets no prompt: it ends, and nobody answers.
public struct ChatPromptNode: Node {
  public static let kind = "chat-prompt"
  public static let summary = "Turns text into a chat model's prompt (ChatML), with a system prompt."

  public struct Parameters: NodeParameters {
    public let model: String
    public let system: String
    public init(_ read: inout ParameterReader) {
      model = read.model(
        "model", default: "smollm2-135m-instruct",
        help: "The model whose tokenizer is used: its name in the model cache, its folder or its file.")
      system = read(
        "system", default: ChatPromptNode.spokenAnswers,
        help: "What the model is told before the question; empty for nothing.")
    }
  }

  public struct Ports: PortSet {
    public let text: Input<Text>
    public let tokens: Output<Tokens>
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      text = bind.input("text", help: "What was said, in any number of pieces; the turn's end completes it.")
      tokens = bind.output(
        "tokens", type: .tokens(vocabulary: Tokens.vocabulary(ofModel: parameters.model)),
        help: "The prompt, whole, up to where the answer begins.")
    }
  }

  /// Made for answers that are listened to.
  public static let spokenAnswers =
    "You are a helpful voice assistant. Answer in one or two short, plain sentences."

  private let parameters: Parameters
  private let context: NodeContext
  private let tokenizer: Tokenizer
  private var texts: [Turn: Received<Text>] = [:]

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    tokenizer = try ModelStore.shared.causalLM(at: ModelFolder.path(parameters.model)).tokenizer
  }

  public mutating func run(_ ports: Ports) async throws {
    for try await event in ports.text.events {
      switch event {
      case .message(let piece):
        let before = texts[piece.turn]
        texts[piece.turn] = Received(
          Text((before?.value.string ?? "") + piece.value.string), turn: piece.turn, stamp: before?.stamp ?? piece.stamp
        )
      case .turnEnded(let turn):
        guard let said = texts.removeValue(forKey: turn) else { continue }
        let words = said.value.string.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        guard !words.isEmpty else { continue }
        var messages = [ChatMessage(.user, words)]
        if !parameters.system.isEmpty { messages.insert(ChatMessage(.system, parameters.system), at: 0) }
        let prompt = try ChatTemplate.encode(messages, with: tokenizer)
        let vocabulary = Tokens.vocabulary(ofModel: parameters.model)
        try await ports.tokens.send(Tokens(prompt, vocabulary: vocabulary), following: said)
      case .turnCut(let cut):
        texts = texts.filter { $0.key.session != cut.session || $0.key.epoch > cut.epoch }
      case .sessionEnded(let session): texts = texts.filter { $0.key.session != session }
      case .sessionBegan: break
      }
    }
  }
}
