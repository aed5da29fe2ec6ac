import Dataflow
import DataflowTesting
import Messages
import Testing
import TextOutput

@Suite struct TextOutputTests {
  @Test func aTurnIsALine() async throws {
    try await withNode(TextOutputNode.self, parameters: ["label": .string("{session} {turn}: ")]) { node in
      let sessions = [try await node.beginSession("a"), try await node.beginSession("b")]
      var turns: [Turn] = []
      for session in sessions { turns.append(try await node.beginTurn(in: session)) }
      // Interleaved.
      for piece in [" Hel", "lo,\n  wor", "ld. "] {
        for turn in turns { try await node.send(Text(piece), to: "text", turn: turn) }
      }
      for turn in turns { node.endTurn(turn) }
      let empty = try await node.beginTurn(in: sessions[0])
      node.endTurn(empty)
      for session in sessions { node.endSession(session) }
      while node.turns.count < 3 { await Task.yield() }
      #expect(node.printed.sorted() == ["a 1: Hello, world.", "b 1: Hello, world."])
    }
  }

  @Test func whatCameBeforeAnInterruptionIsPrinted() async throws {
    try await withNode(TextOutputNode.self, parameters: ["stream": .bool(true)]) { node in
      let session = try await node.beginSession("a")
      let turn = try await node.beginTurn(in: session)
      try await node.send(Text("Once, upon a"), to: "text", turn: turn)
      // The node has taken it once it shows it.
      while node.shown.isEmpty { await Task.yield() }
      node.interrupt(session)
      node.endSession(session)
      while node.turns.isEmpty { await Task.yield() }
      #expect(node.printed == ["Once, upon a"])
    }
  }

  @Test func theTextIsShownAsItGrows() async throws {
    try await withNode(TextOutputNode.self, parameters: ["stream": .bool(true)]) { node in
      let session = try await node.beginSession("a")
      let turn = try await node.beginTurn(in: session)
      for piece in ["One", ", two", ", three"] { try await node.send(Text(piece), to: "text", turn: turn) }
      node.endTurn(turn)
      node.endSession(session)
      while node.turns.isEmpty { await Task.yield() }
      #expect(node.printed == ["One, two, three"])
      #expect(node.shown.last == "One, two, three")
    }
  }
}
