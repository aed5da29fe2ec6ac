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

@Suite struct BatchTests {
  /// Sends on what it takes at once, and how much that was.
  private struct BatchNode: Node {
    static let kind = "batch"
    static let summary = "Sends on what it takes at once."

    struct Ports: PortSet {
      let texts: Input<Text>
      let out: Output<Text>
      init(_ bind: inout PortBinder, _ parameters: NoParameters) {
        texts = bind.input("texts", help: "")
        out = bind.output("out", help: "")
      }
    }

    init(_ parameters: NoParameters, _ context: NodeContext) {}

    func run(_ ports: Ports) async throws {
      for try await batch in ports.texts.batches(of: 3) {
        let turn = batch[0].turn
        try await ports.out.send(contentsOf: [Text("\(batch.count)")] + batch.map(\.value), turn: turn, time: 5)
      }
    }
  }

  @Test(arguments: Carrier.allCases)
  func valuesComeInOrderAndMarksBehindThem(over carrier: Carrier) async throws {
    try await withNode(BatchNode.self, over: carrier) { node in
      let session = try await node.beginSession("a")
      let turn = try await node.beginTurn(in: session)
      for number in 0..<100 { try await node.send(Text("n\(number)"), to: "texts", turn: turn) }
      node.endTurn(turn)
      node.endSession(session)
      var (seen, announced): ([String], Int) = ([], 0)
      while case .message(_, let value, _, let time)? = try await node.next() {
        let text = (value as? Text)?.string ?? ""
        #expect(time == 5)
        if let count = Int(text) {
          #expect((1...3).contains(count) && announced == seen.count)
          announced += count
        } else {
          seen.append(text)
        }
        if seen.count == 100 { break }
      }
      #expect(seen == (0..<100).map { "n\($0)" })
      #expect(announced == 100)
      guard case .turnEnded? = try await node.next(), case .sessionEnded? = try await node.next() else {
        Issue.record("marks are missing")
        return
      }
      node.finish()
      #expect(try await node.next() == nil)
    }
  }
}

extension HarnessEvent? {
  static func == (a: HarnessEvent?, b: _OptionalNilComparisonType) -> Bool {
    if case .none = a { true } else { false }
  }
}
