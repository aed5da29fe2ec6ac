public import Dataflow

/// What a detector heard in a session's sound: a spoken command, or that somebody speaks at all.
///
/// Type `detection`. Fields: kind (u8: 1 command, 2 speech), start (i64), end (i64), score (f32), label (text).
public struct Detection: Message, Equatable {
  public static let typeName = "detection"

  public enum Kind: UInt8, Sendable {
    /// One of a set of commands.
    case command = 1
    /// Speech that has gone on for a while.
    case speech = 2
  }

  public let kind: Kind
  /// The command as it was configured, or `irq` where a detector does not tell its commands apart; `speech` for speech.
  public let label: String
  /// Where it begins and ends in the sound, nanoseconds since the session began. What somebody still says has no end yet:
  /// then it is how far the sound has been heard.
  public let start: Int64
  public let end: Int64
  /// How sure the detector is, 0 to 1.
  public let score: Float

  public init(_ kind: Kind, label: String, start: Int64, end: Int64, score: Float) {
    (self.kind, self.label) = (kind, label)
    (self.start, self.end) = (start, end)
    self.score = score
  }

  public var type: PortType { .detection }

  public func encode(into encoder: inout MessageEncoder) {
    encoder.put(kind.rawValue)
    encoder.put(start)
    encoder.put(end)
    encoder.put(score)
    encoder.put(label)
  }

  public init(from decoder: inout MessageDecoder) throws(MessageCodingError) {
    let number = try decoder.take(UInt8.self)
    guard let kind = Kind(rawValue: number) else { throw MessageCodingError("a detection of kind \(number)") }
    let (start, end) = (try decoder.take(Int64.self), try decoder.take(Int64.self))
    let score = try decoder.takeFloat()
    guard start >= 0, start <= end, (0...1).contains(score) else {
      throw MessageCodingError("a detection from \(start) to \(end) ns with score \(score)")
    }
    self.init(kind, label: try decoder.takeString(), start: start, end: end, score: score)
  }
}

extension PortType {
  public static let detection = PortType(Detection.typeName)
}
