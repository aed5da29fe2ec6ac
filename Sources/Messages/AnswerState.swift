public import Dataflow

/// How the answer to a turn is getting on where it is played, and what has been heard of it.
///
/// It belongs to the session as a whole (epoch 0) and names the turn, so that it also arrives when the turn was cut.
///
/// Type `answer-state`. Fields: phase (u8: 1 speaking, 2 paused, 3 finished, 4 cut), epoch (u32), played (i64), heard
/// (text).
public struct AnswerState: Message, Equatable {
  public static let typeName = "answer-state"

  public enum Phase: UInt8, Sendable {
    /// It began to sound, or goes on after a pause.
    case speaking = 1
    /// It is held back, and may go on.
    case paused = 2
    /// All of it has been played. A turn with nothing to play finishes, too.
    case finished = 3
    /// It was interrupted: nothing more of it will be heard.
    case cut = 4
  }

  public let phase: Phase
  /// The turn.
  public let epoch: UInt32
  /// Nanoseconds of the turn's audio that have been played.
  public let played: Int64
  /// What it says up to there, as far as it is known.
  public let heard: String

  public init(_ phase: Phase, epoch: UInt32, played: Int64, heard: String) {
    (self.phase, self.epoch, self.played, self.heard) = (phase, epoch, played, heard)
  }

  public var type: PortType { .answerState }

  public func encode(into encoder: inout MessageEncoder) {
    encoder.put(phase.rawValue)
    encoder.put(epoch)
    encoder.put(played)
    encoder.put(heard)
  }

  public init(from decoder: inout MessageDecoder) throws(MessageCodingError) {
    let number = try decoder.take(UInt8.self)
    guard let phase = Phase(rawValue: number) else { throw MessageCodingError("an answer in phase \(number)") }
    let (epoch, played) = (try decoder.take(UInt32.self), try decoder.take(Int64.self))
    guard played >= 0 else { throw MessageCodingError("an answer of which \(played) ns have been played") }
    self.init(phase, epoch: epoch, played: played, heard: try decoder.takeString())
  }
}

extension PortType {
  public static let answerState = PortType(AnswerState.typeName)
}
