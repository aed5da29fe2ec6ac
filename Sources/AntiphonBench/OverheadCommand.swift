import ArgumentParser
import Catalog
import DataflowRuntime
import Foundation
import GraphFile
import Messages
import Tensors

/// How much of a turn of the cascade is spent neither in a node nor in waiting: the runtime's share.
struct OverheadCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "overhead", abstract: "The share of a cascade's turn in which no node works.")

  @Option(help: "The graph.")
  var graph = "Graphs/cascade.yaml"
  @Option(help: "How many runs; the medians are told.")
  var rounds = 3
  @Flag(help: "Print everything as JSON.")
  var json = false

  func run() async throws {
    var result = OverheadResult(machine: Machine.current())
    Compute.setThreads(2)
    for _ in 0..<rounds { try await measure(&result) }
    json ? try print(result.json()) : print(result.description)
  }

  private func measure(_ result: inout OverheadResult) async throws {
    let directory = try RunDirectory()
    let catalog = NodeCatalog(nodes: Catalog.nodes, messages: MessageTypes.all)
    let plan = try Planner.plan(
      GraphDescription.load(path: graph, overrides: ["speaker.path=\(directory.path)/answer.wav"]), catalog: catalog,
      options: Planner.Options(
        settings: RunSettings(threads: 2, kernels: Compute.description), runDirectory: directory.path))
    var options = GraphRun.Options()
    let traceFile = "\(directory.path)/trace.json"
    options.traceFile = traceFile
    let summary = try await GraphRun(plan: plan, catalog: catalog, options: options).run { _ in }
    if let failure = summary.failure { throw BenchError(failure) }
    let trace = try JSONDecoder().decode(Trace.self, from: Data(contentsOf: URL(fileURLWithPath: traceFile)))
    let spans = trace.traceEvents.filter { $0.ph == "X" && $0.name != "sends" }
      .map { (start: $0.ts, end: $0.ts + ($0.dur ?? 0)) }.sorted { $0.start < $1.start }
    guard let first = spans.first else { throw BenchError("the trace of \(graph) is empty") }
    // Between the first message and the last there is always something to do: what no node's work covers is the
    // runtime's, handing messages over and waking threads.
    var (idle, end) = (0.0, first.end)
    for span in spans {
      idle += max(0, span.start - end)
      end = max(end, span.end)
    }
    result.turn.add((end - first.start) * 1000)
    result.runtime.add(idle * 1000)
    result.share.add(idle / (end - first.start))
    result.messages = summary.nodes.reduce(0) { $0 + $1.received }
  }

  private struct Trace: Decodable {
    struct Event: Decodable {
      var name: String
      var ph: String
      /// Microseconds.
      var ts: Double
      var dur: Double?
    }
    var traceEvents: [Event]
  }
}

/// What `antiphon-bench overhead` measured; times in nanoseconds.
struct OverheadResult: Codable {
  var machine: Machine
  /// From the first message to the end of the last one's work.
  var turn = Samples()
  /// Of it, the time in which no node worked.
  var runtime = Samples()
  var share = Samples()
  var messages = 0

  init(machine: Machine) { self.machine = machine }

  func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }

  var description: String {
    String(
      format: """
        A turn of the cascade, in one process and as fast as it goes
        %@

        turn %.2f s, in which no node worked %.2f ms: %.3f %% (%.3f-%.3f %%), for %d messages
        """,
      machine.description, turn.median / 1e9, runtime.median / 1e6, share.median * 100, share.least * 100,
      share.most * 100, messages)
  }
}
