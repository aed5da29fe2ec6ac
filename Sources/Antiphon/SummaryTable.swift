import DataflowRuntime
import Foundation

/// The table at the end of a run.
struct SummaryTable {
  private let summary: RunSummary

  init(_ summary: RunSummary) { self.summary = summary }

  var text: String {
    var sections: [String] = [""]
    if !summary.nodes.isEmpty {
      sections.append(
        Self.table(
          ["node", "received", "sent", "busy", "blocked", "p50", "p99", "stale"],
          summary.nodes.map { node in
            [
              node.node, "\(node.received)", "\(node.sent)", Self.time(Double(node.busy)),
              Self.time(Double(node.blocked)), Self.time(node.latency.quantile(0.5)),
              Self.time(node.latency.quantile(0.99)), "\(node.stale)",
            ]
          }))
    }
    if !summary.edges.isEmpty {
      sections.append(
        Self.table(
          ["edge", "delivered", "deepest", "mean wait", "dropped", "stale"],
          summary.edges.map { edge in
            let statistics = edge.statistics
            let wait = statistics.delivered > 0 ? Double(statistics.waited) / Double(statistics.delivered) : nil
            return [
              edge.edge, "\(statistics.delivered)", "\(statistics.deepest)", Self.time(wait), "\(statistics.dropped)",
              "\(statistics.stale)",
            ]
          }))
    }
    let answered = summary.timings.filter { $0.firstAudio != nil }
    if !answered.isEmpty {
      sections.append(
        Self.table(
          ["turn", "first audio", "answered", "audio", "real-time factor"],
          answered.map { turn in
            [
              "\(turn.session)#\(turn.epoch)", Self.time(turn.firstAudio.map(Double.init)),
              Self.time(turn.answered.map(Double.init)), Self.time(turn.audio.map(Double.init)),
              turn.realTimeFactor.map { String(format: "%.2f", $0) } ?? "-",
            ]
          }))
    }
    if !summary.refused.isEmpty {
      let refused = summary.refused
      sections.append(
        "refused: \(refused.unauthenticated) connections without an allowed key, \(refused.strangers) messages from strangers, "
          + "\(refused.malformed) malformed messages")
    }
    if summary.turnsOmitted > 0 {
      sections.append("the first \(summary.turnsOmitted) turns are not listed; the last \(summary.turns.count) are")
    }
    if summary.traceLost > 0 {
      sections.append("the trace is incomplete: \(summary.traceLost) entries were too many to keep")
    }
    sections.append(
      "loaded in \(Self.time(Double(summary.loading))), ran for \(Self.time(Double(summary.duration)))")
    return sections.joined(separator: "\n")
  }

  private static func time(_ nanoseconds: Double?) -> String {
    guard let nanoseconds else { return "-" }
    return switch nanoseconds {
    case ..<1e3: String(format: "%.0f ns", nanoseconds)
    case ..<1e6: String(format: "%.1f µs", nanoseconds / 1e3)
    case ..<1e9: String(format: "%.1f ms", nanoseconds / 1e6)
    default: String(format: "%.2f s", nanoseconds / 1e9)
    }
  }

  /// Columns as wide as they must be, numbers to the right.
  static func table(_ head: [String], _ rows: [[String]]) -> String {
    let widths = head.indices.map { column in ([head] + rows).map { $0[column].count }.max() ?? 0 }
    func line(_ cells: [String]) -> String {
      cells.indices.map { column in
        let space = String(repeating: " ", count: widths[column] - cells[column].count)
        return column == 0 ? cells[column] + space : space + cells[column]
      }.joined(separator: "  ")
    }
    let rule = widths.map { String(repeating: "─", count: $0) }.joined(separator: "  ")
    return ([line(head), rule] + rows.map(line)).joined(separator: "\n") + "\n"
  }
}
