package import Dataflow
package import DataflowRuntime
import Foundation
import GraphFile
import Synchronization

/// What carries the edges of a test's graph.
public enum Carrier: String, Sendable, CaseIterable {
  /// Straight into the mailbox.
  case direct
  /// By reference through ZeroMQ inproc sockets.
  case inproc
  /// Between parts, over sockets in the file system.
  case ipc
  /// Between parts, over tcp on the loopback address.
  case tcp
}

/// A graph run within a test, with all that it told kept for questions.
package final class TestRun: Sendable {
  private struct Record {
    var printed: [String] = []
    var logged: [String] = []
    var begun: [String] = []
    var shown: [String] = []
    var turns: [TurnRecord] = []
    var failure: String?
    var isOver = false
    var whenOver: [@Sendable () -> Void] = []
    var waiters = 0
    var waiting: [Int: (condition: @Sendable (TestRun) -> Bool, continuation: CheckedContinuation<Void, Never>)] = [:]
  }
  private let record = Mutex(Record())
  private let graphRun: GraphRun
  private let directory: RunDirectory

  /// - Parameters:
  ///   - graph: the graph file's contents, as JSON would have them.
  ///   - apart, parts, carrier: see ``init(file:overrides:swaps:apart:parts:over:catalog:seed:clock:)``.
  package convenience init(
    graph: [String: Any], apart: [String] = [], parts: [[String]] = [], over carrier: Carrier = .direct,
    catalog: NodeCatalog, seed: UInt64 = 0, clock: any TimeSource = SystemTime()
  ) throws {
    let directory = try RunDirectory()
    try self.init(
      file: try directory.write(graph, to: "graph.yaml"), apart: apart, parts: parts, over: carrier, catalog: catalog,
      seed: seed, clock: clock, directory: directory)
  }

  /// - Parameters:
  ///   - file: the graph file.
  ///   - overrides, swaps: as `--set` and `--swap` give them.
  ///   - apart: nodes that live in a part of their own if the carrier goes between parts.
  ///   - parts: instead of `apart`, the nodes of several parts; what is in none lives in one more.
  package init(
    file: String, overrides: [String] = [], swaps: [String] = [], apart: [String] = [], parts: [[String]] = [],
    over carrier: Carrier = .direct, catalog: NodeCatalog, seed: UInt64 = 0, clock: any TimeSource = SystemTime(),
    directory: RunDirectory? = nil
  ) throws {
    let directory = try directory ?? RunDirectory()
    self.directory = directory
    let description = try GraphDescription.load(path: file, overrides: overrides, swaps: swaps)
    var placement: Placement?
    if carrier == .ipc || carrier == .tcp {
      func part(_ nodes: [String], _ port: Int) -> [String: Any] {
        carrier == .tcp
          ? ["nodes": nodes, "host": "127.0.0.\(port)", "ports": Self.ports()]
          : ["nodes": nodes]
      }
      let apart = parts.isEmpty ? [apart] : parts
      var all: [String: Any] = [:]
      for (index, nodes) in apart.enumerated() { all["part\(index)"] = part(nodes, index + 1) }
      all["rest"] = part(["*"], apart.count + 1)
      var contents: [String: Any] = ["antiphon": 1, "parts": all]
      // Nobody lives there: all parts are in this process.
      if carrier == .tcp { contents["coordinator"] = "tcp://127.0.0.250:1" }
      placement = try Placement.load(path: try directory.write(contents, to: "placement.yaml"))
    }
    let plan = try Planner.plan(
      description, placement: placement, catalog: catalog,
      options: Planner.Options(
        settings: RunSettings(seed: seed, threads: 1), runDirectory: directory.path,
        forcesInproc: carrier == .inproc))
    var options = GraphRun.Options()
    options.hostsEverything = true
    graphRun = GraphRun(plan: plan, catalog: catalog, options: options, clock: clock)
  }

  package func run() async throws -> RunSummary {
    defer {
      tell { $0.isOver = true }
      for action in record.withLock({ $0.whenOver }) { action() }
    }
    // A test whose time is up is cancelled, and would wait for ever for a graph that hangs.
    let graphRun = graphRun
    return try await withTaskCancellationHandler {
      try await observed()
    } onCancel: {
      graphRun.stop(because: "the test's time is up")
    }
  }

  private func observed() async throws -> RunSummary {
    let summary = try await graphRun.run { event in
      self.tell { record in
        switch event {
        case .print(_, let text): record.printed.append(text)
        case .log(let node, let text): record.logged.append("\(node): \(text)")
        case .turnBegan(let session, let epoch): record.begun.append("\(session)#\(epoch)")
        case .show(_, let text): record.shown.append(text)
        case .turnEnded(let turn): record.turns.append(turn)
        default: break
        }
      }
    }
    record.withLock { $0.failure = summary.failure }
    return summary
  }

  private func tell(_ change: (inout Record) -> Void) {
    let (waiting, isOver) = record.withLock { record in
      change(&record)
      return (record.waiting, record.isOver)
    }
    // Conditions ask this object, so the lock is not held.
    for (number, waiter) in waiting where isOver || waiter.condition(self) {
      record.withLock { $0.waiting.removeValue(forKey: number) }?.continuation.resume()
    }
  }

  /// Waits until what was told so far meets a condition, or the run is over.
  package func until(_ condition: @escaping @Sendable (TestRun) -> Bool) async {
    await withCheckedContinuation { continuation in
      tell { record in
        record.waiters += 1
        record.waiting[record.waiters] = (condition, continuation)
      }
    }
  }

  /// Calls back when the run is over; at once if it is.
  package func whenOver(_ action: @escaping @Sendable () -> Void) {
    let isOver = record.withLock { record in
      if !record.isOver { record.whenOver.append(action) }
      return record.isOver
    }
    if isOver { action() }
  }

  package func interrupt(session: String?) { graphRun.interrupt(session: session, reason: "the test says so") }
  /// A range of ports for one part, another one each time.
  private static func ports() -> String {
    let start = lastPort.add(8, ordering: .relaxed).newValue
    // Below the ports that the system gives away itself.
    return "\(20000 + start % 12000)-\(20007 + start % 12000)"
  }
  private static let lastPort = Atomic<Int>(Int.random(in: 0..<3000) * 8)

  package func stop() { graphRun.stop(because: "the test is over") }
  package var failure: String? { record.withLock { $0.failure } }
  package var printed: [String] { record.withLock { $0.printed } }
  package var logged: [String] { record.withLock { $0.logged } }
  /// Turns that were opened, for example `a#1`.
  package var begun: [String] { record.withLock { $0.begun } }
  package var shown: [String] { record.withLock { $0.shown } }
  package var turns: [TurnRecord] { record.withLock { $0.turns } }
}
