/// The spelling of edges and their ends: `node.port` and `node.port -> node.port`.
enum EdgeText {
  static func parse(_ text: Located<String>, _ log: DiagnosticLog) -> (from: Endpoint, to: Endpoint)? {
    let scalars = Array(text.value.unicodeScalars)
    let arrows = scalars.indices.dropLast().filter { scalars[$0] == "-" && scalars[$0 + 1] == ">" }
    guard let arrow = arrows.first, arrows.count == 1 else {
      log.error("an edge is written 'node.port -> node.port'", at: text.location)
      return nil
    }
    let from = endpoint(scalars, 0..<arrow, text.location, log)
    let to = endpoint(scalars, (arrow + 2)..<scalars.count, text.location, log)
    guard let from, let to else { return nil }
    return (from, to)
  }

  static func endpoint(_ text: Located<String>, _ log: DiagnosticLog) -> Endpoint? {
    let scalars = Array(text.value.unicodeScalars)
    return endpoint(scalars, scalars.indices, text.location, log)
  }

  /// The end that stands in `range`. Its column is right where the text is written without quotes, in one line.
  private static func endpoint(
    _ scalars: [Unicode.Scalar], _ range: Range<Int>, _ location: SourceLocation, _ log: DiagnosticLog
  ) -> Endpoint? {
    let start = range.first { scalars[$0] != " " } ?? range.lowerBound
    let end = range.last { scalars[$0] != " " }.map { $0 + 1 } ?? start
    let place = location.moved(by: start)
    let text = String(String.UnicodeScalarView(scalars[start..<end]))
    let parts = text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    if text.contains("/") {
      log.error(
        "'\(text)' reaches into a subgraph; let the subgraph export the port and name it 'subgraph.port'", at: place)
      return nil
    }
    if text.isEmpty {
      log.error("a port is missing here; write 'node.port'", at: place)
      return nil
    }
    guard parts.count == 2, Names.isID(parts[0]), Names.isWord(parts[1]) else {
      log.error("'\(text)' is no port; write 'node.port'", at: place)
      return nil
    }
    return Endpoint(node: parts[0], port: parts[1], at: place)
  }
}
