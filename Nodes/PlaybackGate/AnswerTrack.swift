internal import Dataflow
internal import Messages

/// A session's answers on their way to a device: what waits, what the device has, and what of it has been played.
///
/// A plain value without clocks or ports. Positions are frames of the stream that the device is given.
struct AnswerTrack {
  private struct Answer {
    let epoch: UInt32
    /// What has not been handed on.
    var samples: [Float] = []
    /// How much of `samples` has been.
    var taken = 0
    /// Frames of the answer that the device has been given.
    var handed = 0
    /// No more will come.
    var isComplete = false
    var isAnnounced = false
    var said: [SaidText] = []

    var waiting: Int { samples.count - taken }
  }
  /// A piece of the stream, and where in its answer it ends.
  private struct Span {
    let epoch: UInt32
    let end: Int
    let answered: Int
  }

  private let aheadTime: Int
  private let fadeTime: Int
  private let isPaced: Bool
  private var rate = 0
  private var channels = 1
  /// In order; the first is the one that sounds.
  private var answers: [Answer] = []
  private var spans: [Span] = []
  /// Frames that the device was given, and has played.
  private var handed = 0
  private var played = 0
  private var isPaused = false
  /// Nothing sounds: the last block was faded out, was an answer's last, or there was none.
  private var isSilent = true
  /// The answer was faded out in its midst, and will come back the same way.
  private var fadesIn = false
  /// Frames that are still to be faded out, and belong to nobody any more.
  private var farewell: [Float] = []
  /// What there is to tell, and when it will be so: nanoseconds of the session.
  private var notes: [(state: AnswerState, time: Int64)] = []
  /// When the device had played what it had played.
  private var deviceTime: Int64 = 0
  private var told: (epoch: UInt32, played: Int64)?
  /// No more answers will come.
  var isComplete = false

  /// - Parameters:
  ///   - ahead: milliseconds that the device is given before it has played them.
  ///   - fade: milliseconds.
  ///   - isPaced: whether ``played(through:)`` will be called; otherwise all counts as played when it is handed on.
  init(ahead: Int, fade: Int, isPaced: Bool) {
    (aheadTime, fadeTime, self.isPaced) = (ahead, fade, isPaced)
  }

  private var block: Int { max(1, rate / 100) }
  private var fade: Int { rate * fadeTime / 1_000 }

  /// Whether less is here than the device will soon want. What was paused has enough.
  var isHungry: Bool { !isPaused && (answers.first.map { $0.waiting <= (block + fade) * channels } ?? true) }

  /// Nothing is left to be played or told.
  var isOver: Bool { isComplete && answers.isEmpty && notes.isEmpty && farewell.isEmpty }

  // MARK: What comes in

  /// - Returns: what is wrong with the sound; it is not added then.
  mutating func add(_ chunk: AudioChunk, of epoch: UInt32) -> String? {
    if rate == 0 { (rate, channels) = (chunk.rate, chunk.channels) }
    guard chunk.rate == rate, chunk.channels == channels else {
      return """
        sound at \(chunk.rate) Hz with \(chunk.channels) channels cannot follow sound at \(rate) Hz with \(channels) in a \
        session
        """
    }
    let place = place(of: epoch)
    if answers[place].taken > 1 << 16 {
      answers[place].samples.removeFirst(answers[place].taken)
      answers[place].taken = 0
    }
    answers[place].samples.append(contentsOf: chunk.samples)
    return nil
  }

  mutating func note(_ said: Said, of epoch: UInt32) {
    let place = place(of: epoch)
    if said.isReplacing { answers[place].said = [] }
    answers[place].said += said.pieces
  }

  /// The turn has ended: what has come of its answer is all.
  mutating func complete(_ epoch: UInt32) {
    answers[place(of: epoch)].isComplete = true
    settle()
  }

  /// - Parameter time: of the session, in nanoseconds.
  mutating func played(through frames: Int, at time: Int64) {
    played = max(played, min(frames, handed))
    deviceTime = time
    settle()
  }

  mutating func pause() {
    guard !isPaused else { return }
    isPaused = true
    guard answers.first?.isAnnounced == true else { return }
    fadeOut()
    tell(state(.paused, of: answers[0], at: answers[0].handed))
  }

  mutating func resume() {
    guard isPaused else { return }
    isPaused = false
    if let answer = answers.first, answer.isAnnounced { tell(state(.speaking, of: answer, at: answer.handed)) }
  }

  /// The turns up to this one were interrupted: what the device has of them it plays, and a few milliseconds that fade.
  mutating func cut(through epoch: UInt32) {
    isPaused = false
    fadeOut(through: epoch)
    let cut = answers.filter { $0.epoch <= epoch }
    answers.removeAll { $0.epoch <= epoch }
    for answer in cut { tell(state(.cut, of: answer, at: answer.handed)) }
    // Somebody waits to hear of it, though nothing had come here.
    if cut.last?.epoch != epoch { tell(AnswerState(.cut, epoch: epoch, played: 0, heard: "")) }
    spans.removeAll { $0.epoch <= epoch }
    if !cut.isEmpty { fadesIn = false }
  }

  private mutating func place(of epoch: UInt32) -> Int {
    if let place = answers.firstIndex(where: { $0.epoch >= epoch }) {
      if answers[place].epoch != epoch { answers.insert(Answer(epoch: epoch), at: place) }
      return place
    }
    answers.append(Answer(epoch: epoch))
    return answers.count - 1
  }

  // MARK: What goes out

  /// What the device is to be given now; nil if it has enough, or there is nothing for it.
  mutating func nextBlock() -> AudioChunk? {
    if !farewell.isEmpty {
      defer { farewell = [] }
      return chunk(farewell)
    }
    guard let answer = answers.first, answer.waiting > 0, !isPaused, hasRoom else { return nil }
    // Some is kept back for a fade, unless nothing will follow or the device is about to run dry.
    let spare = answer.isComplete ? 0 : fade
    let frames = min(block, answer.waiting / channels - spare)
    guard frames > 0 else {
      guard isPaced, handed - played < block else { return nil }
      fadeOut()
      return farewell.isEmpty ? nil : nextBlock()
    }
    if !answer.isAnnounced {
      answers[0].isAnnounced = true
      tell(state(.speaking, of: answer, at: answer.handed))
    }
    var samples = take(frames)
    if fadesIn { ramp(&samples, from: 0, to: 1) }
    fadesIn = false
    isSilent = answers[0].isComplete && answers[0].waiting == 0
    if !isPaced { played = handed }
    let next = chunk(samples)
    settle()
    return next
  }

  private var hasRoom: Bool { !isPaced || handed - played < max(block, rate * aheadTime / 1_000) }

  private func chunk(_ samples: [Float]) -> AudioChunk {
    AudioChunk(samples: SharedBuffer(samples), rate: rate, channels: channels)
  }

  /// When the block that was handed on last begins: nanoseconds of the stream.
  func time(of block: AudioChunk) -> Int64 { time(handed - block.frames) }

  /// Takes frames off the first answer.
  private mutating func take(_ frames: Int) -> [Float] {
    let start = answers[0].taken
    answers[0].taken += frames * channels
    answers[0].handed += frames
    handed += frames
    spans.append(Span(epoch: answers[0].epoch, end: handed, answered: answers[0].handed))
    return Array(answers[0].samples[start..<start + frames * channels])
  }

  /// Lets what sounds end softly, if it belongs to the turns up to this one.
  private mutating func fadeOut(through epoch: UInt32 = .max) {
    guard let answer = answers.first, answer.epoch <= epoch, !isSilent else { return }
    (isSilent, fadesIn) = (true, true)
    let frames = min(fade, answer.waiting / channels)
    guard frames > 0 else { return }
    farewell = take(frames)
    ramp(&farewell, from: 1, to: 0)
    if !isPaced { played = handed }
  }

  /// A straight ramp over the length of a fade.
  private func ramp(_ samples: inout [Float], from first: Float, to last: Float) {
    let length = max(1, min(fade, samples.count / channels))
    for frame in 0..<length {
      let gain = first + (last - first) * (Float(frame) + 0.5) / Float(length)
      for channel in 0..<channels { samples[frame * channels + channel] *= gain }
    }
  }

  // MARK: What has been heard

  /// Answers of which all has been played are finished.
  private mutating func settle() {
    while let answer = answers.first, answer.isComplete, answer.waiting == 0, isPlayed(answer) {
      answers.removeFirst()
      fadesIn = false
      tell(state(.finished, of: answer, at: answer.handed))
    }
    while let span = spans.first, span.end <= played {
      told = (span.epoch, time(span.answered))
      spans.removeFirst()
    }
  }

  private func isPlayed(_ answer: Answer) -> Bool {
    guard let last = spans.last(where: { $0.epoch == answer.epoch }) else { return true }
    return last.end <= played
  }

  private func time(_ frames: Int) -> Int64 { Int64(frames) * 1_000_000_000 / Int64(max(1, rate)) }

  private func state(_ phase: AnswerState.Phase, of answer: Answer, at frames: Int) -> AnswerState {
    let end = time(frames)
    let heard = answer.said.prefix { $0.end <= end }.map(\.text).joined()
    return AnswerState(phase, epoch: answer.epoch, played: end, heard: heard)
  }

  /// It will be so once the device has played what it has been given.
  private mutating func tell(_ state: AnswerState) { notes.append((state, deviceTime + time(handed - played))) }

  mutating func takeNotes() -> [(state: AnswerState, time: Int64)] {
    defer { notes = [] }
    return notes
  }

  /// How much of which answer has been played, if that is news.
  mutating func progress() -> (epoch: UInt32, played: Int64)? {
    defer { told = nil }
    guard let told, answers.contains(where: { $0.epoch == told.epoch }) else { return nil }
    return told
  }
}
