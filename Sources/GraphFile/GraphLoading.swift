extension GraphDescription {
  /// Reads a graph file and everything it uses, and applies the command line's changes.
  ///
  /// - Parameters:
  ///   - path: the graph file. Subgraphs are found relative to the file that names them.
  ///   - overrides: `NODE.PARAM=VALUE` for a node (or a subgraph's parameter), `PARAM=VALUE` for the graph's own. The
  ///     value is a plain scalar, or YAML if it begins with a quote, `[` or `{`. Of two for one target the last holds.
  ///   - swaps: `NODE=KIND` puts a node of another kind in a node's place, `NODE=FILE.yaml` a subgraph.
  /// - Throws: ``GraphFileError`` with every fault that was found, and nothing else.
  public static func load(
    path: String, overrides: [String] = [], swaps: [String] = []
  ) throws(GraphFileError) -> GraphDescription {
    try load(path: path, text: nil, overrides: overrides, swaps: swaps)
  }

  /// Reads a graph from a text, as ``load(path:overrides:swaps:)`` reads a file.
  ///
  /// - Parameters:
  ///   - text: a graph file's text.
  ///   - path: what the file is called in diagnostics, and where its relative paths start; it need not exist.
  /// - Throws: ``GraphFileError`` with every fault that was found, and nothing else.
  public static func parse(
    _ text: String, path: String = "graph.yaml", overrides: [String] = [], swaps: [String] = []
  ) throws(GraphFileError) -> GraphDescription {
    try load(path: path, text: text, overrides: overrides, swaps: swaps)
  }

  private static func load(
    path: String, text: String?, overrides: [String], swaps: [String]
  ) throws(GraphFileError) -> GraphDescription {
    let log = DiagnosticLog()
    let expansion = GraphExpansion(overrides: Overrides(settings: overrides, swaps: swaps, log: log), log: log)
    let graph = expansion.expand(path: path, text: text)
    if let graph { CycleCheck(graph).run(log) }
    try log.throwIfErrors()
    guard var graph else {
      throw GraphFileError([Diagnostic(at: .argument(path), "the file could not be read")])
    }
    graph.warnings = log.diagnostics
    return graph
  }
}
