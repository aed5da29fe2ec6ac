import Dataflow

extension PartEvent {
  /// No time, and no difference of two, that a process may speak of is longer: 36 years, in nanoseconds. What is added
  /// up of such times stays far from overflowing.
  static let longest: Int64 = 1 << 60
  /// Counts that a process may report; sums of them are exact in JSON's numbers, too.
  private static let largest = 1 << 44
  /// Bytes of names and reasons. What is printed may be as long as a message.
  private static let nameLimit = 4096

  /// The event as it may be entered in the books: with numbers that can be reckoned with, and texts that can be kept.
  /// A process is not believed more than that, and nobody behind this has to check again.
  ///
  /// - Returns: nil if it cannot be true: it tells of nodes or edges that are not the part's, or of turns that cannot be.
  func checked(from part: Int, in plan: Plan) -> PartEvent? {
    func isOwn(_ node: Int) -> Bool { plan.nodes.indices.contains(node) && plan.nodes[node].part == part }
    // The last number cannot be fenced off, since there is none above it.
    func canBe(_ epoch: UInt32) -> Bool { epoch < .max }

    switch self {
    case .nodeReady(let node), .nodeEnded(let node), .show(let node, _), .log(let node, _), .print(let node, _):
      return isOwn(node) ? self : nil
    case .nodeFailed(let node, let reason):
      return isOwn(node) ? .nodeFailed(node: node, reason: Self.short(reason)) : nil
    case .sessionBegan(let session, let name, let node):
      return isOwn(node) ? .sessionBegan(session: session, name: Self.short(name), node: node) : nil
    case .turnBegan(_, let epoch, let node), .reached(_, let epoch, let node), .acknowledged(_, let epoch, let node):
      return isOwn(node) && canBe(epoch) ? self : nil
    case .turnAsked(_, let epoch): return canBe(epoch) ? self : nil
    case .edgeReady(let edge): return plan.touches(edge, part) ? self : nil
    case .edgeBroken(let edge, let reason):
      return plan.touches(edge, part) ? .edgeBroken(edge: edge, reason: Self.short(reason)) : nil
    case .interrupt(let session, let epoch, let reason):
      return .interrupt(session: session, epoch: epoch, reason: Self.short(reason))
    case .turnFailed(let session, let epoch, let node, let reason):
      guard isOwn(node), canBe(epoch) else { return nil }
      return .turnFailed(session: session, epoch: epoch, node: node, reason: Self.short(reason))
    case .played(let session, let epoch, let time):
      return canBe(epoch) ? .played(session: session, epoch: epoch, time: Self.bounded(time)) : nil
    case .said(let session, let epoch, let pieces, let replacing):
      let pieces = pieces.map { SaidText($0.text, end: Self.bounded($0.end)) }
      return canBe(epoch) ? .said(session: session, epoch: epoch, pieces: pieces, replacing: replacing) : nil
    case .progress(let node, let what, let fraction):
      // Nothing compares with what is no number.
      let fraction = fraction > 0 ? min(fraction, 1) : 0
      return isOwn(node) ? .progress(node: node, what: Self.short(what), fraction: fraction) : nil
    case .trace(let entries):
      return .trace(entries.filter { isOwn($0.node) }.map { $0.checked(Self.short, Self.bounded) })
    case .report(let report): return .report(Self.checked(report, from: part, in: plan))
    case .finished(let report): return .finished(Self.checked(report, from: part, in: plan))
    }
  }

  private static func short(_ text: String) -> String {
    text.utf8.count <= nameLimit ? text : String(decoding: text.utf8.prefix(nameLimit), as: UTF8.self)
  }

  private static func bounded(_ time: Int64) -> Int64 { min(max(time, 0), longest) }
  private static func bounded(_ count: Int) -> Int { min(max(count, 0), largest) }

  private static func checked(_ report: PartReport, from part: Int, in plan: Plan) -> PartReport {
    var report = report
    let nodes = Set(plan.nodes.filter { $0.part == part }.map(\.name))
    report.nodes = report.nodes.filter { nodes.contains($0.node) }.prefix(nodes.count).map { node in
      var node = node
      for count in [\NodeStatistics.received, \.sent, \.stale] { node[keyPath: count] = bounded(node[keyPath: count]) }
      for time in [\NodeStatistics.busy, \.blocked] { node[keyPath: time] = bounded(node[keyPath: time]) }
      return node
    }
    // An edge has an entry for each of its ends that is in the part, and what they say is added up.
    var missing: [String: Int] = [:]
    for edge in plan.edges.indices where plan.touches(edge, part) { missing[plan.edges[edge].name] = 2 }
    report.edges = report.edges.compactMap { edge in
      guard let entries = missing[edge.edge], entries > 0 else { return nil }
      missing[edge.edge] = entries - 1
      var edge = edge
      for count in [\EdgeStatistics.delivered, \.dropped, \.stale, \.deepest] {
        edge.statistics[keyPath: count] = bounded(edge.statistics[keyPath: count])
      }
      edge.statistics.waited = bounded(edge.statistics.waited)
      edge.waiting = bounded(edge.waiting)
      return edge
    }
    for count in [\Refusals.malformed, \.strangers, \.unauthenticated] {
      report.refused[keyPath: count] = bounded(report.refused[keyPath: count])
    }
    report.traceLost = report.traceLost.map(bounded)
    return report
  }
}

extension TraceEntry {
  fileprivate func checked(_ short: (String) -> String, _ bounded: (Int64) -> Int64) -> TraceEntry {
    var entry = self
    (entry.time, entry.duration) = (bounded(time), bounded(duration))
    (entry.what, entry.turn) = (short(what), short(turn))
    return entry
  }
}

extension Plan {
  /// Whether the edge begins or ends in the part.
  fileprivate func touches(_ edge: Int, _ part: Int) -> Bool {
    edges.indices.contains(edge)
      && (nodes[edges[edge].from.node].part == part || nodes[edges[edge].to.node].part == part)
  }
}
