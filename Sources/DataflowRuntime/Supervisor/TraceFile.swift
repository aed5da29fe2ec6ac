package import Foundation

/// Puts the processes' traces together in the format that chrome://tracing and ui.perfetto.dev read: a process per part,
/// a lane per node, and an arrow per message.
package struct TraceFile {
  private struct Event: Encodable {
    var name: String
    var cat: String
    var ph: String
    /// Microseconds.
    var ts: Double
    var dur: Double?
    var pid: Int
    var tid: Int
    var id: UInt64?
    /// The arrow ends at the slice that encloses it.
    var bp: String?
    /// Of a moment: that it concerns everything.
    var s: String?
    var args: [String: String]?
  }
  private struct Document: Encodable {
    var traceEvents: [Event]
    var displayTimeUnit = "ms"
  }
  private let plan: Plan

  package init(plan: Plan) { self.plan = plan }

  /// Makes sure that the file can be written before there is anything to write.
  ///
  /// - Throws: ``TraceFileError``
  static func check(_ file: String) throws {
    let isNew = access(file, F_OK) != 0
    let descriptor = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw TraceFileError(file: file, reason: String(cString: strerror(errno))) }
    close(descriptor)
    if isNew { unlink(file) }
  }

  /// - Parameters:
  ///   - entries: by part, already in the coordinator's time.
  ///   - lost: how many more there would have been.
  package func json(_ entries: [Int: [TraceEntry]], lost: Int = 0) throws -> Data {
    let start = entries.values.joined().map(\.time).min() ?? 0
    var events: [Event] = []
    if lost > 0 {
      let end = entries.values.joined().map(\.time).max() ?? 0
      events.append(
        Event(
          name: "\(lost) more entries were not kept", cat: "", ph: "i", ts: Double(end - start) / 1000, pid: 0, tid: 0,
          s: "g"))
    }
    for (index, part) in plan.parts.enumerated() {
      events.append(Event(name: "process_name", cat: "", ph: "M", ts: 0, pid: index, tid: 0, args: ["name": part.name]))
    }
    for (index, node) in plan.nodes.enumerated() {
      events.append(
        Event(name: "thread_name", cat: "", ph: "M", ts: 0, pid: node.part, tid: index, args: ["name": node.name]))
    }
    for (part, list) in entries.sorted(by: { $0.key < $1.key }) {
      for entry in list where plan.nodes.indices.contains(entry.node) {
        let time = Double(entry.time - start) / 1000
        switch entry.kind {
        case .work:
          events.append(
            Event(
              name: entry.what, cat: "node", ph: "X", ts: time, dur: Double(entry.duration) / 1000, pid: part,
              tid: entry.node, args: ["turn": entry.turn]))
        case .sent:
          // An arrow starts at a slice, and a source has none.
          if plan.sources.contains(entry.node) {
            events.append(
              Event(name: "sends", cat: "node", ph: "X", ts: time, dur: 1, pid: part, tid: entry.node))
          }
          events.append(
            Event(name: "message", cat: "edge", ph: "s", ts: time, pid: part, tid: entry.node, id: entry.flow))
        case .taken:
          events.append(
            Event(
              name: "message", cat: "edge", ph: "f", ts: time, pid: part, tid: entry.node, id: entry.flow, bp: "e"))
        }
      }
    }
    return try JSONEncoder().encode(Document(traceEvents: events))
  }
}

/// A trace was asked for that could not be written.
struct TraceFileError: Error, CustomStringConvertible {
  let file: String
  let reason: String
  var description: String { "the trace cannot be written to '\(file)': \(reason); name a file that can be" }
}
