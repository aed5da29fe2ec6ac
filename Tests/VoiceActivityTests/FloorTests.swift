import Dataflow
import DataflowRuntime
import DataflowTesting
import Messages
import Testing
import VoiceActivity

/// Who has the floor while an answer is thought of or played. All times are positions in the sound.
@Suite struct FloorTests {
  /// A node with one session, what was said to it so far, and what came of it.
  private struct Talk {
    let node: NodeHarness
    let session: Session
    private(set) var chunks = 0

    init(_ node: NodeHarness) async throws {
      self.node = node
      session = try await node.beginSession("a")
    }

    private var stream: Turn { Turn(session, epoch: 0) }
    /// Nanoseconds of sound so far.
    var now: Int64 { Int64(chunks) * 20_000_000 }

    mutating func say(_ milliseconds: Int, loud: Bool = true) async throws {
      for _ in 0..<milliseconds / 20 {
        let samples = (0..<320).map { Float(loud ? ($0 % 3 == 0 ? 0.3 : -0.2) : 0) }
        let chunk = AudioChunk(samples: SharedBuffer(samples), rate: 16_000)
        try await node.send(chunk, to: "audio", turn: stream, time: now)
        chunks += 1
      }
    }

    /// A second of speech, and the silence that ends it.
    mutating func ask() async throws {
      try await say(1_000)
      try await say(1_000, loud: false)
    }

    func detect(_ kind: Detection.Kind, from start: Int64, to end: Int64, on port: String = "detections") async throws {
      let found = Detection(kind, label: kind == .command ? "stop" : "speech", start: start, end: end, score: 1)
      try await node.send(found, to: port, turn: stream, time: end)
    }

    func answer(_ phase: AnswerState.Phase, _ epoch: UInt32) async throws {
      try await node.send(AnswerState(phase, epoch: epoch, played: 0, heard: ""), to: "answer", turn: stream)
    }

    /// Ends it all: where each turn's sound begins and how long it is (milliseconds), what was said of the floor, and up to
    /// which turn all was interrupted.
    func end() async throws -> (turns: [UInt32: (start: Int64, length: Int)], floor: [String], cut: UInt32) {
      node.endSession(session)
      node.finish()
      var turns: [UInt32: (start: Int64, length: Int)] = [:]
      var floor: [String] = []
      var cut: UInt32 = 0
      while let event = try await node.next() {
        if case .turnCut(let turn) = event { cut = turn.epoch }
        guard case .message(_, let value, let turn, let time) = event else { continue }
        if let control = value as? Control { floor.append(control.name) }
        guard let chunk = value as? AudioChunk, chunk.frames > 0 else { continue }
        let before = turns[turn.epoch] ?? (time / 1_000_000, 0)
        turns[turn.epoch] = (before.start, before.length + chunk.frames / 16)
      }
      return (turns, floor, cut)
    }
  }

  private static func talk(
    _ parameters: [String: Dataflow.ParameterValue] = [:], _ body: (inout Talk) async throws -> Void
  ) async throws {
    try await withNode(VoiceActivityNode.self, parameters: parameters) { node in
      var talk = try await Talk(node)
      try await body(&talk)
    }
  }

  /// The filter before the judge rings for a frame.
  private static func isAbout(_ length: Int?, _ expected: Int) -> Bool {
    length.map { (expected...expected + 20).contains($0) } ?? false
  }

  @Test func nothingIsAQuestionUntilTheAnswerIsOver() async throws {
    try await Self.talk { talk in
      try await talk.ask()
      try await talk.ask()
      try await talk.answer(.speaking, 1)
      try await talk.ask()
      try await talk.answer(.finished, 1)
      try await talk.ask()
      let (turns, floor, cut) = try await talk.end()
      #expect(turns.keys.sorted() == [1, 2])
      #expect(turns[1]?.start == 0)
      // The fourth of them, with 300 ms before it.
      #expect(turns[2]?.start == 5_700)
      #expect(floor.isEmpty)
      #expect(cut == 0)
    }
  }

  @Test func aCommandSilencesTheAnswerAndWhatFollowsIsTheNextQuestion() async throws {
    try await Self.talk { talk in
      try await talk.ask()
      try await talk.answer(.speaking, 1)
      let start = talk.now
      try await talk.say(400)
      // It is told of 200 ms late, when the next question has begun.
      let end = talk.now
      try await talk.say(100, loud: false)
      try await talk.say(100)
      try await talk.detect(.command, from: start, to: end)
      try await talk.say(900)
      try await talk.say(1_000, loud: false)
      let (turns, _, cut) = try await talk.end()
      #expect(turns.keys.sorted() == [1, 2])
      // From behind the command on, though it was heard before.
      #expect(turns[2]?.start == end / 1_000_000)
      #expect(Self.isAbout(turns[2]?.length, 100 + 1_000 + 300))
      #expect(cut == 1)
    }
  }

  @Test func theEchoOfTheAnswersLastWordsIsNoQuestion() async throws {
    try await Self.talk { talk in
      try await talk.ask()
      try await talk.answer(.speaking, 1)
      let start = talk.now
      try await talk.say(400)
      let end = talk.now
      // The answer goes on until the command is found, and in the room a little longer.
      try await talk.say(200)
      try await talk.detect(.command, from: start, to: end)
      try await talk.say(60)
      try await talk.say(1_000, loud: false)
      try await talk.ask()
      let (turns, _, cut) = try await talk.end()
      #expect(turns.keys.sorted() == [1, 2])
      #expect(turns[2]?.start == (end / 1_000_000) + 200 + 60 + 1_000 - 300)
      #expect(cut == 1)
    }
  }

  @Test(arguments: [(late: 80, cut: 0), (late: 800, cut: 1)])
  func aCommandThatTheAssistantSaysItselfIsNone(late: Int, cut expected: UInt32) async throws {
    try await Self.talk { talk in
      try await talk.ask()
      try await talk.answer(.speaking, 1)
      let end = talk.now
      try await talk.detect(.command, from: end - 300_000_000, to: end, on: "own")
      try await talk.say(late + 200)
      let heard = end + Int64(late) * 1_000_000
      try await talk.detect(.command, from: heard - 300_000_000, to: heard)
      let (_, _, cut) = try await talk.end()
      #expect(cut == expected)
    }
  }

  @Test func speechThatInterruptsIsTheQuestionItself() async throws {
    try await Self.talk { talk in
      try await talk.ask()
      let start = talk.now
      try await talk.say(600)
      try await talk.detect(.speech, from: start, to: talk.now)
      try await talk.say(400)
      try await talk.say(1_000, loud: false)
      let (turns, _, cut) = try await talk.end()
      #expect(turns[2]?.start == start / 1_000_000 - 300)
      #expect(Self.isAbout(turns[2]?.length, 300 + 1_000 + 300))
      #expect(cut == 1)
    }
  }

  @Test func aFalseAlarmLetsTheAnswerGoOn() async throws {
    try await Self.talk(["resume-after": .int(2_000)]) { talk in
      try await talk.ask()
      let start = talk.now
      try await talk.say(200)
      try await talk.detect(.command, from: start, to: talk.now)
      // A cough is no reason to stop.
      try await talk.say(500, loud: false)
      try await talk.say(200)
      try await talk.say(2_500, loud: false)
      try await talk.answer(.finished, 1)
      let (turns, floor, cut) = try await talk.end()
      #expect(turns.keys.sorted() == [1])
      #expect(floor == ["pause", "resume"])
      #expect(cut == 0)
    }
  }

  @Test(arguments: [true, false]) func whoMeansItInterruptsForGood(bySpeaking: Bool) async throws {
    try await Self.talk(["resume-after": .int(2_000)]) { talk in
      try await talk.ask()
      let start = talk.now
      try await talk.say(200)
      try await talk.detect(.command, from: start, to: talk.now)
      try await talk.say(1_000, loud: false)
      let again = talk.now
      if bySpeaking {
        try await talk.say(1_500)
      } else {
        try await talk.say(200)
        try await talk.detect(.command, from: again, to: talk.now)
      }
      try await talk.say(3_000, loud: false)
      let (turns, floor, cut) = try await talk.end()
      #expect(turns.keys.sorted() == (bySpeaking ? [1, 2] : [1]))
      if bySpeaking { #expect(turns[2]?.start == again / 1_000_000 - 300) }
      #expect(floor == ["pause"])
      #expect(cut == 1)
    }
  }

  @Test func whatIsSaidIntoTheLastMomentsOfAnAnswerIsAQuestion() async throws {
    try await Self.talk { talk in
      try await talk.ask()
      try await talk.answer(.speaking, 1)
      let start = talk.now
      try await talk.say(300)
      try await talk.answer(.finished, 1)
      try await talk.say(700)
      try await talk.say(1_000, loud: false)
      let (turns, _, cut) = try await talk.end()
      #expect(turns[2]?.start == start / 1_000_000 - 300)
      #expect(Self.isAbout(turns[2]?.length, 300 + 1_000 + 300))
      #expect(cut == 0)
    }
  }

  @Test func detectionsNeedToBeToldOfAnswers() async throws {
    await #expect {
      try await withNode(VoiceActivityNode.self, without: ["answer"]) { node in
        while try await node.next() != nil {}
      }
    } throws: { "\($0)".contains("playback-gate") }
  }
}
