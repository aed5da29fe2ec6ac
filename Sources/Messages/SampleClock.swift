public import Dataflow

/// Tells where in its session a sample of a stream lies, by the stamps of the chunks that it came in.
public struct SampleClock: Sendable {
  /// Samples that have come.
  public private(set) var position = 0
  private let rate: Int
  /// Session time of the first sample, as the last chunk's stamp has it: so neither rounding nor a device's drift adds up.
  private var origin: Int64 = 0

  /// - Parameter rate: samples a second of every chunk.
  public init(rate: Int) { self.rate = rate }

  /// Takes a chunk down, before or after its samples are worked on.
  ///
  /// - Returns: the position of its first sample.
  @discardableResult
  public mutating func take(_ chunk: Received<AudioChunk>) -> Int {
    let first = position
    origin = chunk.stamp.time - length(first)
    position += chunk.value.frames
    return first
  }

  /// Nanoseconds of session time, none before its beginning.
  public func time(of position: Int) -> Int64 { max(0, origin + length(position)) }

  private func length(_ samples: Int) -> Int64 {
    // In two steps, since a day of nanoseconds times a rate overflows.
    let (seconds, rest) = samples.quotientAndRemainder(dividingBy: rate)
    return Int64(seconds) * 1_000_000_000 + Int64(rest) * 1_000_000_000 / Int64(rate)
  }
}
