import Dataflow
import Synchronization

/// One entry of a process's part of a trace; times are nanoseconds of its monotonic clock.
package struct TraceEntry: Sendable, Codable, Equatable {
  package enum Kind: String, Sendable, Codable {
    /// A node worked on a message or a mark.
    case work
    /// A message left for an edge, or was taken from one.
    case sent
    case taken
  }
  var kind: Kind
  var node: Int
  var time: Int64
  var duration: Int64 = 0
  /// What was worked on.
  var what = ""
  var turn = ""
  /// The same at both ends of a message's way.
  var flow: UInt64 = 0

  package init(
    kind: Kind, node: Int, time: Int64, duration: Int64 = 0, what: String = "", turn: String = "", flow: UInt64 = 0
  ) {
    self.kind = kind
    self.node = node
    self.time = time
    self.duration = duration
    self.what = what
    self.turn = turn
    self.flow = flow
  }
}

/// Remembers what the nodes of a process do and when, up to a bound.
final class Tracer: Sendable {
  private struct State {
    var entries: [TraceEntry] = []
    var current: [Int: TraceEntry] = [:]
    var lost = 0
  }
  /// About 100 bytes each.
  private static let limit = 2_000_000
  private let state = Mutex(State())
  private let plan: Plan
  private let clock: any TimeSource

  init(plan: Plan, clock: any TimeSource) {
    self.plan = plan
    self.clock = clock
  }

  func sent(node: Int, edge: Int, sequence: UInt64) {
    add(TraceEntry(kind: .sent, node: node, time: clock.now, flow: Self.flow(edge, sequence)))
  }

  /// - Parameter arrival: a value or a mark.
  func took(node: Int, edge: Int, _ arrival: Arrival) {
    let now = clock.now
    let (turn, what): (Turn, String?)
    switch arrival {
    case .cut: return
    case .written(let value, _):
      // What cannot be read is refused by whoever reads it.
      (turn, what) = (value.turn, nil)
      if let sequence = value.sequence { add(taken(node, edge, sequence, now)) }
    case .envelope(let envelope, _):
      turn = envelope.turn
      switch envelope.content {
      case .value:
        what = nil
        add(taken(node, edge, envelope.stamp.sequence, now))
      case .turnEnded: what = "end of turn"
      case .sessionBegan: what = "session begins"
      case .sessionEnded: what = "end of session"
      }
    }
    let input = plan.nodes[node].manifest.inputs[plan.edges[edge].to.port].name
    state.withLock {
      $0.current[node] = TraceEntry(kind: .work, node: node, time: now, what: what ?? input, turn: "\(turn)")
    }
  }

  private func taken(_ node: Int, _ edge: Int, _ sequence: UInt64, _ time: Int64) -> TraceEntry {
    TraceEntry(kind: .taken, node: node, time: time, flow: Self.flow(edge, sequence))
  }

  func worked(node: Int, _ duration: Int64) {
    guard var entry = state.withLock({ $0.current.removeValue(forKey: node) }) else { return }
    entry.duration = duration
    add(entry)
  }

  /// All entries so far, which are forgotten here.
  func take() -> [TraceEntry] {
    state.withLock { state in
      defer { state.entries = [] }
      return state.entries
    }
  }

  /// Entries that were not kept.
  var lost: Int { state.withLock { $0.lost } }

  private func add(_ entry: TraceEntry) {
    state.withLock { state in
      if state.entries.count < Self.limit { state.entries.append(entry) } else { state.lost += 1 }
    }
  }

  private static func flow(_ edge: Int, _ sequence: UInt64) -> UInt64 {
    // JSON's numbers are exact up to 2^53.
    UInt64(edge) << 40 | sequence & 0xff_ffff_ffff
  }
}
