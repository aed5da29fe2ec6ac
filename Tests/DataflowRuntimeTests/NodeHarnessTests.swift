import Dataflow
import DataflowRuntime
import DataflowTesting
import Messages
import Testing
import VoiceGate

@Suite struct NodeHarnessTests {
  static let loud = AudioChunk(samples: SharedBuffer([Float](repeating: 0.5, count: 160)), rate: 16000)
  static let quiet = AudioChunk(samples: SharedBuffer([Float](repeating: 0.0001, count: 160)), rate: 16000)

  @Test(arguments: Carrier.allCases)
  func aNodeGetsWhatIsSentAndItsTurnsEnd(over carrier: Carrier) async throws {
    try await withNode(VoiceGateNode.self, over: carrier) { node in
      let session = try await node.beginSession("a")
      let turn = try await node.beginTurn(in: session)
      try await node.send(Self.quiet, to: "audio", turn: turn)
      try await node.send(Self.loud, to: "audio", turn: turn, time: 7)
      node.endTurn(turn)
      node.endSession(session)
      guard case .message(let port, let value, let sameTurn, let time)? = try await node.next() else {
        Issue.record("no message")
        return
      }
      #expect(port == "speech")
      #expect(value as? AudioChunk == Self.loud)
      #expect(sameTurn == turn)
      #expect(time == 7)
      guard case .turnEnded? = try await node.next() else {
        Issue.record("the turn did not end")
        return
      }
      guard case .sessionEnded? = try await node.next() else {
        Issue.record("the session did not end")
        return
      }
      node.finish()
      #expect(try await node.next() == nil)
      // The coordinator hears of it on a way of its own.
      while node.turns.isEmpty { await Task.yield() }
      #expect(node.turns.map(\.outcome) == [.completed])
    }
  }
}

extension HarnessEvent? {
  static func == (a: HarnessEvent?, b: _OptionalNilComparisonType) -> Bool {
    if case .none = a { true } else { false }
  }
}
