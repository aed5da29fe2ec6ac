import Dataflow
import DataflowRuntime
import DataflowTesting
import Messages
import Synchronization
import Testing

/// What an interruption does to a graph under way.
@Suite(.timeLimit(.minutes(2))) struct InterruptionTests {
  @Test(arguments: Carrier.allCases)
  func aNodeThatPollsLeavesOffAndEveryNodeAcknowledges(over carrier: Carrier) async throws {
    let computing = Latch()
    let clock = ManualClock()
    let run = try RunTests.run(
      [
        "source": .opener { context, ports in
          guard let session = context.beginSession(named: "a") else { return }
          for number in 1...2 {
            let turn = context.beginTurn(in: session)
            try await ports.output.send(Text("\(number)"), turn: turn)
            context.endTurn(turn)
            // The second question waits for the first one's end.
            while number == 1, !turn.isCut, !context.isStopping { try await Task.sleep(for: .milliseconds(1)) }
          }
          context.endSession(session)
        },
        "worker": .node { context, ports in
          for try await text in ports.input {
            if text.value.string == "1" {
              context.log("computing")
              computing.open()
              while !text.turn.isCut {}
              context.log("left off")
            }
            try await ports.output.send(text.value, following: text)
          }
        },
        "sink": .printer,
      ], ["source.out -> worker.in", "worker.out -> sink.in"], apart: ["worker"], over: carrier, clock: clock)
    async let summary = run.run()
    await computing.wait()
    await run.until { !$0.begun.isEmpty }
    run.interrupt(session: "a")
    // The clock stands still: nobody is given up on.
    let turns = try await summary.turns
    #expect(turns.map(\.outcome) == [.interrupted(reason: "the test says so"), .completed])
    #expect(turns.allSatisfy { $0.unacknowledged.isEmpty })
    #expect(run.logged == ["worker: computing", "worker: left off"])
    #expect(run.printed == ["a#2:2", "a#2 ended", "a over"])
  }

  /// A node that has work to go on with looks for what has come, and waits for nothing.
  @Test func aNodeThatOnlyLooksHearsOfACutAndAcknowledgesIt() async throws {
    let (computing, clock) = (Latch(), ManualClock())
    let run = try RunTests.run(
      [
        "source": RunTests.speaker(sessions: 1, turns: 1, values: 1),
        "worker": .explicit { context, ports in
          var inputs = arrivals(on: ports.input, ports.side).makeAsyncIterator()
          while let arrival = try await inputs.next() {
            switch try ports.input.event(of: arrival) {
            case .message(let text):
              computing.open()
              while !text.turn.isCut {}
              var cut: Turn?
              while cut == nil { cut = try inputs.waiting()?.cut }
              context.log("cut \(cut?.epoch ?? 0)")
              while try inputs.waiting() != nil {}
              // What is acknowledged now is so before the node waits again.
              while try inputs.waiting() == nil, !context.isStopping { try await Task.sleep(for: .milliseconds(1)) }
            case .sessionEnded(let session): context.endSession(session)
            default: break
            }
          }
        },
        "sink": .printer,
      ], ["source.out -> worker.in", "worker.out -> sink.in"], clock: clock)
    async let summary = run.run()
    await computing.wait()
    await run.until { !$0.begun.isEmpty }
    run.interrupt(session: nil)
    await run.until { !$0.turns.isEmpty }
    #expect(run.turns.allSatisfy { $0.unacknowledged.isEmpty })
    #expect(run.logged == ["worker: cut 1"])
    run.stop()
    _ = try? await summary
  }

  @Test func aNodeThatDoesNotPollIsNamedWhenPatienceEnds() async throws {
    let (computing, heard, done) = (Latch(), Latch(), Latch())
    let clock = ManualClock()
    let run = try RunTests.run(
      [
        "source": RunTests.speaker(sessions: 1, turns: 1, values: 1),
        "worker": .node { _, ports in
          for try await text in ports.input {
            computing.open()
            done.block()
            try await ports.output.send(text.value, following: text)
          }
        },
        "sink": .node { context, ports in
          for try await event in ports.input.events {
            switch event {
            case .turnCut: heard.open()
            case .sessionEnded(let session): context.print("\(session.name) over")
            case .message, .sessionBegan, .turnEnded: break
            }
          }
        },
      ], ["source.out -> worker.in", "worker.out -> sink.in"], clock: clock)
    async let summary = run.run()
    await computing.wait()
    await run.until { !$0.begun.isEmpty }
    run.interrupt(session: nil)
    await heard.wait()
    // It acknowledges when it comes back for more, which it does at once.
    try await Task.sleep(for: .milliseconds(500))
    clock.advance(by: 60_000_000_000)
    await run.until { !$0.turns.isEmpty }
    done.open()
    let turns = try await summary.turns
    #expect(turns.map(\.outcome) == [.interrupted(reason: "the test says so")])
    #expect(turns.first?.unacknowledged == ["worker"])
    #expect(run.printed == ["s0 over"])
  }

  @Test(arguments: Carrier.allCases)
  func aSenderThatWaitsForRoomIsFreed(over carrier: Carrier) async throws {
    let (full, cut) = (Latch(), Latch())
    let run = try RunTests.run(
      [
        "source": .opener { context, ports in
          guard let session = context.beginSession(named: "a") else { return }
          let turn = context.beginTurn(in: session)
          for number in 0..<1_000 where !turn.isCut {
            if number == 1 { full.open() }
            try await ports.output.send(Text("\(number)"), turn: turn)
          }
          context.log(turn.isCut ? "freed" : "never cut")
          cut.open()
          context.endSession(session)
        },
        "sink": .node { _, ports in
          await cut.wait()
          for try await _ in ports.input {}
        },
      ], [["from": "source.out", "to": "sink.in", "depth": 2] as [String: Any]], apart: ["sink"], over: carrier,
      clock: ManualClock())
    async let summary = run.run()
    await full.wait()
    await run.until { !$0.begun.isEmpty }
    run.interrupt(session: "a")
    #expect(try await summary.turns.map(\.outcome) == [.interrupted(reason: "the test says so")])
    #expect(run.logged == ["source: freed"])
  }

  @Test(arguments: Carrier.allCases)
  func nodesThatHaveEndedAcknowledgeToo(over carrier: Carrier) async throws {
    let (computing, done) = (Latch(), Latch())
    let run = try RunTests.run(
      [
        "source": RunTests.speaker(sessions: 1, turns: 1, values: 1), "relay": .relay,
        "worker": .explicit { context, ports in
          var session: Session?
          var turn: Turn?
          for try await event in ports.input.events {
            if case .turnEnded(let ended) = event { turn = ended }
            if case .sessionEnded(let ended) = event { session = ended }
          }
          computing.open()
          await done.wait()
          if let turn { context.endTurn(turn) }
          if let session { context.endSession(session) }
        },
        "sink": .printer,
      ], ["source.out -> relay.in", "relay.out -> worker.in", "worker.out -> sink.in"], apart: ["worker"],
      over: carrier, clock: ManualClock())
    async let summary = run.run()
    await computing.wait()
    await run.until { !$0.begun.isEmpty }
    run.interrupt(session: "s0")
    // The worker takes nothing any more, and acknowledges when it ends.
    done.open()
    let turns = try await summary.turns
    #expect(turns.count == 1)
    if case .interrupted? = turns.first?.outcome { #expect(turns.first?.unacknowledged == []) }
  }

  @Test func aNodeThatLetsTheCutEscapeFailsByName() async throws {
    let computing = Latch()
    let run = try RunTests.run(
      [
        "source": RunTests.speaker(sessions: 1, turns: 1, values: 1),
        "worker": .node { _, ports in
          for try await text in ports.input {
            computing.open()
            while true { try text.turn.check() }
          }
        },
      ], ["source.out -> worker.in"])
    async let summary = run.run()
    await computing.wait()
    await run.until { !$0.begun.isEmpty }
    run.interrupt(session: "s0")
    #expect(
      try await summary.failure
        == "node worker failed: node worker let TurnCut escape from run when turn s0#1 was interrupted; "
        + "it must catch it and go on")
  }

  @Test func oneSessionsInterruptionLeavesTheOthersAlone() async throws {
    let computing = Latch()
    let run = try RunTests.run(
      [
        "source": RunTests.speaker(sessions: 3, turns: 1, values: 50),
        "worker": .node { _, ports in
          for try await text in ports.input {
            if text.session.name == "s1" {
              computing.open()
              while !text.turn.isCut { await Task.yield() }
            }
            try await ports.output.send(text.value, following: text)
          }
        },
        "sink": .printer,
      ], ["source.out -> worker.in", "worker.out -> sink.in"], clock: ManualClock())
    async let summary = run.run()
    await computing.wait()
    await run.until { $0.begun.contains("s1#1") }
    run.interrupt(session: "s1")
    let outcomes = Dictionary(try await summary.turns.map { ($0.session, $0.outcome) }) { first, _ in first }
    #expect(outcomes == ["s0": .completed, "s1": .interrupted(reason: "the test says so"), "s2": .completed])
    #expect(run.printed.filter { $0.hasPrefix("s0#1:") }.count == 50)
    #expect(run.printed.filter { $0.hasPrefix("s1#1") }.isEmpty)
    #expect(run.printed.filter { $0.hasPrefix("s2#1:") }.count == 50)
  }
}
