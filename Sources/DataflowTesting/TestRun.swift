package import Dataflow
package import DataflowRuntime
import Foundation
import GraphFile
import Synchronization

/// What carries the edges of a test's graph.
public enum Carrier: String, Sendable, CaseIterable {
  /// Straight into the mailbox.
  case direct
}

/// A graph run within a test, with all that it told kept for questions.
package final class TestRun: Sendable {
  private struct Record {
    var printed: [String] = []
    var logged: [String] = []
    var turns: [TurnRecord] = []
    var failure: String?
  }
  private let record = Mutex(Record())
  private let graphRun: GraphRun

  /// - Parameters:
  ///   - graph: the graph file's contents, as JSON would have them.
  ///   - apart: nodes that live in a part of their own if the carrier goes between parts.
  package init(
    graph: [String: Any], apart: [String] = [], over carrier: Carrier = .direct, catalog: NodeCatalog,
    seed: UInt64 = 0, clock: any TimeSource = SystemTime()
  ) throws {
    // JSON is YAML.
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("antiphon-\(UUID().uuidString).yaml")
    try JSONSerialization.data(withJSONObject: graph, options: .sortedKeys).write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    let description = try GraphDescription.load(path: file.path)
    let plan = try Planner.plan(
      description, catalog: catalog, options: Planner.Options(settings: RunSettings(seed: seed, threads: 1)))
    graphRun = GraphRun(plan: plan, clock: clock)
  }

  package func run() async throws -> RunSummary {
    let summary = try await graphRun.run { event in
      self.record.withLock { record in
        switch event {
        case .print(_, let text): record.printed.append(text)
        case .log(let node, let text): record.logged.append("\(node): \(text)")
        case .turnEnded(let turn): record.turns.append(turn)
        default: break
        }
      }
    }
    record.withLock { $0.failure = summary.failure }
    return summary
  }

  package func interrupt(session: String?) { graphRun.interrupt(session: session, reason: "the test says so") }
  package func stop() { graphRun.stop(because: "the test is over") }
  package var failure: String? { record.withLock { $0.failure } }
  package var printed: [String] { record.withLock { $0.printed } }
  package var logged: [String] { record.withLock { $0.logged } }
  package var turns: [TurnRecord] { record.withLock { $0.turns } }
}
