#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Darwin)
  internal import Darwin
#endif

/// Judges frames of 20 ms by their power against a noise floor that follows the quietest moments.
public struct SpeechLevel: SpeechJudge {
  public let frame: Int
  private let margin: Float
  private let holdingMargin: Float
  private let least: Float
  private let pole: Float
  private var lastInput: Float?
  private var lastOutput: Float = 0
  /// Powers of the last frames; the floor is sought among their averages.
  private var recent: [Float] = []
  private var averages: [Float] = []
  /// Assumed low at the start, so that a file may begin with speech.
  private var floor = decibels(-70)

  /// 1.5 s: longer than people speak without a gap between syllables.
  private static let window = 75
  /// How fast the floor may rise, per frame: 8 dB a second.
  private static let rise = decibels(8.0 / 50)
  private static let lowest = decibels(-90)

  /// - Parameters:
  ///   - rate: samples a second.
  ///   - margin: dB that speech stands above the noise floor; within speech, up to 4 less are enough.
  ///   - level: dBFS below which nothing is speech.
  public init(rate: Int, margin: Double = 10, level: Double = -66) {
    frame = max(1, rate / 50)
    self.margin = Self.decibels(margin)
    holdingMargin = Self.decibels(max(2, margin - 4))
    least = Self.decibels(level)
    // A high-pass at 80 Hz: neither an offset nor hum is sound.
    pole = max(0, 1 - 2 * Float.pi * 80 / Float(rate))
  }

  public mutating func judge(_ samples: UnsafeBufferPointer<Float>, holding: Bool) -> SpeechVerdict {
    var sum: Float = 0
    for sample in samples {
      let input = sample.isFinite ? sample : 0
      lastOutput = input - (lastInput ?? input) + pole * lastOutput
      lastInput = input
      sum += lastOutput * lastOutput
    }
    let power = sum / Float(max(1, samples.count))
    let needed = max(least, floor * (holding ? holdingMargin : margin))
    follow(power)
    // Not a probability in earnest: a half where the verdict changes, and more the louder it is.
    return SpeechVerdict(isSpeech: power > needed, power: power, probability: power / (power + needed))
  }

  public func goesOn(_ verdict: SpeechVerdict) -> Bool { verdict.power > max(least, floor * holdingMargin) }

  private mutating func follow(_ power: Float) {
    recent.append(power)
    if recent.count > 3 { recent.removeFirst() }
    averages.append(recent.reduce(0, +) / Float(recent.count))
    if averages.count > Self.window { averages.removeFirst() }
    let quietest = averages.min() ?? power
    floor = quietest < floor ? max(quietest, Self.lowest) : min(quietest, floor * Self.rise)
  }

  /// The power that so many decibels stand for.
  private static func decibels(_ value: Double) -> Float { Float(pow(10, value / 10)) }
}
