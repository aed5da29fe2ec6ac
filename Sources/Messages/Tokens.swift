public import Dataflow

/// Token ids, in order.
///
/// Type `tokens[vocabulary=V]`, where V names the tokenizer whose ids they are. Fields: V (text). Buffer: int32 [count].
public struct Tokens: Message, Equatable {
  public static let typeName = "tokens"

  public let ids: SharedBuffer<Int32>
  /// The tokenizer that gives the ids their meaning, for example `smollm2`.
  public let vocabulary: String

  public init(_ ids: some Collection<Int32>, vocabulary: String) {
    self.ids = SharedBuffer(ids)
    self.vocabulary = vocabulary
  }

  public var type: PortType { .tokens(vocabulary: vocabulary) }

  public func encode(into encoder: inout MessageEncoder) {
    encoder.put(vocabulary)
    encoder.put(ids)
  }

  public init(from decoder: inout MessageDecoder) throws(MessageCodingError) {
    vocabulary = try decoder.takeString()
    ids = try decoder.takeVector(of: Int32.self)
  }
}

extension PortType {
  public static func tokens(vocabulary: String? = nil) -> PortType {
    PortType(Tokens.typeName, vocabulary.map { ["vocabulary": .word($0)] } ?? [:])
  }
}

extension Tokens {
  /// The vocabulary's name for a model that is given by name, folder or file: its last part, as a word of a type.
  public static func vocabulary(ofModel model: String) -> String {
    let last = model.split(separator: "/").last ?? ""
    let stem = last.hasSuffix(".gguf") ? last.dropLast(5) : last
    let word = stem.lowercased().prefix(64).map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" }
    return word.isEmpty ? "unknown" : String(word)
  }
}
