import ArgumentParser
import Dataflow
import DataflowRuntime
import Foundation
import GraphFile
import Messages
import Synchronization

/// Three processes whose queues are full, and a sink that plays like a device: how soon an interruption silences it.
struct InterruptCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "interrupt", abstract: "Time from an interruption to silence, over three processes.")

  @Option(help: "How many interruptions.")
  var cuts = 300
  @Flag(help: "Print everything as JSON.")
  var json = false

  func run() async throws {
    let machine = Machine.current()
    let directory = try RunDirectory()
    try Self.write(cuts: cuts, to: directory)
    let plan = try Self.plan(directory.path)
    guard let program = Bundle.main.executablePath else { throw BenchError("this program does not know its own path") }
    let path = directory.path
    let options = GraphRun.Options(command: { [program, "part", path, $0] })
    let run = GraphRun(plan: plan, catalog: Self.catalog, options: options)
    let log = Log()
    // Every event comes in order; the turn's beginning asks for its interruption a little later.
    let summary = try await run.run { event in
      let now = SystemTime().now
      switch event {
      case .turnBegan(_, let epoch):
        // Long enough for every queue to fill, and at any moment of a block.
        let wait = DispatchTimeInterval.microseconds(.random(in: 60_000..<90_000))
        DispatchQueue.global(qos: .userInteractive).asyncAfter(deadline: .now() + wait) {
          log.interrupted(epoch, at: SystemTime().now)
          run.interrupt(session: nil, reason: "the benchmark says so")
        }
      case .turnEnded(let turn): log.acknowledged(turn.epoch, at: now, all: turn.unacknowledged.isEmpty)
      case .print(_, let text):
        let words = text.split(separator: " ")
        if let epoch = words.first.flatMap({ UInt32($0) }), let time = words.last.flatMap({ Int64($0) }) {
          log.written(epoch, at: time)
        }
      default: break
      }
    }
    if let failure = summary.failure { throw BenchError(failure) }
    let result = log.result(machine, deepest: summary.edges.map { ($0.edge, $0.statistics.deepest) })
    json ? try print(result.json()) : print(result.description)
  }

  static let catalog = NodeCatalog(
    nodes: [TalkerNode.self, RelayNode.self, DeviceNode.self], messages: MessageTypes.all)

  private static func write(cuts: Int, to directory: RunDirectory) throws {
    let nodes: [String: Any] = [
      "talker": ["kind": TalkerNode.kind, "with": ["turns": cuts]] as [String: Any],
      "relay": ["kind": RelayNode.kind], "device": ["kind": DeviceNode.kind],
    ]
    let edges = ["talker.audio -> relay.audio", "relay.copy -> device.audio"]
    _ = try directory.write(["antiphon": 1, "nodes": nodes, "edges": edges], to: "graph.yaml")
    let parts = ["talker", "relay", "device"].reduce(into: [:]) { $0["\($1)-part"] = ["nodes": [$1]] }
    _ = try directory.write(["antiphon": 1, "parts": parts], to: "placement.yaml")
  }

  /// The same in every process.
  static func plan(_ directory: String) throws -> Plan {
    try Planner.plan(
      GraphDescription.load(path: "\(directory)/graph.yaml"),
      placement: Placement.load(path: "\(directory)/placement.yaml"), catalog: catalog,
      options: Planner.Options(settings: RunSettings(threads: 1), runDirectory: directory))
  }

  /// What was seen of each turn.
  private final class Log: Sendable {
    private struct Cut {
      var interrupted: Int64?
      var acknowledged: Int64?
      var written: Int64?
    }
    private let cuts = Mutex<[UInt32: Cut]>([:])
    private let missing = Mutex(0)

    func interrupted(_ epoch: UInt32, at time: Int64) { cuts.withLock { $0[epoch, default: Cut()].interrupted = time } }
    func written(_ epoch: UInt32, at time: Int64) { cuts.withLock { $0[epoch, default: Cut()].written = time } }
    func acknowledged(_ epoch: UInt32, at time: Int64, all: Bool) {
      cuts.withLock { $0[epoch, default: Cut()].acknowledged = time }
      if !all { missing.withLock { $0 += 1 } }
    }

    func result(_ machine: Machine, deepest: [(String, Int)]) -> InterruptResult {
      var result = InterruptResult(machine: machine)
      for cut in cuts.withLock({ $0.values }) {
        guard let interrupted = cut.interrupted, let acknowledged = cut.acknowledged else { continue }
        result.cuts += 1
        result.acknowledged.add(Double(acknowledged - interrupted))
        if let written = cut.written, written > 0 {
          result.written.add(Double(max(0, written - interrupted)))
          result.silent.add(Double(max(0, written + DeviceNode.block - interrupted)))
        }
      }
      result.unacknowledged = missing.withLock { $0 }
      result.deepest = deepest.reduce(into: [:]) { $0[$1.0] = $1.1 }
      return result
    }
  }
}

/// One part of ``InterruptCommand``'s graph, in a process of its own.
struct PartCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "part", shouldDisplay: false)
  @Argument var directory: String
  @Argument var name: String

  func run() async throws {
    try await PartRun(
      plan: InterruptCommand.plan(directory), part: name, catalog: InterruptCommand.catalog
    ).run()
  }
}

/// What `antiphon-bench interrupt` measured; times in nanoseconds from the interruption.
struct InterruptResult: Codable {
  var machine: Machine
  var cuts = 0
  /// To the last stale block that was given to the device; 0 where none was.
  var written = Samples()
  /// To the end of that block.
  var silent = Samples()
  /// To the last node's acknowledgement.
  var acknowledged = Samples()
  var unacknowledged = 0
  /// The most values that waited on each edge.
  var deepest: [String: Int] = [:]

  init(machine: Machine) { self.machine = machine }

  func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }

  var description: String {
    var table = TextTable(["from the interruption, ms", "p50", "p99", "most"])
    func add(_ name: String, _ samples: Samples) {
      let values = [samples.median, samples.quantile(0.99), samples.most]
      table.add([name] + values.map { String(format: "%.2f", $0 / 1e6) })
    }
    add("last stale block begins", written)
    add("last stale block has sounded", silent)
    add("every node has acknowledged", acknowledged)
    let depths = deepest.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    return """
      Three processes over ipc, every queue full, a sink that plays blocks of 10 ms: \(cuts) interruptions
      \(machine.description)

      \(table.description)

      \(unacknowledged) were not acknowledged in time; most values waiting: \(depths)
      """
  }
}
