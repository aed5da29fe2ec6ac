import Dataflow
import DataflowRuntime
import DataflowTesting
import Messages
import PlaybackGate
import Testing

/// The gate between answers and a device that plays at 24 kHz.
@Suite struct PlaybackGateTests {
  private static let rate = 24_000
  private static let block = 240

  /// A ramp, so that each sample tells where it stood.
  private static func sound(_ range: Range<Int>) -> AudioChunk {
    AudioChunk(samples: SharedBuffer(range.map { Float($0) / 100_000 }), rate: rate)
  }

  @Test func withoutADeviceSoundPassesAsItCame() async throws {
    try await withNode(PlaybackGateNode.self, without: ["playhead"]) { node in
      var out = Reader(node)
      let session = try await node.beginSession("a")
      let turn = try await node.beginTurn(in: session)
      try await node.send(Self.sound(0..<1_000), to: "audio", turn: turn)
      node.endTurn(turn)
      var samples: [Float] = []
      while samples.count < 1_000 { samples += try await out.next(AudioChunk.self, from: "audio").samples }
      #expect(samples == (0..<1_000).map { Float($0) / 100_000 })
      #expect(try await out.next(AnswerState.self, from: "answer").phase == .speaking)
      #expect(
        try await out.next(AnswerState.self, from: "answer")
          == AnswerState(.finished, epoch: 1, played: 41_666_666, heard: ""))
    }
  }

  @Test func theDeviceIsGivenOnlyWhatItSoonPlays() async throws {
    try await withNode(PlaybackGateNode.self) { node in
      var out = Reader(node)
      let (session, turn) = try await speak(0..<24_000, to: node)
      var given = 0
      for head in 0..<20 {
        // Three blocks ahead of what was played.
        while given < (head + 3) * Self.block { given += try await out.next(AudioChunk.self, from: "audio").frames }
        #expect(given == (head + 3) * Self.block)
        try await play((head + 1) * Self.block, to: node, session)
      }
      node.endTurn(turn)
    }
  }

  @Test func whatIsCutFadesAndIsHeardToTheSample() async throws {
    try await withNode(PlaybackGateNode.self) { node in
      var out = Reader(node)
      let (session, turn) = try await speak(0..<24_000, to: node)
      try await node.send(
        Said([SaidText("Hello", end: 20_000_000), SaidText(" there", end: 300_000_000)]), to: "said", turn: turn)
      var samples: [Float] = []
      // What was said has been read when what was played after it has been: the next block shows that.
      try await play(Self.block, to: node, session)
      while samples.count < 4 * Self.block { samples += try await out.next(AudioChunk.self, from: "audio").samples }
      node.interrupt(session)
      let farewell = try await out.next(AudioChunk.self, from: "audio")
      // 5 ms that go on where the sound was, and end at nothing.
      #expect(farewell.frames == 120)
      #expect(abs(farewell.samples[0] - 0.0096) < 0.0001)
      #expect(abs(farewell.samples[119]) < 0.0001)
      #expect(try await out.next(AnswerState.self, from: "answer").phase == .speaking)
      #expect(
        try await out.next(AnswerState.self, from: "answer")
          == AnswerState(.cut, epoch: 1, played: 45_000_000, heard: "Hello"))
    }
  }

  @Test func aPausedAnswerGoesOnWhereItStopped() async throws {
    try await withNode(PlaybackGateNode.self) { node in
      var out = Reader(node)
      let (session, turn) = try await speak(0..<4_800, to: node)
      node.endTurn(turn)
      var samples: [Float] = []
      func hear(upTo count: Int) async throws {
        while samples.count < count {
          samples += try await out.next(AudioChunk.self, from: "audio").samples
          try await play(samples.count, to: node, session)
        }
      }
      try await hear(upTo: 5 * Self.block)
      try await node.send(Control("pause"), to: "control", turn: Turn(session, epoch: 0))
      // Its few milliseconds may have had blocks before them that were on their way.
      while abs(samples.last ?? 1) > 0.0001 { try await hear(upTo: samples.count + 1) }
      let stopped = samples.count
      try await node.send(Control("resume"), to: "control", turn: Turn(session, epoch: 0))
      try await hear(upTo: 4_800)
      #expect(samples.count == 4_800)
      // All of it but the fades is what it was.
      let ramp = (0..<4_800).map { Float($0) / 100_000 }
      #expect(samples[..<(stopped - 120)] == ramp[..<(stopped - 120)])
      #expect(samples[(stopped + 120)...] == ramp[(stopped + 120)...])
      var phases: [AnswerState.Phase] = []
      while phases.last != .finished { phases.append(try await out.next(AnswerState.self, from: "answer").phase) }
      #expect(phases == [.speaking, .paused, .speaking, .finished])
    }
  }

  @Test func anAnswerWithoutSoundIsFinishedAtOnce() async throws {
    try await withNode(PlaybackGateNode.self) { node in
      var out = Reader(node)
      let session = try await node.beginSession("a")
      let turn = try await node.beginTurn(in: session)
      node.endTurn(turn)
      #expect(
        try await out.next(AnswerState.self, from: "answer")
          == AnswerState(.finished, epoch: 1, played: 0, heard: ""))
    }
  }

  @Test func anAnswerThatNeverCameIsCutAllTheSame() async throws {
    try await withNode(PlaybackGateNode.self) { node in
      var out = Reader(node)
      let session = try await node.beginSession("a")
      _ = try await node.beginTurn(in: session)
      node.interrupt(session)
      #expect(
        try await out.next(AnswerState.self, from: "answer") == AnswerState(.cut, epoch: 1, played: 0, heard: ""))
    }
  }

  @Test func soundOfAnotherRateFailsTheTurn() async throws {
    try await withNode(PlaybackGateNode.self, without: ["playhead"]) { node in
      let (session, turn) = try await speak(0..<480, to: node)
      try await node.send(AudioChunk(samples: SharedBuffer([Float(0.5)]), rate: 8_000), to: "audio", turn: turn)
      node.endTurn(turn)
      node.endSession(session)
      node.finish()
      while try await node.next() != nil {}
      guard case .failed(let reason)? = node.turns.first?.outcome else {
        Issue.record("\(node.turns)")
        return
      }
      #expect(reason.contains("8000 Hz"))
    }
  }

  private func speak(_ range: Range<Int>, to node: NodeHarness) async throws -> (Session, Turn) {
    let session = try await node.beginSession("a")
    let turn = try await node.beginTurn(in: session)
    try await node.send(Self.sound(range), to: "audio", turn: turn)
    return (session, turn)
  }

  private func play(_ frames: Int, to node: NodeHarness, _ session: Session) async throws {
    try await node.send(
      Playhead(frames: frames, rate: Self.rate), to: "playhead", turn: Turn(session, epoch: 0),
      time: Int64(frames) * 1_000_000_000 / Int64(Self.rate))
  }
}

/// Reads the ports of a node one by one, whatever comes out of the others meanwhile.
private struct Reader {
  private let node: NodeHarness
  private var waiting: [(port: String, message: any Message)] = []

  init(_ node: NodeHarness) { self.node = node }

  mutating func next<Value: Message>(_: Value.Type, from port: String) async throws -> Value {
    while true {
      if let place = waiting.firstIndex(where: { $0.port == port }) {
        return try #require(waiting.remove(at: place).message as? Value)
      }
      let event = try #require(try await node.next(), "the node has ended")
      if case .message(let from, let message, _, _) = event { waiting.append((from, message)) }
    }
  }
}
