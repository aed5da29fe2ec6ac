import Dataflow
import DataflowTesting
import Messages
import Testing
import VoiceActivity

/// 20 ms of noise or silence.
private func chunk(loud: Bool) -> AudioChunk {
  AudioChunk(samples: SharedBuffer((0..<320).map { loud ? ($0 % 3 == 0 ? 0.3 : -0.2) : 0 }), rate: 16_000)
}

@Suite struct VoiceActivityNodeTests {
  @Test func sessionsAreCutApart() async throws {
    try await withNode(VoiceActivityNode.self, without: ["answer", "detections"]) { node in
      let sessions = [try await node.beginSession("a"), try await node.beginSession("b")]
      // Both speak at once; a pauses twice, b not at all.
      for index in 0..<200 {
        for (number, session) in sessions.enumerated() {
          let isLoud = number == 0 ? index % 100 < 40 : index < 120
          try await node.send(chunk(loud: isLoud), to: "audio", turn: Turn(session, epoch: 0))
        }
      }
      for session in sessions { node.endSession(session) }
      node.finish()
      var turns: [String: [UInt32: Int]] = [:]
      var ended: [String] = []
      while let event = try await node.next() {
        switch event {
        case .message(_, let value, let turn, _):
          turns[turn.session.name, default: [:]][turn.epoch, default: 0] += (value as? AudioChunk)?.frames ?? 0
        case .turnEnded(let port, let turn): if port == "speech" { ended.append("\(turn)") }
        case .turnCut, .sessionEnded: break
        }
      }
      #expect(turns["a"]?.count == 2)
      #expect(turns["b"]?.count == 1)
      #expect(ended.sorted() == ["a#1", "a#2", "b#1"])
    }
  }

  @Test func afterAnInterruptionANewTurnBegins() async throws {
    try await withNode(VoiceActivityNode.self, without: ["answer", "detections"]) { node in
      let session = try await node.beginSession("a")
      func speak(_ chunks: Int, loud: Bool) async throws {
        for _ in 0..<chunks { try await node.send(chunk(loud: loud), to: "audio", turn: Turn(session, epoch: 0)) }
      }
      try await speak(10, loud: true)
      _ = try await node.next(AudioChunk.self, from: "speech")
      node.interrupt(session)
      while node.turns.isEmpty { await Task.yield() }
      try await speak(20, loud: true)
      node.endSession(session)
      node.finish()
      var epochs: Set<UInt32> = []
      while let event = try await node.next() {
        if case .message(_, _, let turn, _) = event { epochs.insert(turn.epoch) }
      }
      #expect(epochs.max() == 2)
    }
  }
}
