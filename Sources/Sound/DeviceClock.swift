/// Tells where a device is at any time, from what it says now and then.
///
/// Devices tell of their progress in blocks and at uneven times, and run at rates that are off by up to some hundred
/// parts per million. A Kalman filter follows both place and rate. How uneven a device's times are it finds out on the
/// way: a steady one is believed at once, one behind a sound server only on average.
package struct DeviceClock {
  /// Frames per second, nominally.
  package let nominalRate: Int
  /// How often the device was somewhere else altogether, as after a pause.
  package private(set) var jumps = 0

  private let isExact: Bool
  private let origin: Int64
  /// Frames, and when.
  private var place: Double = 0
  private var time: Int64
  /// Frames per second, as measured.
  private var rate: Double
  private var lastTold = 0

  // How uncertain place and rate are: variances, and the covariance of the two.
  private var placeVariance: Double
  private var rateVariance: Double
  private var covariance: Double = 0
  /// That of what the device tells.
  private var noise: Double

  /// Rates further off than this are not a clock's.
  private static let widest = 0.002
  /// Seconds by which a device may be elsewhere than expected.
  private static let patience = 0.1
  /// How uncertain a rate is before anything is known of it, and how it wanders in a second.
  private static let (rateDoubt, rateWandering) = (150e-6, 0.5e-6)
  /// Seconds by which a place wanders in a second.
  private static let placeWandering = 20e-6

  /// - Parameters:
  ///   - start: when the device was at its frame 0, nanoseconds.
  ///   - isExact: the device goes by the same clock: nothing is measured, and whole frames come out whole.
  package init(nominalRate: Int, start: Int64, isExact: Bool = false) {
    self.nominalRate = nominalRate
    self.isExact = isExact
    (origin, time, rate) = (start, start, Double(nominalRate))
    let perSecond = Double(nominalRate)
    placeVariance = Self.square(0.02 * perSecond)
    rateVariance = Self.square(Self.rateDoubt * perSecond)
    noise = Self.square(0.002 * perSecond)
  }

  /// By how much the device is faster than it says, in parts per million.
  package var deviation: Double { (rate / Double(nominalRate) - 1) * 1e6 }

  /// The device told of its progress; telling the same again changes nothing.
  package mutating func observe(_ progress: DeviceProgress) {
    guard !isExact, let now = progress.time, progress.frames != lastTold, now >= time else { return }
    lastTold = progress.frames
    let error = Double(progress.frames) - frames(at: now)
    let interval = Double(now - time) / 1e9
    let perSecond = Double(nominalRate)
    place = frames(at: now)
    time = now
    placeVariance += interval * (2 * covariance + interval * rateVariance)
    placeVariance += interval * Self.square(Self.placeWandering * perSecond)
    covariance += interval * rateVariance
    rateVariance += interval * Self.square(Self.rateWandering * perSecond)
    if abs(error) > Self.patience * perSecond {
      jumps += 1
      place += error
      (placeVariance, covariance) = (noise, 0)
      return
    }
    let total = placeVariance + noise
    let (placeGain, rateGain) = (placeVariance / total, covariance / total)
    place += placeGain * error
    rate += rateGain * error
    rate = min(max(rate, perSecond * (1 - Self.widest)), perSecond * (1 + Self.widest))
    rateVariance -= rateGain * covariance
    covariance *= 1 - placeGain
    placeVariance *= 1 - placeGain
    // Half a frame is lost in counting.
    noise = max(0.25, noise + 0.02 * (error * error - noise))
  }

  /// Frames since the start that the device will have played or recorded at a time.
  package func frames(at moment: Int64) -> Double {
    if isExact {
      let (seconds, rest) = (moment - origin).quotientAndRemainder(dividingBy: 1_000_000_000)
      return Double(seconds * Int64(nominalRate)) + Double(rest * Int64(nominalRate)) / 1e9
    }
    return place + Double(moment - time) / 1e9 * rate
  }

  private static func square(_ number: Double) -> Double { number * number }
}
