/// What goes through a device, cut into blocks by the clock.
///
/// A device has its own idea of how long a second is. Here a block holds what it played or recorded in just that time: the
/// sound is read a little faster or slower than it came, as far as the device is off, which nobody hears.
package struct ClockedReader {
  /// The samples of the last block.
  package private(set) var block: [Float]

  private let rate: Int
  private let start: Int64
  /// The device's frames to a frame here, if it were right.
  private let nominalStep: Double
  private var track: SoundTrack
  private var blocks = 0
  /// The device's frame at which the next block begins.
  private var place: Double = 0
  private var correction: Double = 0

  /// Half a second to make good what the device is off, by a change of rate of a thousandth at most: nobody hears it.
  private static let (slowness, widest) = (0.5, 0.001)
  /// What is off by more seconds is made good at once: very little at first, when hardly anything is known of the device.
  private static let (firstPatience, patience) = (0.002, 0.03)

  /// - Parameters:
  ///   - deviceRate: at which the device counts.
  ///   - rate: of the blocks.
  ///   - frames: in a block.
  ///   - start: when the device was at its frame 0, nanoseconds.
  package init(from deviceRate: Int, to rate: Int, block frames: Int, start: Int64) {
    (self.rate, self.start) = (rate, start)
    nominalStep = Double(deviceRate) / Double(rate)
    track = SoundTrack(rate: deviceRate, readAt: rate)
    block = [Float](repeating: 0, count: frames)
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
    let (from, step) = stretch(clock)
    guard track.covers(from + Double(block.count - 1) * step) else { return nil }
    read(from, step)
    return time
  }

  /// Fills the beginning of ``block`` with what is left when no more will come.
  ///
  /// - Returns: when it begins, and how many samples there are; nil if there are none.
  package mutating func rest(_ clock: DeviceClock) -> (time: Int64, count: Int)? {
    let time = time(of: blocks)
    let (from, step) = stretch(clock)
    let count = min(block.count, Int(((Double(track.end) - from) / step).rounded(.up)))
    guard count > 0 else { return nil }
    read(from, step)
    return (time, count)
  }

  private func time(of block: Int) -> Int64 { Int64(block * self.block.count) * 1_000_000_000 / Int64(rate) }

  /// Where the next block is: its first frame of the device's, and how many there are to a sample.
  private func stretch(_ clock: DeviceClock) -> (from: Double, step: Double) {
    let length = Double(block.count)
    let step = nominalStep * (1 + clock.deviation / 1e6)
    let error = clock.frames(at: start + time(of: blocks + 1)) - (place + length * step)
    let seconds = error / nominalStep / Double(rate)
    // A device that is exact is off by what numbers are rounded by.
    if abs(seconds) < 1e-12 { return (place, step) }
    let isEarly = (blocks + 1) * block.count < rate
    if abs(seconds) > (isEarly ? Self.firstPatience : Self.patience) { return (place + error, step) }
    let most = nominalStep * Self.widest
    let wanted = error / (Self.slowness * Double(rate))
    return (place, step + min(max(wanted, -most), most))
  }

  private mutating func read(_ from: Double, _ step: Double) {
    track.read(into: &block, count: block.count, from: from, step: step)
    correction += (step / nominalStep - 1) * Double(block.count)
    place = from + Double(block.count) * step
    blocks += 1
    track.forget(before: place)
  }
}
