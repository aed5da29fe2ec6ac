internal import Dataflow
internal import Messages

/// Who has the floor in a session: the user, or the answer to what was said last.
///
/// A plain value; positions are samples since the session began, and so is time.
struct Floor {
  struct Settings {
    /// Milliseconds.
    var overlap = 500
    var settle = 300
    var resumeAfter = 0
    var earnest = 700
  }

  /// What to do, in order.
  enum Action: Equatable {
    /// Samples of the turn's utterance, and the position of the first of them.
    case audio(Turn, [Float], start: Int)
    /// The utterance may be over.
    case pause(Turn)
    case end(Turn)
    /// Silence the answers to the turns up to this one.
    case interrupt(epoch: UInt32, reason: String)
    /// Hold the answer back, and let it go on.
    case hold, release
  }

  private enum Holder {
    /// Whoever speaks is asking.
    case user
    /// The turn's answer is being thought of, or played.
    case answer(epoch: UInt32)
    /// The answer is held back, until this position unless something is said.
    case held(epoch: UInt32, until: Int, reason: String)
  }

  /// What is said while an answer has the floor.
  private struct Aside {
    var start: Int
    var cuts: [UtteranceCutter.Cut] = []
    var samples = 0
    /// It has been kept for as long as there is a chance that it counts.
    var isDropped = false
  }

  private let settings: Settings
  private let rate: Int
  private let hearsOfAnswers: Bool
  private var cutter: UtteranceCutter
  private var holder = Holder.user
  private var aside: Aside?
  private var ownVoice = OwnVoice()
  /// The last seconds of the sound, which a detection may lead back to.
  private var recent: [Float] = []
  private var position = 0
  /// Sound before this has been said, and is done with.
  private var deafUntil = 0
  private let beginTurn: () -> Turn
  /// The utterance that is being sent.
  private var turn: Turn?

  /// Seconds: a detector tells late what it heard.
  private static let memory = 5

  /// - Parameters:
  ///   - hearsOfAnswers: whether it will be told when answers are over; otherwise the user always has the floor.
  ///   - beginTurn: opens a turn.
  init(
    _ settings: Settings, cutter: UtteranceCutter, rate: Int, hearsOfAnswers: Bool, beginTurn: @escaping () -> Turn
  ) {
    (self.settings, self.cutter, self.rate, self.hearsOfAnswers) = (settings, cutter, rate, hearsOfAnswers)
    self.beginTurn = beginTurn
  }

  // MARK: What happens

  mutating func hear(_ samples: some Collection<Float>) -> [Action] {
    if hearsOfAnswers {
      recent.append(contentsOf: samples)
      if recent.count > 2 * Self.memory * rate { recent.removeFirst(recent.count - Self.memory * rate) }
    }
    position += samples.count
    let deaf = min(samples.count, max(0, deafUntil - (position - samples.count)))
    var actions = follow(cutter.feed(samples.dropFirst(deaf)))
    if case .held(let epoch, let deadline, _) = holder, position >= deadline, aside == nil {
      // It was nothing.
      holder = .answer(epoch: epoch)
      actions.append(.release)
    }
    return actions
  }

  /// The sound is over.
  mutating func finish() -> [Action] {
    var actions = follow(cutter.finish())
    if case .held = holder { actions.append(.release) }
    return actions
  }

  mutating func note(_ state: AnswerState) -> [Action] {
    guard state.phase == .finished || state.phase == .cut else { return [] }
    switch holder {
    case .answer(let epoch), .held(let epoch, _, _):
      guard state.epoch >= epoch else { return [] }
      holder = .user
      let earliest = position - milliseconds(settings.overlap)
      // What was said into its last moments counts.
      if let aside, !aside.isDropped, aside.start >= earliest { return takeUp() }
      aside?.isDropped = true
      return []
    case .user: return []
    }
  }

  /// A detector heard this in what the assistant says.
  mutating func noteOwn(_ detection: Detection) { ownVoice.note(detection) }

  mutating func note(_ detection: Detection) -> [Action] {
    if detection.kind == .command, ownVoice.explains(detection) { return [] }
    let epoch: UInt32
    switch holder {
    case .user: return []
    case .held where detection.kind == .speech: return []
    case .answer(let number), .held(let number, _, _): epoch = number
    }
    let reason = detection.kind == .speech ? "speech" : "'\(detection.label)'"
    aside = nil
    // Who says it twice means it.
    if settings.resumeAfter > 0, case .answer = holder {
      holder = .held(epoch: epoch, until: position + milliseconds(settings.resumeAfter), reason: reason)
      return [.hold] + listenAgain(from: detection)
    }
    holder = .user
    return [.interrupt(epoch: epoch, reason: reason)] + listenAgain(from: detection)
  }

  /// The turns up to this one were interrupted, by whomever.
  mutating func cut(through epoch: UInt32) {
    switch holder {
    case .answer(let number) where number <= epoch, .held(let number, _, _) where number <= epoch: holder = .user
    default: break
    }
    guard let turn, turn.epoch <= epoch else { return }
    // Whoever goes on speaking begins a new utterance.
    self.turn = nil
    cutter.abandon()
  }

  // MARK: Inside

  /// What the cutter found, for whoever has the floor.
  private mutating func follow(_ cuts: [UtteranceCutter.Cut]) -> [Action] {
    cuts.flatMap { cut in
      if case .user = holder, aside == nil { return ask(cut) }
      return listenAside(cut)
    }
  }

  private mutating func ask(_ cut: UtteranceCutter.Cut) -> [Action] {
    switch cut {
    case .begin:
      turn = beginTurn()
      return []
    case .audio(let samples, let start): return turn.map { [.audio($0, samples, start: start)] } ?? []
    case .pause: return turn.map { [.pause($0)] } ?? []
    case .end:
      guard let ended = turn.take() else { return [] }
      if hearsOfAnswers { holder = .answer(epoch: ended.epoch) }
      return [.end(ended)]
    }
  }

  private mutating func listenAside(_ cut: UtteranceCutter.Cut) -> [Action] {
    switch cut {
    case .begin: aside = Aside(start: position, cuts: [.begin])
    case .audio(let samples, let start):
      // Behind what stands before an utterance for its soft beginning.
      if aside?.samples == 0 { aside?.start = start + min(cutter.preRoll, samples.count) }
      aside?.samples += samples.count
      if aside?.isDropped == false { aside?.cuts.append(cut) }
      if case .answer = holder, let said = aside, said.start < position - milliseconds(settings.overlap) {
        // It began too early to count, however soon the answer ends.
        aside?.isDropped = true
        aside?.cuts = []
      }
    case .pause: if aside?.isDropped == false { aside?.cuts.append(cut) }
    case .end:
      defer { aside = nil }
      guard case .held(let epoch, _, let reason) = holder, aside?.isDropped == false, isEarnest else { break }
      aside?.cuts.append(.end)
      holder = .user
      return [.interrupt(epoch: epoch, reason: reason)] + takeUp()
    }
    guard case .held(let epoch, _, let reason) = holder, isEarnest else { return [] }
    holder = .user
    return [.interrupt(epoch: epoch, reason: reason)] + takeUp()
  }

  /// Whether what is said aside is more than a cough. The silence around it is not counted.
  private var isEarnest: Bool { (aside?.samples ?? 0) - cutter.padding >= milliseconds(settings.earnest) }

  /// What was said aside is a question after all.
  private mutating func takeUp() -> [Action] {
    guard let said = aside else { return [] }
    aside = nil
    return said.cuts.flatMap { ask($0) }
  }

  /// Begins anew behind a command, or where the speech began that was detected.
  private mutating func listenAgain(from detection: Detection) -> [Action] {
    var start = Int(Double(detection.kind == .speech ? detection.start : detection.end) / 1e9 * Double(rate))
    if detection.kind == .speech { start -= cutter.preRoll }
    start = max(start, position - recent.count, 0)
    deafUntil = start
    // Behind a command the answer's last words are heard, and what the room makes of them.
    cutter.restart(at: start, earliest: detection.kind == .speech ? start : position + milliseconds(settings.settle))
    return start < position ? follow(cutter.feed(recent.suffix(position - start))) : []
  }

  private func milliseconds(_ time: Int) -> Int { time * rate / 1_000 }
}
