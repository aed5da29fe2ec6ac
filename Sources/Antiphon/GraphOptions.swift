import ArgumentParser
import Catalog
import DataflowRuntime
import Foundation
import GraphFile
import Messages
import Tensors

/// What all commands that read a graph have in common.
struct GraphOptions: ParsableArguments {
  @Argument(help: "The graph file.")
  var graph: String

  @Option(name: .customLong("place"), help: "A placement: which node lives in which process, on which host.")
  var placement: String?

  @Option(
    name: .customLong("set"),
    help: "NODE.PARAMETER=VALUE, or PARAMETER=VALUE for one of the graph's own. May be repeated.")
  var overrides: [String] = []

  @Option(name: .customLong("swap"), help: "NODE=KIND: another kind of node in its place. May be repeated.")
  var swaps: [String] = []

  @Option(help: "Seeds every random number of the run.")
  var seed: UInt64 = 0

  @Option(help: "Threads a computation may use, in each process.")
  var threads: Int = min(ProcessInfo.processInfo.activeProcessorCount, 64)

  @Flag(help: "Carry edges within a process over ZeroMQ inproc sockets, for comparison.")
  var inproc = false

  @Option(help: .hidden)
  var runDirectory: String?

  func validate() throws {
    guard (1...64).contains(threads) else { throw ValidationError("--threads must be between 1 and 64.") }
  }

  /// The command that runs this graph, or one of its parts, with these options.
  ///
  /// - Parameters:
  ///   - runDirectory: for the parts that a coordinator on this machine starts.
  ///   - allowingExternal: for a coordinator that starts programs in other languages.
  func command(runDirectory: String? = nil, allowingExternal: Bool = false) -> [String] {
    var command = [CommandLine.arguments[0], "run", graph]
    if let executable = Bundle.main.executablePath { command[0] = executable }
    if let placement { command += ["--place", placement] }
    for override in overrides { command += ["--set", override] }
    for swap in swaps { command += ["--swap", swap] }
    command += ["--seed", "\(seed)", "--threads", "\(threads)"]
    if let runDirectory { command += ["--run-directory", runDirectory] }
    if allowingExternal { command += ["--allow-external"] }
    return inproc ? command + ["--inproc"] : command
  }

  func loadGraph() throws(GraphFileError) -> GraphDescription {
    try GraphDescription.load(path: graph, overrides: overrides, swaps: swaps)
  }

  func loadPlacement() throws(GraphFileError) -> Placement? {
    guard let placement else { return nil }
    return try Placement.load(path: placement)
  }

  /// Reads and plans the graph, and shows warnings.
  ///
  /// - Parameters:
  ///   - runDirectory: where the run's sockets lie, if there is a run.
  ///   - part: the part that this process is to be, if it is only one of several.
  /// - Throws: `GraphFileError` with every fault; `ComputeError` for a wrong `ANTIPHON_CPU`, whatever the graph computes:
  ///   the plan names the kernels, and parts compare them.
  func plan(runDirectory: String? = nil, part: String? = nil) throws -> Plan {
    try Compute.check()
    Compute.setThreads(threads)
    let graph = try loadGraph()
    let options = Planner.Options(
      settings: RunSettings(seed: seed, threads: threads, kernels: Compute.description),
      runDirectory: runDirectory ?? self.runDirectory, forcesInproc: inproc, part: part)
    let plan = try Planner.plan(
      graph, placement: try loadPlacement(), catalog: Catalog.standard, options: options)
    for warning in graph.warnings { Console.say("\(warning)") }
    return plan
  }
}

extension Catalog {
  /// Every kind of node and message that this program knows.
  static let standard = NodeCatalog(nodes: nodes, messages: MessageTypes.all)
}
