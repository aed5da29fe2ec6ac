internal import Dataflow
internal import Foundation
internal import Messages

/// What happened in a session, and when: seconds since it began.
struct Timeline: Encodable {
  /// Something that the user said and that was taken for a question.
  struct Question: Encodable {
    var epoch: UInt32
    var start: Double
    var end: Double
    /// What was understood.
    var text = ""
  }
  struct Command: Encodable {
    var label: String
    var start: Double
    var end: Double
    var score: Double
    /// When it was told of, by the clock.
    var told: Double
  }
  struct Answer: Encodable {
    enum Outcome: String, Encodable { case open, finished, cut }
    var epoch: UInt32
    var start: Double
    var end: Double
    var outcome = Outcome.open
    /// Seconds of the answer that have been played.
    var played = 0.0
    var heard = ""
    /// When it was held back, and let go on.
    var pauses: [Double] = []
  }
  struct Queue: Encodable {
    var edge: String
    /// Messages that waited, at ``Timeline/looks``.
    var waiting: [Int]
  }

  var session: String
  var length = 0.0
  var questions: [Question] = []
  var commands: [Command] = []
  var answers: [Answer] = []
  /// When the queues were looked at.
  var looks: [Double] = []
  var queues: [Queue] = []
  /// The loudest sample of every 20 ms, of the user and of the assistant.
  private(set) var peaks: [[Float]] = [[], []]

  private let rate: Int
  private var partial: [(peak: Float, count: Int)] = [(0, 0), (0, 0)]
  /// Looks that are kept: three hours'.
  private static let lookLimit = 108_000

  private enum CodingKeys: CodingKey { case session, length, questions, commands, answers, looks, queues }

  init(session: String, rate: Int) { (self.session, self.rate) = (session, rate) }

  var json: [UInt8] {
    get throws {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
      return [UInt8](try encoder.encode(self))
    }
  }

  // MARK: What happens

  mutating func hear(_ chunk: AudioChunk, of epoch: UInt32, at time: Int64) {
    guard chunk.frames > 0 else { return }
    let (start, end) = (Self.seconds(time), Self.seconds(time + chunk.duration))
    if let place = questions.lastIndex(where: { $0.epoch == epoch }) {
      questions[place].end = max(questions[place].end, end)
    } else {
      questions.append(Question(epoch: epoch, start: start, end: end))
    }
  }

  mutating func understand(_ text: String, of epoch: UInt32) {
    guard let place = questions.lastIndex(where: { $0.epoch == epoch }) else { return }
    questions[place].text += text
  }

  /// - Parameter told: by the clock, nanoseconds since the session began.
  mutating func note(_ found: Detection, told: Int64) {
    commands.append(
      Command(
        label: found.label, start: Self.seconds(found.start), end: Self.seconds(found.end), score: Double(found.score),
        told: Self.seconds(told)))
  }

  mutating func note(_ state: AnswerState, at time: Int64) {
    let now = Self.seconds(time)
    let place =
      answers.lastIndex { $0.epoch == state.epoch }
      ?? {
        answers.append(Answer(epoch: state.epoch, start: now, end: now))
        return answers.count - 1
      }()
    switch state.phase {
    case .speaking, .paused:
      let isPaused = answers[place].pauses.count % 2 == 1
      if (state.phase == .paused) != isPaused { answers[place].pauses.append(now) }
    case .finished: answers[place].outcome = .finished
    case .cut: answers[place].outcome = .cut
    }
    answers[place].end = max(answers[place].end, now)
    answers[place].played = Self.seconds(state.played)
    answers[place].heard = state.heard
  }

  mutating func note(_ depths: [QueueDepth], at time: Double) {
    guard looks.count < Self.lookLimit else { return }
    looks.append(time)
    if queues.isEmpty { queues = depths.map { Queue(edge: $0.edge, waiting: []) } }
    for (place, depth) in zip(queues.indices, depths) { queues[place].waiting.append(depth.waiting) }
  }

  /// - Parameter side: 0 for the user, 1 for the assistant.
  mutating func add(_ samples: some Collection<Float>, to side: Int) {
    for sample in samples {
      partial[side].peak = max(partial[side].peak, abs(sample))
      partial[side].count += 1
      if partial[side].count == rate / 50 {
        peaks[side].append(partial[side].peak)
        partial[side] = (0, 0)
      }
    }
  }

  private static func seconds(_ time: Int64) -> Double { (Double(time) / 1e5).rounded() / 1e4 }
}
