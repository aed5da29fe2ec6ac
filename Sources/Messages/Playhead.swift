public import Dataflow

/// How far a device has come with the sound that it was given in a session.
///
/// Type `playhead`. Fields: frames (u64), rate (u32), underruns (u32).
public struct Playhead: Message, Equatable {
  public static let typeName = "playhead"

  /// Frames of what it was given that have left the device. Silence that it played of its own accord does not count.
  public let frames: Int
  /// Frames per second.
  public let rate: Int
  /// How often it ran out of sound in the middle of something.
  public let underruns: Int

  public init(frames: Int, rate: Int, underruns: Int = 0) {
    (self.frames, self.rate, self.underruns) = (frames, rate, underruns)
  }

  public var type: PortType { .playhead }

  public func encode(into encoder: inout MessageEncoder) {
    encoder.put(UInt64(frames))
    encoder.put(UInt32(rate))
    encoder.put(UInt32(clamping: underruns))
  }

  public init(from decoder: inout MessageDecoder) throws(MessageCodingError) {
    let (frames, rate) = (try decoder.take(UInt64.self), try decoder.take(UInt32.self))
    guard frames < 1 << 48, (1...1_000_000).contains(rate) else {
      throw MessageCodingError("a playhead at frame \(frames) at \(rate) Hz")
    }
    self.init(frames: Int(frames), rate: Int(rate), underruns: Int(try decoder.take(UInt32.self)))
  }
}

extension PortType {
  public static let playhead = PortType(Playhead.typeName)
}
