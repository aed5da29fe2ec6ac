import Dataflow

/// How a turn ended.
public enum TurnOutcome: Sendable, Hashable, Codable {
  /// All of it reached every node that ends it.
  case completed
  case interrupted(reason: String)
  case failed(reason: String)
}

/// The one record that every turn leaves.
public struct TurnRecord: Sendable, Hashable, Codable {
  public var session: String
  public var epoch: UInt32
  public var outcome: TurnOutcome
  /// Nanoseconds of the turn's audio that had been played, where a node plays.
  public var played: Int64?
  /// Nodes that did not acknowledge the interruption in time.
  public var unacknowledged: [String] = []

  public var hasFailed: Bool {
    if case .failed = outcome { true } else { false }
  }
}

/// The books on sessions and turns: what is open, who must still report, and how each turn ended. Every turn that is
/// opened is closed exactly once.
///
/// A plain value without locks, tasks or time; the coordinator feeds it events and does what it returns.
struct TurnLedger {
  struct SessionBook {
    var name: String
    /// The node it came from.
    var source: Int
    var open: [UInt32: TurnBook] = [:]
    var latest: UInt32 = 0
    /// Turns up to this epoch are fenced.
    var fenced: UInt32 = 0
    /// Nodes where the session has not come to its end.
    var waiting: Set<Int>
  }
  struct TurnBook {
    /// Nodes where the turn has not come to its end.
    var waiting: Set<Int>
    var played: Int64?
    var failure: String?
    /// Set when the turn was interrupted or orphaned: who has not yet acknowledged.
    var cut: (outcome: TurnOutcome, unacknowledged: Set<Int>, deadline: Int64)?
  }

  enum Action: Equatable {
    case fence(session: UInt64, name: String, epoch: UInt32)
    case record(session: UInt64, TurnRecord)
    case closeSession(UInt64)
  }

  private(set) var sessions: [UInt64: SessionBook] = [:]
  /// Every session that began, by source: a source that is started again does not repeat them.
  private(set) var begun: [Int: [String]] = [:]
  /// Reports that came before what they report on, as they may from different processes.
  private var early: [Early: Set<Int>] = [:]
  private struct Early: Hashable {
    var session: UInt64
    var epoch: UInt32
  }
  private let plan: Plan
  private let patience: Int64

  /// - Parameter patience: nanoseconds that nodes have to acknowledge an interruption.
  init(plan: Plan, patience: Int64 = 2_000_000_000) {
    self.plan = plan
    self.patience = patience
  }

  mutating func sessionBegan(_ id: UInt64, name: String, node: Int) -> [Action] {
    guard plan.nodes.indices.contains(node), !hasBegun(id) else { return [] }
    begun[node, default: []].append(name)
    let arrived = early.removeValue(forKey: Early(session: id, epoch: 0)) ?? []
    sessions[id] = SessionBook(
      name: name, source: node, waiting: plan.sinks(downstreamOf: node).subtracting(arrived))
    return closeIfDone(id)
  }

  private func hasBegun(_ id: UInt64) -> Bool {
    UInt32(truncatingIfNeeded: id) <= begun[source(ofSession: id)]?.count ?? 0
  }

  mutating func turnBegan(_ id: UInt64, epoch: UInt32, node: Int, now: Int64) -> [Action] {
    guard plan.nodes.indices.contains(node), let book = sessions[id], epoch > 0, book.open[epoch] == nil else {
      return []
    }
    sessions[id]?.open[epoch] = TurnBook(waiting: plan.sinks(downstreamOf: node))
    sessions[id]?.latest = max(book.latest, epoch)
    // It was opened while its session was being interrupted.
    if epoch <= book.fenced { return cut(id, through: epoch, .interrupted(reason: "interrupted at once"), now: now) }
    var actions: [Action] = []
    for node in early.removeValue(forKey: Early(session: id, epoch: epoch)) ?? [] {
      actions += reached(id, epoch: epoch, node: node)
    }
    return actions
  }

  /// - Parameter epoch: 0 for the session itself.
  mutating func reached(_ id: UInt64, epoch: UInt32, node: Int) -> [Action] {
    if !hasBegun(id) || epoch > sessions[id]?.latest ?? .max {
      // A peer's word: kept only within bounds.
      if early.count < 4096 { early[Early(session: id, epoch: epoch), default: []].insert(node) }
      return []
    }
    if epoch == 0 {
      sessions[id]?.waiting.remove(node)
      return closeIfDone(id)
    }
    guard var turn = sessions[id]?.open[epoch], turn.cut == nil else { return [] }
    turn.waiting.remove(node)
    sessions[id]?.open[epoch] = turn
    guard turn.waiting.isEmpty else { return [] }
    return finish(id, epoch, turn.failure.map { .failed(reason: $0) } ?? .completed)
  }

  /// - Parameter epoch: 0 if the session itself failed, which is recorded at once.
  mutating func turnFailed(_ id: UInt64, epoch: UInt32, reason: String) -> [Action] {
    if epoch == 0 {
      guard let name = sessions[id]?.name else { return [] }
      return [.record(session: id, TurnRecord(session: name, epoch: 0, outcome: .failed(reason: reason)))]
    }
    guard let failure = sessions[id]?.open[epoch]?.failure else {
      sessions[id]?.open[epoch]?.failure = reason
      return []
    }
    sessions[id]?.open[epoch]?.failure = "\(failure); \(reason)"
    return []
  }

  mutating func played(_ id: UInt64, epoch: UInt32, time: Int64) {
    sessions[id]?.open[epoch]?.played = time
  }

  /// Interrupts everything in the session up to its latest turn.
  mutating func interrupt(_ id: UInt64, reason: String, now: Int64) -> [Action] {
    guard let book = sessions[id], book.latest > book.fenced else { return [] }
    return cut(id, through: book.latest, .interrupted(reason: reason), now: now)
  }

  /// A process died: all open turns fail by name, since nobody knows what of them it took with it.
  mutating func orphan(reason: String, dead: Set<Int>, now: Int64) -> [Action] {
    var actions: [Action] = []
    // Who is dead computes nothing.
    for node in dead { actions += forget(node) }
    for (id, book) in sessions.sorted(by: { $0.key < $1.key }) where book.latest > book.fenced {
      actions += cut(id, through: book.latest, .failed(reason: reason), now: now, sparing: dead)
    }
    return actions
  }

  private mutating func forget(_ node: Int) -> [Action] {
    var actions: [Action] = []
    for (id, book) in sessions {
      for epoch in book.open.keys { actions += acknowledged(id, epoch: epoch, node: node) }
    }
    return actions
  }

  mutating func acknowledged(_ id: UInt64, epoch: UInt32, node: Int) -> [Action] {
    var actions: [Action] = []
    for number in (sessions[id]?.open.keys.sorted() ?? []) where number <= epoch {
      guard var turn = sessions[id]?.open[number], var cut = turn.cut else { continue }
      cut.unacknowledged.remove(node)
      turn.cut = cut
      sessions[id]?.open[number] = turn
      if cut.unacknowledged.isEmpty { actions += finish(id, number, cut.outcome) }
    }
    return actions
  }

  /// Ends what should have been acknowledged by now.
  mutating func expire(now: Int64) -> [Action] {
    var actions: [Action] = []
    for (id, book) in sessions {
      for (epoch, turn) in book.open {
        if let cut = turn.cut, cut.deadline <= now {
          actions += finish(id, epoch, cut.outcome, missing: cut.unacknowledged)
        }
      }
    }
    return actions
  }

  var isWaitingForAcknowledgement: Bool {
    sessions.values.contains { $0.open.values.contains { $0.cut != nil } }
  }

  /// The run is over: whatever is open ends now.
  mutating func close(_ outcome: TurnOutcome) -> [Action] {
    var actions: [Action] = []
    for (id, book) in sessions.sorted(by: { $0.key < $1.key }) {
      for epoch in book.open.keys.sorted() { actions += finish(id, epoch, book.open[epoch]?.cut?.outcome ?? outcome) }
    }
    return actions
  }

  private mutating func cut(
    _ id: UInt64, through epoch: UInt32, _ outcome: TurnOutcome, now: Int64, sparing dead: Set<Int> = []
  ) -> [Action] {
    guard let book = sessions[id] else { return [] }
    sessions[id]?.fenced = max(book.fenced, epoch)
    for number in book.open.keys where number <= epoch && book.open[number]?.cut == nil {
      sessions[id]?.open[number]?.cut = (outcome, Set(plan.nodes.indices).subtracting(dead), now + patience)
    }
    return [.fence(session: id, name: book.name, epoch: epoch)]
  }

  private mutating func finish(
    _ id: UInt64, _ epoch: UInt32, _ outcome: TurnOutcome, missing: Set<Int> = []
  ) -> [Action] {
    guard let name = sessions[id]?.name, let turn = sessions[id]?.open.removeValue(forKey: epoch) else { return [] }
    let record = TurnRecord(
      session: name, epoch: epoch, outcome: outcome, played: turn.played,
      unacknowledged: missing.sorted().map { plan.nodes[$0].name })
    return [.record(session: id, record)] + closeIfDone(id)
  }

  private mutating func closeIfDone(_ id: UInt64) -> [Action] {
    guard let book = sessions[id], book.waiting.isEmpty, book.open.isEmpty else { return [] }
    sessions[id] = nil
    return [.closeSession(id)]
  }
}
