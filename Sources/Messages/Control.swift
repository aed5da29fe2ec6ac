public import Dataflow

/// A named event with a text, for what is neither sound nor text: a detector's verdict, a meter's reading.
///
/// Type `control`. Fields: name (text), detail (text).
public struct Control: Message, Equatable {
  public static let typeName = "control"

  public let name: String
  public let detail: String

  public init(_ name: String, detail: String = "") {
    self.name = name
    self.detail = detail
  }

  public var type: PortType { PortType(Self.typeName) }

  public func encode(into encoder: inout MessageEncoder) {
    encoder.put(name)
    encoder.put(detail)
  }

  public init(from decoder: inout MessageDecoder) throws(MessageCodingError) {
    name = try decoder.takeString()
    detail = try decoder.takeString()
  }
}
