public import Dataflow

/// Sound of a session laid out by session time, for those who need what another stream held at a given moment: written
/// where its stamps say, read anywhere. What is not there is silence, and counted.
///
/// It holds the last few seconds. Nothing in it waits: a reader who is ahead of the writer reads silence.
public struct AlignedSound: Sendable {
  /// Samples that have been written, and those that were silence because the stamps left a hole.
  public private(set) var written = 0
  public private(set) var gaps = 0
  /// Samples that came too late: where others were already, or before the oldest that is held.
  public private(set) var late = 0

  private let rate: Int
  private var ring: [Float]
  /// Positions that the ring holds: samples since the session began. Empty until something is written.
  private var held = 0..<0
  /// The first position that was ever written.
  private var begin = Int.max

  /// Stamps this many milliseconds from where the stream goes on are taken to mean that it goes on.
  private static let slack = 2

  /// - Parameters:
  ///   - rate: samples a second, of one channel.
  ///   - seconds: how much of the past is held.
  public init(rate: Int, seconds: Int) {
    self.rate = rate
    ring = [Float](repeating: 0, count: max(1, rate * seconds))
  }

  /// Whether anything has been written.
  public var hasBegun: Bool { written > 0 }

  /// The position behind the last sample that has been written.
  public var end: Int { held.upperBound }

  /// The position of a moment of session time, in nanoseconds; the nearest sample's.
  public func position(of time: Int64) -> Int {
    var (seconds, rest) = time.quotientAndRemainder(dividingBy: 1_000_000_000)
    // Before the session's beginning, too, the nearest one.
    if rest < 0 { (seconds, rest) = (seconds - 1, rest + 1_000_000_000) }
    return Int(seconds) * rate + Int((rest * Int64(rate) + 500_000_000) / 1_000_000_000)
  }

  /// Lays a chunk down where its stamp says.
  public mutating func write(_ chunk: Received<AudioChunk>) {
    // A stamp is anybody's number: none is so large that sums of it overflow.
    let limit: Int64 = 1 << 60
    write(chunk.value.samples, at: position(of: min(max(chunk.stamp.time, 0), limit)))
  }

  /// Lays samples down from a position on.
  public mutating func write(_ samples: some Collection<Float>, at position: Int) {
    guard !samples.isEmpty else { return }
    var start = position
    if !hasBegun {
      held = start..<start
      begin = start
    } else if abs(start - held.upperBound) <= rate * Self.slack / 1_000 {
      start = held.upperBound
    }
    if start > held.upperBound { fill(through: start) }
    let skipped = min(samples.count, held.upperBound - start)
    late += skipped
    for sample in samples.dropFirst(skipped) { append(sample.isFinite ? sample : 0) }
    written += samples.count
  }

  /// Silence up to a position.
  private mutating func fill(through position: Int) {
    gaps += position - held.upperBound
    if position - held.upperBound >= ring.count {
      for index in ring.indices { ring[index] = 0 }
      held = position - ring.count..<position
    } else {
      while held.upperBound < position { append(0) }
    }
  }

  private mutating func append(_ sample: Float) {
    ring[held.upperBound % ring.count] = sample
    held = max(held.lowerBound, held.upperBound + 1 - ring.count)..<held.upperBound + 1
  }

  /// Reads from a position on.
  ///
  /// - Returns: how many samples were not there and are silence; before the stream's beginning silence is what was there.
  public func read(at position: Int, into out: UnsafeMutableBufferPointer<Float>) -> Int {
    var missing = 0
    for index in out.indices {
      let place = position + index
      if held.contains(place) {
        out[index] = ring[place % ring.count]
      } else {
        out[index] = 0
        if place >= begin { missing += 1 }
      }
    }
    return missing
  }
}
