internal import Sound

/// Sound at a codec's rate, as far as it is known: what comes in is heard 16 of its samples later, and nothing shifts.
///
/// The result depends on the sound alone, to the last bit, whatever the pieces.
struct CodecSound {
  private var track: SoundTrack
  /// The fewest samples of either rate that last equally long.
  private let before: Int
  private let after: Int
  private var groups = 0
  private var group: [Float]
  /// What goes in at once, cleaned, and what comes out at once.
  private var piece: [Float] = []
  private var known: [Float] = []

  private static let mostAtOnce = 1_024

  init(from rate: Int, to target: Int) {
    track = SoundTrack(rate: rate, readAt: target)
    var (a, b) = (rate, target)
    while b != 0 { (a, b) = (b, a % b) }
    (before, after) = (rate / max(1, a), target / max(1, a))
    group = [Float](repeating: 0, count: after)
    piece.reserveCapacity(Self.mostAtOnce)
    known.reserveCapacity((Self.mostAtOnce / before + 2) * after)
  }

  /// Takes more of the sound.
  ///
  /// - Parameters:
  ///   - sound: full scale at ±1; what is no number is silence, what is beyond is cut.
  ///   - body: gets the samples that have become known.
  mutating func push(
    _ sound: UnsafeBufferPointer<Float>, _ body: (UnsafeBufferPointer<Float>) throws -> Void
  ) rethrows {
    for first in stride(from: 0, to: sound.count, by: Self.mostAtOnce) {
      piece.removeAll(keepingCapacity: true)
      for sample in sound[first..<min(first + Self.mostAtOnce, sound.count)] {
        piece.append(sample.isFinite ? min(max(sample, -1), 1) : 0)
      }
      piece.withUnsafeBufferPointer { track.append($0) }
      known.removeAll(keepingCapacity: true)
      let step = Double(before) / Double(after)
      while track.covers(Double(groups * before) + Double(after - 1) * step) {
        // From a whole sample each time, so that rounding does not depend on how the sound came.
        track.read(into: &group, count: after, from: Double(groups * before), step: step)
        known.append(contentsOf: group)
        groups += 1
      }
      track.forget(before: Double(groups * before))
      try known.withUnsafeBufferPointer(body)
    }
  }
}
