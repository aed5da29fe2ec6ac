/// What goes through a device, cut into blocks by the clock.
///
/// A device has its own idea of how long a second is. Here a block holds what it played or recorded in just that time: the
/// sound is read a little faster or slower than it came, as far as the device is off, which nobody hears.
package struct ClockedReader {
  /// The samples of the last block.
  package private(set) var block: [Float]

  private let rate: Int
  private let start: Int64
  private let shift: Double
  /// The device's frames to a frame here, if it were right.
  private let nominalStep: Double
  private var track: SoundTrack
  private var blocks = 0
  /// The device's frame at which the next block begins.
  private var place: Double
  private var correction: Double = 0

  /// A device that is further off than this has jumped, which no change of rate makes good.
  private static let widest = 0.01

  /// - Parameters:
  ///   - deviceRate: at which the device counts.
  ///   - rate: of the blocks.
  ///   - frames: in a block.
  ///   - shift: by how many of its frames the device counts too late, as one that records does by its latency; negative if
  ///     it counts too early, as one that plays does.
  ///   - start: when the device was started, nanoseconds.
  package init(from deviceRate: Int, to rate: Int, block frames: Int, shift: Int, start: Int64) {
    (self.rate, self.start, self.shift) = (rate, start, Double(shift))
    nominalStep = Double(deviceRate) / Double(rate)
    track = SoundTrack(rate: deviceRate, readAt: rate)
    block = [Float](repeating: 0, count: frames)
    place = Double(shift)
  }

  /// Samples that were added, or left out if negative, because the device is not quite as fast as it says.
  package var corrected: Int { Int(-correction.rounded()) }
  /// Frames of the device that have come.
  package var end: Int { track.end }
  /// How much of the device's sound a block needs beyond its end, frames.
  package var reach: Int { track.reach }

  package mutating func append(_ samples: UnsafeBufferPointer<Float>) { track.append(samples) }
  package mutating func appendSilence(_ frames: Int) { track.appendSilence(frames) }

  /// Fills ``block`` with the next one, if its time has come and all that is in it.
  ///
  /// - Returns: when it begins, nanoseconds since the start.
  package mutating func next(by now: Int64, _ clock: DeviceClock) -> Int64? {
    let time = time(of: blocks)
    guard start + time <= now else { return nil }
    let (from, end, step) = stretch(clock)
    guard track.covers(from + Double(block.count - 1) * step) else { return nil }
    read(from, end, step)
    return time
  }

  /// Fills the beginning of ``block`` with what is left when no more will come.
  ///
  /// - Returns: when it begins, and how many samples there are; nil if there are none.
  package mutating func rest(_ clock: DeviceClock) -> (time: Int64, count: Int)? {
    let time = time(of: blocks)
    let (from, end, step) = stretch(clock)
    let count = min(block.count, Int(((Double(track.end) - from) / step).rounded(.up)))
    guard count > 0 else { return nil }
    read(from, end, step)
    return (time, count)
  }

  private func time(of block: Int) -> Int64 { Int64(block * self.block.count) * 1_000_000_000 / Int64(rate) }

  /// Where the next block is, in the device's frames.
  private func stretch(_ clock: DeviceClock) -> (from: Double, end: Double, step: Double) {
    let end = clock.frames(at: start + time(of: blocks + 1)) + shift
    let step = (end - place) / Double(block.count)
    if abs(step - nominalStep) <= nominalStep * Self.widest { return (place, end, step) }
    return (end - nominalStep * Double(block.count), end, nominalStep)
  }

  private mutating func read(_ from: Double, _ end: Double, _ step: Double) {
    track.read(into: &block, count: block.count, from: from, step: step)
    correction += (step / nominalStep - 1) * Double(block.count)
    place = end
    blocks += 1
    track.forget(before: place)
  }
}
