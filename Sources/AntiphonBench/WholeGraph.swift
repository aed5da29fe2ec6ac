import Catalog
import DataflowRuntime
import GraphFile
import Messages
import Tensors

/// A graph file run in this process, as `antiphon run` does.
enum WholeGraph {
  /// - Parameters:
  ///   - overrides: parameters, as with --set.
  ///   - directory: what the run keeps there is gone when nobody holds it.
  /// - Throws: ``BenchError`` with the run's failure; whatever is wrong with the graph.
  static func run(
    _ graph: String, overrides: [String], threads: Int, in directory: RunDirectory,
    watching watch: @escaping @Sendable (RunEvent) -> Void = { _ in }
  ) async throws -> RunSummary {
    let catalog = NodeCatalog(nodes: Catalog.nodes, messages: MessageTypes.all)
    let plan = try Planner.plan(
      GraphDescription.load(path: graph, overrides: overrides), catalog: catalog,
      options: Planner.Options(
        settings: RunSettings(threads: threads, kernels: Compute.description), runDirectory: directory.path))
    let summary = try await GraphRun(plan: plan, catalog: catalog, options: GraphRun.Options())
      .run(observe: watch)
    if let failure = summary.failure { throw BenchError(failure) }
    return summary
  }
}
