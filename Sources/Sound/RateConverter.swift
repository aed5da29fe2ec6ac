/// Changes the rate of sound that is made as it is needed: so many frames in, so many frames out.
///
/// What comes out is late by ``delay`` frames, which is what the filter has to know in advance. Between equal rates nothing
/// is changed and nothing late.
package struct RateConverter {
  /// By how much the output is late, frames at its own rate.
  package let delay: Int

  private var track: SoundTrack
  private let step: Double
  private var place: Double

  package init(from rate: Int, to target: Int) {
    track = SoundTrack(rate: rate, readAt: target)
    step = Double(rate) / Double(target)
    if rate == target {
      (delay, place) = (0, 0)
    } else {
      // One frame more, since blocks of the two rates need not end at the same moment.
      let lead = Double(track.reach + 2)
      delay = Int((lead / step).rounded(.up))
      place = -Double(delay) * step
    }
  }

  package mutating func push(_ block: UnsafeBufferPointer<Float>) { track.append(block) }

  /// Fills the first `count` of `target`.
  package mutating func pull(into target: inout [Float], count: Int) {
    track.read(into: &target, count: count, from: place, step: step)
    place += Double(count) * step
    track.forget(before: place)
  }
}
