import Dataflow
import DataflowRuntime
import DataflowTesting
import Messages
import Synchronization
import Testing

/// Whole graphs of scripted nodes, in this process: sessions, turns, failures, ends. The same on every carrier.
@Suite(.timeLimit(.minutes(2))) struct RunTests {
  static func run(
    _ nodes: [String: Scripted], _ edges: [Any], apart: [String] = [], over carrier: Carrier = .direct,
    clock: any TimeSource = SystemTime()
  ) throws -> TestRun {
    try TestRun(graph: Scripted.graph(nodes, edges), apart: apart, over: carrier, catalog: .scripts, clock: clock)
  }

  /// Speaks some turns in each of some sessions, in turns.
  static func speaker(sessions: Int, turns: Int, values: Int) -> Scripted {
    .opener { context, ports in
      let sessions = (0..<sessions).compactMap { context.beginSession(named: "s\($0)") }
      for _ in 0..<turns {
        let open = sessions.map { context.beginTurn(in: $0) }
        for number in 0..<values {
          for turn in open { try await ports.output.send(Text("\(number)"), turn: turn) }
        }
        for turn in open { context.endTurn(turn) }
      }
      for session in sessions { context.endSession(session) }
    }
  }

  @Test(arguments: Carrier.allCases)
  func sessionsNeverMixAndTurnsComeInOrder(over carrier: Carrier) async throws {
    let run = try Self.run(
      ["source": Self.speaker(sessions: 4, turns: 3, values: 40), "relay": .relay, "sink": .printer],
      [["from": "source.out", "to": "relay.in", "depth": 3] as [String: Any], "relay.out -> sink.in"],
      apart: ["relay"], over: carrier)
    let summary = try await run.run()
    #expect(summary.failure == nil)
    for session in 0..<4 {
      let mine = run.printed.filter { $0.hasPrefix("s\(session)") }
      let expected = (1...3).flatMap { turn in
        (0..<40).map { "s\(session)#\(turn):\($0)" } + ["s\(session)#\(turn) ended"]
      }
      #expect(mine == expected + ["s\(session) over"])
    }
    #expect(summary.turns.count == 12)
    #expect(summary.turns.allSatisfy { $0.outcome == .completed })
  }

  @Test func aNodeTakesWhatHasComeAndWaitsForNoMore() async throws {
    let (sent, looked) = (Latch(), Latch())
    let run = try Self.run(
      [
        "source": .opener { context, ports in
          guard let session = context.beginSession(named: "a") else { return }
          let turn = context.beginTurn(in: session)
          for number in 1...4 { try await ports.output.send(Text("\(number)"), turn: turn) }
          sent.open()
          await looked.wait()
          try await ports.output.send(Text("5"), turn: turn)
          context.endTurn(turn)
          context.endSession(session)
        },
        "sink": .node { context, ports in
          sent.block()
          var events = ports.input.events.makeAsyncIterator()
          while let event = try await events.next() {
            var line = ""
            if case .message(let text) = event { line += text.value.string }
            while let event = try events.waiting() {
              if case .message(let text) = event { line += text.value.string }
            }
            if !line.isEmpty { context.print(line) }
            looked.open()
          }
        },
      ], ["source.out -> sink.in"])
    #expect(try await run.run().failure == nil)
    #expect(run.printed == ["1234", "5"])
    #expect(run.turns.map(\.outcome) == [.completed])
  }

  @Test(arguments: Carrier.allCases)
  func whatFansOutAndInComesWholeAndItsMarksOnce(over carrier: Carrier) async throws {
    let run = try Self.run(
      [
        "source": Self.speaker(sessions: 2, turns: 2, values: 20), "left": .relay, "right": .relay, "sink": .printer,
        "other": .printer,
      ],
      [
        "source.out -> left.in", "source.out -> right.in", "left.out -> sink.in", "right.out -> sink.in",
        "source.out -> other.in",
      ],
      apart: ["left", "other"], over: carrier)
    let summary = try await run.run()
    #expect(summary.failure == nil)
    #expect(summary.turns.map(\.outcome) == [.completed, .completed, .completed, .completed])
    for session in 0..<2 {
      for turn in 1...2 {
        let values = run.printed.filter { $0.hasPrefix("s\(session)#\(turn):") }
        // Two ways to the sink and one to the other.
        #expect(values.count == 60)
      }
    }
  }

  @Test func aFailureNamesTheNodeAndEndsTheRun() async throws {
    struct Broken: Error, CustomStringConvertible { var description: String { "out of ideas" } }
    let run = try Self.run(
      [
        "source": Self.speaker(sessions: 1, turns: 1, values: 100),
        "worker": .node { _, ports in
          for try await text in ports.input where text.value.string == "7" { throw Broken() }
        },
      ], ["source.out -> worker.in"])
    let summary = try await run.run()
    #expect(summary.failure == "node worker failed: out of ideas")
    #expect(summary.turns.count == 1)
    #expect(summary.turns.first?.outcome != .completed)
  }

  @Test(arguments: Carrier.allCases)
  func aFailureWhileLoadingNamesTheNodeAndStartsNothing(over carrier: Carrier) async throws {
    struct Broken: Error, CustomStringConvertible { var description: String { "the model is damaged" } }
    var worker = Scripted.relay
    worker.load = { throw Broken() }
    let run = try Self.run(
      ["source": Self.speaker(sessions: 1, turns: 1, values: 1), "worker": worker, "sink": .printer],
      ["source.out -> worker.in", "worker.out -> sink.in"], apart: ["worker"], over: carrier)
    #expect(try await run.run().failure == "node worker failed: the model is damaged")
    #expect(run.printed.isEmpty && run.turns.isEmpty)
  }

  @Test(arguments: Carrier.allCases)
  func aStopWhileLoadingEndsTheRunAndStartsNothing(over carrier: Carrier) async throws {
    let (loading, loaded) = (Latch(), Latch())
    var worker = Scripted.relay
    worker.load = {
      loading.open()
      loaded.block()
    }
    let run = try Self.run(
      ["source": Self.speaker(sessions: 1, turns: 1, values: 1), "worker": worker, "sink": .printer],
      ["source.out -> worker.in", "worker.out -> sink.in"], apart: ["worker"], over: carrier)
    async let summary = run.run()
    await loading.wait()
    run.stop()
    loaded.open()
    #expect(try await summary.failure == "the test is over")
    #expect(run.printed.isEmpty && run.turns.isEmpty)
  }

  @Test(arguments: Carrier.allCases)
  func aStopFreesSendersThatWaitForRoom(over carrier: Carrier) async throws {
    let full = Latch()
    let run = try Self.run(
      [
        "source": Self.speaker(sessions: 1, turns: 1, values: 1_000_000),
        "sink": .node { context, ports in
          var values = ports.input.makeAsyncIterator()
          _ = try await values.next()
          full.open()
          // Until it is stopped it takes no more, and what fills the edge stays.
          while !context.isStopping { try await Task.sleep(for: .milliseconds(1)) }
        },
      ], [["from": "source.out", "to": "sink.in", "depth": 2] as [String: Any]], apart: ["sink"], over: carrier)
    async let summary = run.run()
    await full.wait()
    run.stop()
    #expect(try await summary.failure == "the test is over")
    #expect(run.turns.map(\.outcome) == [.failed(reason: "the run ended before the turn did")])
  }

  @Test func aFailedTurnIsNotAFailedRun() async throws {
    let run = try Self.run(
      [
        "source": Self.speaker(sessions: 1, turns: 3, values: 1),
        "worker": .node { context, ports in
          for try await text in ports.input {
            if text.turn.epoch == 2 { context.fail(text.turn, because: "too hard") }
            try await ports.output.send(text.value, following: text)
          }
        },
        "sink": .printer,
      ], ["source.out -> worker.in", "worker.out -> sink.in"])
    let summary = try await run.run()
    #expect(summary.failure == nil)
    #expect(summary.turns.map(\.outcome) == [.completed, .failed(reason: "worker: too hard"), .completed])
  }

  @Test func whatFailsASessionIsSaid() async throws {
    let run = try Self.run(
      [
        "source": .opener { context, ports in
          guard let session = context.beginSession(named: "a") else { return }
          context.fail(Turn(session, epoch: 0), because: "its file is empty")
          context.endSession(session)
        },
        "sink": .printer,
      ], ["source.out -> sink.in"])
    #expect(try await run.run().failure == nil)
    #expect(run.turns.map(\.epoch) == [0])
    #expect(run.turns.map(\.outcome) == [.failed(reason: "source: its file is empty")])
  }

  @Test(arguments: Carrier.allCases)
  func aNodeThatEndsTurnsItselfMayTakeItsTime(over carrier: Carrier) async throws {
    let run = try Self.run(
      [
        "source": Self.speaker(sessions: 1, turns: 2, values: 2),
        // Answers both questions only when the session is over.
        "worker": .explicit { context, ports in
          var turns: [Turn] = []
          for try await event in ports.input.events {
            switch event {
            case .turnEnded(let turn): turns.append(turn)
            case .sessionEnded(let session):
              for turn in turns {
                try await ports.output.send(Text("answer"), turn: turn)
                context.endTurn(turn)
              }
              context.endSession(session)
            default: break
            }
          }
        },
        "sink": .printer,
      ], ["source.out -> worker.in", "worker.out -> sink.in"], apart: ["worker"], over: carrier)
    let summary = try await run.run()
    #expect(run.printed == ["s0#1:answer", "s0#1 ended", "s0#2:answer", "s0#2 ended", "s0 over"])
    #expect(summary.turns.map(\.outcome) == [.completed, .completed])
  }

  @Test(arguments: Carrier.allCases)
  func aLoopEndsWithItsSessions(over carrier: Carrier) async throws {
    let run = try Self.run(
      [
        "source": Self.speaker(sessions: 3, turns: 2, values: 1),
        // Counts down from 20, a step each time round.
        "step": .explicit { context, ports in
          var open: Set<Turn> = []
          var over: Set<Session> = []
          func endIfDone(_ session: Session) {
            if over.contains(session), !open.contains(where: { $0.session == session }) { context.endSession(session) }
          }
          for try await arrival in arrivals(on: ports.input, ports.side) {
            if let event = try ports.input.event(of: arrival) {
              switch event {
              case .message(let text):
                open.insert(text.turn)
                try await ports.output.send(Text("20"), turn: text.turn)
              case .sessionEnded(let session):
                over.insert(session)
                endIfDone(session)
              default: break
              }
            } else if case .message(let text)? = try ports.side.event(of: arrival) {
              if text.value.string == "0" {
                open.remove(text.turn)
                context.endTurn(text.turn)
                endIfDone(text.session)
              } else {
                try await ports.output.send(text.value, following: text)
              }
            }
          }
        },
        "head": .node { context, ports in
          for try await text in ports.input {
            let number = Int(text.value.string) ?? 0
            try await ports.aside.send(Text("\(number - 1)"), following: text)
            context.print("\(text.turn):\(number)")
          }
        },
      ],
      [
        "source.out -> step.in", "step.out -> head.in",
        ["from": "head.aside", "to": "step.side", "feedback": true, "depth": 4] as [String: Any],
      ], apart: ["head"], over: carrier)
    let summary = try await run.run()
    #expect(summary.failure == nil)
    #expect(run.printed.filter { $0.hasPrefix("s1#2:") }.count == 20)
  }

  @Test(arguments: Carrier.allCases)
  func lossIsCounted(over carrier: Carrier) async throws {
    for policy in ["drop-oldest", "latest"] {
      let sent = Latch()
      let edge: [String: Any] = ["from": "source.out", "to": "sink.in", "policy": policy]
      let run = try Self.run(
        [
          "source": .opener { context, ports in
            guard let session = context.beginSession(named: "a") else { return }
            let turn = context.beginTurn(in: session)
            for number in 0..<500 { try await ports.output.send(Text("\(number)"), turn: turn) }
            sent.open()
            context.endTurn(turn)
            context.endSession(session)
          },
          "sink": .node { context, ports in
            await sent.wait()
            for try await text in ports.input { context.print(text.value.string) }
          },
        ], [edge], apart: ["sink"], over: carrier)
      let summary = try await run.run()
      #expect(summary.failure == nil)
      #expect(summary.turns.map(\.outcome) == [.completed])
      let statistics = summary.edges.map(\.statistics)
      #expect(run.printed.last == "499")
      #expect(run.printed.count + statistics.map(\.dropped).reduce(0, +) == 500, "over \(carrier), \(policy)")
    }
  }

  @Test(arguments: Carrier.allCases)
  func aFullEdgeOfPolicyFailSaysWhichAndEndsTheRun(over carrier: Carrier) async throws {
    let run = try Self.run(
      [
        "source": Self.speaker(sessions: 1, turns: 1, values: 100),
        "sink": .node { context, ports in
          while !context.isStopping { try await Task.sleep(for: .milliseconds(1)) }
        },
      ], [["from": "source.out", "to": "sink.in", "depth": 2, "policy": "fail"] as [String: Any]], apart: ["sink"],
      over: carrier)
    #expect(
      try await run.run().failure
        == "node source failed: edge source.out -> sink.in is full (depth 2) and its policy is fail; "
        + "raise its depth or choose another policy")
  }

  @Test(arguments: Carrier.allCases)
  func aNodeThatLeavesItsInputsFailsByName(over carrier: Carrier) async throws {
    let run = try Self.run(
      [
        "source": Self.speaker(sessions: 1, turns: 1, values: 1_000),
        "worker": .node { _, ports in
          var values = ports.input.makeAsyncIterator()
          _ = try await values.next()
        },
        "sink": .printer,
      ], ["source.out -> worker.in", "worker.out -> sink.in"], apart: ["worker"], over: carrier)
    #expect(
      try await run.run().failure
        == "node worker failed: it returned while messages still came in; run must read its inputs to their end")
  }

  @Test func aWatcherMayStopTheRun() async throws {
    let graph = try Scripted.plan(["a": ScriptOpenerNode.kind, "b": ScriptNode.kind], ["a.out -> b.in"])
    let run = GraphRun(plan: graph, catalog: .scripts)
    let summary = try await run.run { event in if case .started = event { run.stop(because: "the watcher says so") } }
    #expect(summary.failure == "the watcher says so")
  }
}
