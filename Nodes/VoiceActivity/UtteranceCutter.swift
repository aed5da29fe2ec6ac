package import ModelKit

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

  private enum State {
    case idle
    /// Something sounds; it is not sure yet that it is speech.
    case maybe(speech: Int, quiet: Int)
    case speaking(quiet: Int)
  }

  private struct Frame {
    var samples: [Float]
    var start: Int
    var verdict: SpeechVerdict
  }

  // In frames.
  private let silence: Int
  private let tail: Int
  private let speech: Int
  private let preRollFrames: Int
  private let longest: Int
  /// Quiet ones that make what sounded like speech a mere click.
  private let clickGap: Int
  /// An utterance's frames from this one on are held back, so that it can still be cut before them.
  private let holdFrom: Int
  private var judge: any SpeechJudge
  private var state = State.idle
  private var rest: [Float] = []
  private var position = 0
  /// Frames that are not part of an utterance yet, or are held back.
  private var pending: [Frame] = []
  /// Frames of the current utterance that have been handed out.
  private var handedOut = 0
  /// What is over before this position is no utterance.
  private var earliest = 0

  /// - Parameter rate: samples a second.
  package init(_ settings: Settings, rate: Int, judge: any SpeechJudge) {
    self.judge = judge
    let frame = judge.frame
    /// As many as fit.
    func frames(milliseconds: Int) -> Int { milliseconds * rate / (1_000 * frame) }
    silence = max(1, frames(milliseconds: settings.silence))
    tail = min(silence, frames(milliseconds: settings.tail))
    speech = max(1, frames(milliseconds: settings.speech))
    preRollFrames = frames(milliseconds: settings.preRoll)
    clickGap = max(1, frames(milliseconds: 200))
    longest = max(frames(milliseconds: 2_000), frames(milliseconds: settings.longest * 1_000))
    holdFrom = longest - min(frames(milliseconds: 5_000), longest / 2)
  }

  package mutating func feed(_ samples: some Collection<Float>) -> [Cut] {
    rest.append(contentsOf: samples)
    var cuts: [Cut] = []
    var used = 0
    let frame = judge.frame
    while rest.count - used >= frame {
      step(Array(rest[used..<used + frame]), &cuts)
      used += frame
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
  ///
  /// - Parameter earliest: what is over before this position is no utterance; what still sounds there is one, from where it
  ///   began.
  package mutating func restart(at position: Int, earliest: Int) {
    abandon()
    rest = []
    (self.position, self.earliest) = (position, earliest)
  }

  /// Samples before the speech that belong to an utterance.
  package var preRoll: Int { preRollFrames * judge.frame }

  /// Samples of an utterance that need not be speech: before it, and behind.
  package var padding: Int { (preRollFrames + tail) * judge.frame }

  private mutating func step(_ samples: [Float], _ cuts: inout [Cut]) {
    let isInside = if case .idle = state { false } else { true }
    let verdict = samples.withUnsafeBufferPointer { judge.judge($0, holding: isInside) }
    let isSpeech = verdict.isSpeech
    pending.append(Frame(samples: samples, start: position, verdict: verdict))
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
    if heard >= speech, position >= earliest {
      state = .speaking(quiet: 0)
      cuts.append(.begin)
      handOut(pending.count, &cuts)
    } else if quiet >= clickGap {
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
      let power = around.reduce(0) { $0 + $1.verdict.power } / Float(around.count)
      if power <= best.power { best = (middle, power) }
    }
    handOut(best.at + 1, &cuts)
    cuts.append(.end)
    handedOut = 0
    let heard = pending.count { judge.goesOn($0.verdict) }
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
