import Dataflow
import DataflowRuntime
import DataflowTesting
import GraphFile
import Messages
import Synchronization
import Testing

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A run in simulated time: hours pass in no time, and computing costs what it costs.
@Suite struct SimulatedTimeTests {
  @Test(.timeLimit(.minutes(1))) func hoursPassAsFastAsTheyAreComputed() async throws {
    let clock = SimulatedTime(nodes: 2, cost: 0)
    let run = try TestRun(
      graph: [
        "antiphon": 1,
        "nodes": [
          "ticks": ["kind": TickNode.kind, "with": ["count": 3_600]], "watch": ["kind": WatchNode.kind],
        ], "edges": ["ticks.tick -> watch.tick"],
      ], catalog: Self.catalog, clock: clock)
    #expect(try await run.run().failure == nil)
    // Each message came when it was sent, to the nanosecond: nobody computed.
    #expect(run.printed == (1...3_600).map { "\($0) at \($0) s + 0 ms" })
  }

  @Test(.timeLimit(.minutes(1))) func whatANodeComputesMakesItsMessagesLate() async throws {
    // A thousandth of a second of computing counts as ten.
    let clock = SimulatedTime(nodes: 3, cost: 10)
    let run = try TestRun(
      graph: [
        "antiphon": 1,
        "nodes": [
          "ticks": ["kind": TickNode.kind, "with": ["count": 3]], "work": ["kind": WorkNode.kind],
          "watch": ["kind": WatchNode.kind],
        ], "edges": ["ticks.tick -> work.tick", "work.done -> watch.tick"],
      ], catalog: Self.catalog, clock: clock)
    #expect(try await run.run().failure == nil)
    let late = run.printed.compactMap { $0.split(separator: "+ ").last.flatMap { Int($0.split(separator: " ")[0]) } }
    #expect(late.count == 3)
    #expect(late.allSatisfy { (90..<250).contains($0) }, "\(run.printed)")
  }

  @Test(.timeLimit(.minutes(1))) func whoeverWaitsForRoomDoesNotHoldTimeUp() async throws {
    let clock = SimulatedTime(nodes: 2, cost: 0)
    let run = try TestRun(
      graph: [
        "antiphon": 1,
        "nodes": [
          "ticks": ["kind": TickNode.kind, "with": ["count": 20]],
          "watch": ["kind": WatchNode.kind, "with": ["pause": 5]],
        ], "edges": [["from": "ticks.tick", "to": "watch.tick", "depth": 1]],
      ], catalog: Self.catalog, clock: clock)
    #expect(try await run.run().failure == nil)
    #expect(run.printed.count == 20)
    #expect(clock.now >= 100_000_000_000)
  }

  private static let catalog = NodeCatalog(
    nodes: [TickNode.self, WorkNode.self, WatchNode.self], messages: MessageTypes.all)
}

/// Says a number every second.
private struct TickNode: Node {
  static let kind = "ticks"
  static let summary = ""
  struct Parameters: NodeParameters {
    let count: Int
    init(_ read: inout ParameterReader) { count = read("count", default: 1, in: 1...100_000, help: "") }
  }
  struct Ports: PortSet {
    let tick: Output<Text>
    init(_ bind: inout PortBinder, _ parameters: Parameters) throws { tick = bind.output("tick", help: "") }
  }
  let parameters: Parameters
  let context: NodeContext
  init(_ parameters: Parameters, _ context: NodeContext) throws {
    (self.parameters, self.context) = (parameters, context)
  }
  mutating func run(_ ports: Ports) async throws {
    guard let session = context.beginSession(named: "ticks") else { return }
    for number in 1...parameters.count {
      try await context.clock.sleep(until: Int64(number) * 1_000_000_000)
      try await ports.tick.send(Text("\(number)"), turn: Turn(session, epoch: 0))
    }
    context.endSession(session)
  }
}

/// Computes for ten milliseconds.
private struct WorkNode: Node {
  static let kind = "work"
  static let summary = ""
  struct Ports: PortSet {
    let tick: Input<Text>
    let done: Output<Text>
    init(_ bind: inout PortBinder, _ parameters: NoParameters) throws {
      (tick, done) = (bind.input("tick", help: ""), bind.output("done", help: ""))
    }
  }
  init(_ parameters: NoParameters, _ context: NodeContext) throws {}
  mutating func run(_ ports: Ports) async throws {
    for try await text in ports.tick {
      var used = timespec()
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used)
      let end = used.tv_sec * 1_000_000_000 + used.tv_nsec + 10_000_000
      while used.tv_sec * 1_000_000_000 + used.tv_nsec < end { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) }
      try await ports.done.send(text.value, following: text)
    }
  }
}

/// Prints when things came.
private struct WatchNode: Node {
  static let kind = "watch"
  static let summary = ""
  struct Parameters: NodeParameters {
    let pause: Int
    init(_ read: inout ParameterReader) { pause = read("pause", default: 0, in: 0...60, unit: "s", help: "") }
  }
  struct Ports: PortSet {
    let tick: Input<Text>
    init(_ bind: inout PortBinder, _ parameters: Parameters) throws { tick = bind.input("tick", help: "") }
  }
  let parameters: Parameters
  let context: NodeContext
  init(_ parameters: Parameters, _ context: NodeContext) throws {
    (self.parameters, self.context) = (parameters, context)
  }
  mutating func run(_ ports: Ports) async throws {
    for try await text in ports.tick {
      let now = context.clock.now
      context.print("\(text.value.string) at \(now / 1_000_000_000) s + \(now / 1_000_000 % 1_000) ms")
      if parameters.pause > 0 {
        try await context.clock.sleep(until: now + Int64(parameters.pause) * 1_000_000_000)
      }
    }
  }
}
