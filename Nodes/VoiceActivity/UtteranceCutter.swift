internal import Glibc

/// Finds utterances in a stream of samples: sound in, cuts out; it knows neither time nor graph.
package struct UtteranceCutter {
  package struct Settings: Sendable {
    /// Milliseconds, except `longest` in seconds.
    package var silence = 700
    /// Of this silence so much belongs to the utterance.
    package var tail = 300
    package var speech = 100
    package var preRoll = 300
    package var longest = 30
    /// dB above the noise floor.
    package var margin = 10.0
    /// dBFS.
    package var level = -66.0

    package init() {}
  }

  /// What to do, in order.
  package enum Cut: Equatable {
    case begin
    /// Samples of the utterance, and the position of the first of them in the stream.
    case audio([Float], start: Int)
    /// The utterance may be over: unless speech goes on, nothing more of it comes.
    case pause
    case end
  }

  /// Sound is judged in frames of this many milliseconds.
  private static let frameLength = 20
  /// Quiet frames that make what sounded like speech a mere click.
  private static let clickGap = 10

  private enum State {
    case idle
    /// Something sounds; it is not sure yet that it is speech.
    case maybe(speech: Int, quiet: Int)
    case speaking(quiet: Int)
  }

  private struct Frame {
    var samples: [Float]
    var start: Int
    var power: Float
  }

  private let frameSamples: Int
  private let silence: Int
  private let tail: Int
  private let speech: Int
  private let preRollFrames: Int
  private let longest: Int
  /// An utterance's frames from this one on are held back, so that it can still be cut before them.
  private let holdFrom: Int
  private var detector: SpeechLevel
  private var state = State.idle
  private var rest: [Float] = []
  private var position = 0
  /// Frames that are not part of an utterance yet, or are held back.
  private var pending: [Frame] = []
  /// Frames of the current utterance that have been handed out.
  private var handedOut = 0

  package init(_ settings: Settings, rate: Int) {
    frameSamples = max(1, rate * Self.frameLength / 1_000)
    silence = max(1, settings.silence / Self.frameLength)
    tail = min(silence, settings.tail / Self.frameLength)
    speech = max(1, settings.speech / Self.frameLength)
    preRollFrames = settings.preRoll / Self.frameLength
    longest = max(100, settings.longest * 1_000 / Self.frameLength)
    holdFrom = longest - min(250, longest / 2)
    detector = SpeechLevel(rate: rate, margin: settings.margin, level: settings.level)
  }

  package mutating func feed(_ samples: some Collection<Float>) -> [Cut] {
    rest.append(contentsOf: samples)
    var cuts: [Cut] = []
    var used = 0
    while rest.count - used >= frameSamples {
      step(Array(rest[used..<used + frameSamples]), &cuts)
      used += frameSamples
    }
    rest.removeFirst(used)
    return cuts
  }

  /// The stream is over: what is being said is an utterance, however little silence follows.
  package mutating func finish() -> [Cut] {
    var cuts: [Cut] = []
    if !rest.isEmpty { step(rest, &cuts) }
    rest = []
    if case .speaking(let quiet) = state { end(quiet, &cuts) }
    pending = []
    state = .idle
    return cuts
  }

  /// Forgets the current utterance, but not what is known of the noise.
  package mutating func abandon() {
    pending = []
    handedOut = 0
    state = .idle
  }

  /// Forgets the current utterance and goes on at another position, which may have been heard before.
  package mutating func restart(at position: Int) {
    abandon()
    rest = []
    self.position = position
  }

  /// Samples before the speech that belong to an utterance.
  package var preRoll: Int { preRollFrames * frameSamples }

  /// Samples of an utterance that need not be speech: before it, and behind.
  package var padding: Int { (preRollFrames + tail) * frameSamples }

  private mutating func step(_ samples: [Float], _ cuts: inout [Cut]) {
    let isInside = if case .idle = state { false } else { true }
    let (power, isSpeech) = detector.judge(samples, holding: isInside)
    pending.append(Frame(samples: samples, start: position, power: power))
    position += samples.count
    switch state {
    case .idle:
      if isSpeech { state = .maybe(speech: 0, quiet: 0) }
      listen(isSpeech, &cuts)
    case .maybe: listen(isSpeech, &cuts)
    case .speaking(let quiet): speak(isSpeech ? 0 : quiet + 1, &cuts)
    }
  }

  private mutating func listen(_ isSpeech: Bool, _ cuts: inout [Cut]) {
    guard case .maybe(var heard, var quiet) = state else { return trim() }
    if isSpeech { (heard, quiet) = (heard + 1, 0) } else { quiet += 1 }
    state = .maybe(speech: heard, quiet: quiet)
    if heard >= speech {
      state = .speaking(quiet: 0)
      cuts.append(.begin)
      handOut(pending.count, &cuts)
    } else if quiet >= Self.clickGap {
      state = .idle
      trim()
    }
  }

  private mutating func trim() { pending.removeFirst(max(0, pending.count - preRollFrames)) }

  private mutating func speak(_ quiet: Int, _ cuts: inout [Cut]) {
    state = .speaking(quiet: quiet)
    if quiet >= silence || quiet > tail && handedOut + pending.count >= longest {
      end(quiet, &cuts)
      state = .idle
    } else if handedOut < holdFrom {
      // What is quiet for longer is held back until speech goes on, or does not.
      if quiet <= tail { handOut(pending.count, &cuts) }
      if quiet == tail { cuts.append(.pause) }
    } else if handedOut + pending.count >= longest {
      divide(&cuts)
    }
  }

  /// What is quiet beyond the tail stays, as sound before another utterance.
  private mutating func end(_ quiet: Int, _ cuts: inout [Cut]) {
    handOut(pending.count - min(pending.count, max(0, quiet - tail)), &cuts)
    cuts.append(.end)
    handedOut = 0
  }

  /// Ends the utterance at the quietest of the frames held back; the others may begin the next one.
  private mutating func divide(_ cuts: inout [Cut]) {
    var best = (at: pending.count - 1, power: Float.infinity)
    for middle in pending.indices {
      // Judged over 100 ms, so that no single quiet frame within a word is chosen.
      let around = pending[max(0, middle - 2)...min(pending.count - 1, middle + 2)]
      let power = around.reduce(0) { $0 + $1.power } / Float(around.count)
      if power <= best.power { best = (middle, power) }
    }
    handOut(best.at + 1, &cuts)
    cuts.append(.end)
    handedOut = 0
    let heard = pending.count { detector.isSpeech($0.power) }
    state = heard > 0 ? .maybe(speech: heard, quiet: 0) : .idle
    if heard >= speech {
      state = .speaking(quiet: 0)
      cuts.append(.begin)
      handOut(pending.count, &cuts)
    }
  }

  /// Hands out the first frames of `pending` as one piece.
  private mutating func handOut(_ count: Int, _ cuts: inout [Cut]) {
    guard count > 0, let first = pending.first else { return }
    cuts.append(.audio(pending[..<count].flatMap(\.samples), start: first.start))
    pending.removeFirst(count)
    handedOut += count
  }
}

/// Judges frames by their power against a noise floor that follows the quietest moments.
struct SpeechLevel {
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

  init(rate: Int, margin: Double, level: Double) {
    self.margin = Self.decibels(margin)
    holdingMargin = Self.decibels(max(2, margin - 4))
    least = Self.decibels(level)
    // A high-pass at 80 Hz: neither an offset nor hum is sound.
    pole = max(0, 1 - 2 * Float.pi * 80 / Float(rate))
  }

  /// - Parameter holding: whether the frame before was part of an utterance; then a lower level is enough.
  mutating func judge(_ samples: [Float], holding: Bool) -> (power: Float, isSpeech: Bool) {
    var sum: Float = 0
    for sample in samples {
      let input = sample.isFinite ? sample : 0
      lastOutput = input - (lastInput ?? input) + pole * lastOutput
      lastInput = input
      sum += lastOutput * lastOutput
    }
    let power = sum / Float(max(1, samples.count))
    let isSpeech = power > max(least, floor * (holding ? holdingMargin : margin))
    follow(power)
    return (power, isSpeech)
  }

  /// Whether a frame of this power would go on with an utterance now.
  func isSpeech(_ power: Float) -> Bool { power > max(least, floor * holdingMargin) }

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
