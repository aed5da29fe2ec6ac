public import Dataflow

/// A piece of text. The pieces of a turn, joined as they are, make the whole.
///
/// Type `text`. Fields: the text.
public struct Text: Message, Equatable {
  public static let typeName = "text"

  public let string: String

  public init(_ string: String) { self.string = string }

  public var type: PortType { .text }

  public func encode(into encoder: inout MessageEncoder) { encoder.put(string) }

  public init(from decoder: inout MessageDecoder) throws(MessageCodingError) {
    string = try decoder.takeString()
  }
}

extension PortType {
  public static let text = PortType(Text.typeName)
}
