/// Tells where a device is at any time, from what it says now and then.
///
/// Devices tell of their progress in blocks and at uneven times, and run at rates that are off by up to some hundred
/// parts per million. A delay-locked loop of second order follows both place and rate (F. Adriaensen, "Using a DLL to
/// filter time", LAC 2005); its bandwidth begins at 1 Hz and narrows to 0.02 Hz.
package struct DeviceClock {
  /// Frames per second, nominally.
  package let nominalRate: Int
  /// How often the device was somewhere else altogether, as after a pause.
  package private(set) var jumps = 0

  private let isExact: Bool
  private var origin: Int64
  private var place: Double = 0
  private var time: Int64
  /// Frames per second, as measured.
  private var rate: Double
  private var lastTold = 0

  /// Rates further off than this are not a clock's.
  private static let widest = 0.002
  /// Before that many seconds a device fills its buffers, and its progress says nothing of its rate.
  private static let settling = 0.5
  /// Seconds by which a device may be elsewhere than expected.
  private static let patience = 0.1

  /// - Parameters:
  ///   - start: when the device was started, nanoseconds.
  ///   - isExact: the device goes by the same clock: nothing is measured, and whole frames come out whole.
  package init(nominalRate: Int, start: Int64, isExact: Bool = false) {
    self.nominalRate = nominalRate
    self.isExact = isExact
    (origin, time, rate) = (start, start, Double(nominalRate))
  }

  /// By how much the device is faster than it says, in parts per million.
  package var deviation: Double { (rate / Double(nominalRate) - 1) * 1e6 }

  /// The device told of its progress; telling the same again changes nothing.
  package mutating func observe(_ progress: DeviceProgress) {
    guard !isExact, let now = progress.time, progress.frames != lastTold, now >= time else { return }
    lastTold = progress.frames
    let found = Double(progress.frames)
    let error = found - frames(at: now)
    let age = Double(now - origin) / 1e9
    let interval = Double(now - time) / 1e9
    if age < Self.settling {
      place = found
    } else if abs(error) > Self.patience * rate {
      jumps += 1
      place = found
    } else {
      let bandwidth = max(0.02, 1 / (1 + age))
      let step = min(0.5, 2 * Double.pi * bandwidth * interval)
      place = found - error + Double(2).squareRoot() * step * error
      if interval > 0 { rate += step * step / interval * error }
      let slack = Double(nominalRate) * Self.widest
      rate = min(max(rate, Double(nominalRate) - slack), Double(nominalRate) + slack)
    }
    time = now
  }

  /// Frames since the start that the device will have played or recorded at a time.
  package func frames(at moment: Int64) -> Double {
    if isExact {
      let (seconds, rest) = (moment - origin).quotientAndRemainder(dividingBy: 1_000_000_000)
      return Double(seconds * Int64(nominalRate)) + Double(rest * Int64(nominalRate)) / 1e9
    }
    return place + Double(moment - time) / 1e9 * rate
  }
}
