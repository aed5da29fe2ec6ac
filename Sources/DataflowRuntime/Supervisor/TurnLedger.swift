package import Dataflow

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
  /// What had been heard of the answer when the turn was cut, where a node tells what its audio says.
  public var heard: String?
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
package struct TurnLedger {
  package struct SessionBook {
    package var name: String
    /// The node it came from.
    package var source: Int
    package var open: [UInt32: TurnBook] = [:]
    package var latest: UInt32 = 0
    /// Every turn up to this one has been closed; those beyond it that have.
    var closedThrough: UInt32 = 0
    var closed: Set<UInt32> = []
    /// Turns up to this epoch are fenced.
    package var fenced: UInt32 = 0
    /// Nodes where the session has not come to its end.
    package var waiting: Set<Int>
    /// The session as a whole has been recorded as failed.
    var hasFailed = false

    /// Whether the turn has neither been opened nor closed.
    func isUnknown(_ epoch: UInt32) -> Bool {
      epoch > closedThrough && open[epoch] == nil && !closed.contains(epoch)
    }

    mutating func noteClosed(_ epoch: UInt32) {
      closed.insert(epoch)
      // A turn that is so far behind the others will not be opened any more.
      if closed.count > 4096, let first = closed.min() { closedThrough = first - 1 }
      while closed.remove(closedThrough &+ 1) != nil { closedThrough += 1 }
    }
  }
  package struct TurnBook {
    /// Nodes where the turn has not come to its end.
    var waiting: Set<Int>
    var played: Int64?
    var said: [SaidText] = []
    var failure: String?
    /// Set when the turn was interrupted or orphaned: who has not yet acknowledged.
    var cut: (outcome: TurnOutcome, unacknowledged: Set<Int>, deadline: Int64)?
  }

  package enum Action: Equatable {
    case turnBegan(session: String, epoch: UInt32)
    case fence(session: UInt64, name: String, epoch: UInt32)
    case record(session: UInt64, TurnRecord)
    case closeSession(UInt64)
    /// There is more of something than can be kept: the run cannot go on.
    case overrun(reason: String)
  }

  package private(set) var sessions: [UInt64: SessionBook] = [:]
  /// Every session that began, by source: a source that is started again does not repeat them.
  package private(set) var begun: [Int: [String]] = [:]
  private var begunIDs: Set<UInt64> = []
  /// Bytes of the names in ``begun``.
  private var begunBytes = 0
  private var openTurns = 0
  /// Events that came before what they are about, by session: those of different processes come in any order.
  private var early: [UInt64: [Early]] = [:]
  private var earlyCount = 0
  /// How many calls deep early events are being handled: until it is known what stays early, no session is over.
  private var replays = 0
  private enum Early {
    case turnBegan(epoch: UInt32, node: Int)
    case reached(epoch: UInt32, node: Int)
    case failed(epoch: UInt32, reason: String)
    case played(epoch: UInt32, time: Int64)
    case said(epoch: UInt32, [SaidText], replacing: Bool)
  }
  /// A peer's word is kept only within bounds.
  private static let earlyLimit = 4096
  package static let openLimit = 65_536
  package static let sessionLimit = 65_536
  /// A process that is started anew is told all of them in one message.
  private static let begunLimit = 4 << 20
  private static let reasonLimit = 4096
  /// Bytes of what a turn's audio says, and pieces; more than an hour's answer.
  private static let saidLimit = 1 << 16
  private let plan: Plan
  private let patience: Int64

  /// - Parameter patience: nanoseconds that nodes have to acknowledge an interruption.
  package init(plan: Plan, patience: Int64 = 2_000_000_000) {
    self.plan = plan
    self.patience = patience
  }

  package mutating func sessionBegan(_ id: UInt64, name: String, node: Int) -> [Action] {
    guard plan.nodes.indices.contains(node), source(ofSession: id) == node, begunIDs.insert(id).inserted else {
      return []
    }
    begunBytes += name.utf8.count
    guard begunIDs.count <= Self.sessionLimit, begunBytes <= Self.begunLimit else {
      return [
        .overrun(
          reason: "node \(plan.nodes[node].name) began a session too many: a run has at most \(Self.sessionLimit), "
            + "whose names have \(Self.begunLimit) bytes together")
      ]
    }
    begun[node, default: []].append(name)
    sessions[id] = SessionBook(name: name, source: node, waiting: plan.witnesses(downstreamOf: node))
    return replay(id)
  }

  package mutating func turnBegan(_ id: UInt64, epoch: UInt32, node: Int, now: Int64) -> [Action] {
    guard plan.nodes.indices.contains(node), epoch > 0 else { return [] }
    // Not the book as a whole: whoever holds it makes every change copy all its open turns.
    guard let (name, latest, fenced) = sessions[id].map({ ($0.name, $0.latest, $0.fenced) }) else {
      if !begunIDs.contains(id) { keep(.turnBegan(epoch: epoch, node: node), of: id) }
      return []
    }
    guard sessions[id]?.isUnknown(epoch) == true else { return [] }
    guard openTurns < Self.openLimit else {
      return [
        .overrun(reason: "node \(plan.nodes[node].name) opened a turn while \(Self.openLimit) others had not ended")
      ]
    }
    openTurns += 1
    sessions[id]?.open[epoch] = TurnBook(waiting: plan.witnesses(downstreamOf: node))
    sessions[id]?.latest = max(latest, epoch)
    let began = Action.turnBegan(session: name, epoch: epoch)
    // It was opened while its session was being interrupted.
    let cut = epoch <= fenced ? cut(id, through: epoch, .interrupted(reason: "interrupted at once"), now: now) : []
    return [began] + cut + replay(id)
  }

  /// - Parameter epoch: 0 for the session itself.
  package mutating func reached(_ id: UInt64, epoch: UInt32, node: Int) -> [Action] {
    if isEarly(id, epoch) {
      keep(.reached(epoch: epoch, node: node), of: id)
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
  /// - Returns: nil if no record will say so, because the turn is over.
  package mutating func turnFailed(_ id: UInt64, epoch: UInt32, reason: String) -> [Action]? {
    if epoch == 0 {
      guard let name = sessions[id]?.name else { return nil }
      return [.record(session: id, TurnRecord(session: name, epoch: 0, outcome: .failed(reason: reason)))]
    }
    if isEarly(id, epoch) {
      keep(.failed(epoch: epoch, reason: reason), of: id)
      return []
    }
    guard let turn = sessions[id]?.open[epoch] else { return nil }
    let reasons = turn.failure.map { "\($0); \(reason)" } ?? reason
    if reasons.utf8.count <= Self.reasonLimit { sessions[id]?.open[epoch]?.failure = reasons }
    return []
  }

  package mutating func played(_ id: UInt64, epoch: UInt32, time: Int64) {
    if epoch > 0, isEarly(id, epoch) { return keep(.played(epoch: epoch, time: time), of: id) }
    sessions[id]?.open[epoch]?.played = time
  }

  package mutating func said(_ id: UInt64, epoch: UInt32, _ pieces: [SaidText], replacing: Bool) {
    if isEarly(id, epoch) { return keep(.said(epoch: epoch, pieces, replacing: replacing), of: id) }
    guard var said = sessions[id]?.open[epoch]?.said else { return }
    if replacing { said = [] }
    // Beyond what can be kept nobody will know what was heard; what comes before stays right.
    var bytes = said.reduce(0) { $0 + $1.text.utf8.count + 16 }
    for piece in pieces {
      bytes += piece.text.utf8.count + 16
      if bytes > Self.saidLimit { break }
      said.append(piece)
    }
    sessions[id]?.open[epoch]?.said = said
  }

  /// Whether what this is about has not been heard of yet.
  private func isEarly(_ id: UInt64, _ epoch: UInt32) -> Bool {
    guard let book = sessions[id] else { return !begunIDs.contains(id) }
    return epoch > 0 && book.isUnknown(epoch)
  }

  /// Whether the turn is open, or yet to be heard of.
  func expects(_ id: UInt64, _ epoch: UInt32) -> Bool { isEarly(id, epoch) || sessions[id]?.open[epoch] != nil }

  private mutating func keep(_ event: Early, of id: UInt64) {
    guard earlyCount < Self.earlyLimit else { return }
    earlyCount += 1
    early[id, default: []].append(event)
  }

  /// Handles what came early; what is still too early is kept again.
  private mutating func replay(_ id: UInt64) -> [Action] {
    guard let events = early.removeValue(forKey: id) else { return [] }
    earlyCount -= events.count
    replays += 1
    var actions: [Action] = []
    for event in events {
      switch event {
      // A session that just began has been interrupted by nobody: no deadline is set.
      case .turnBegan(let epoch, let node): actions += turnBegan(id, epoch: epoch, node: node, now: 0)
      case .reached(let epoch, let node): actions += reached(id, epoch: epoch, node: node)
      case .failed(let epoch, let reason): _ = turnFailed(id, epoch: epoch, reason: reason)
      case .played(let epoch, let time): played(id, epoch: epoch, time: time)
      case .said(let epoch, let pieces, let replacing): said(id, epoch: epoch, pieces, replacing: replacing)
      }
    }
    replays -= 1
    return actions + closeIfDone(id)
  }

  /// Interrupts everything in the session up to a turn, or to its latest one.
  package mutating func interrupt(_ id: UInt64, through epoch: UInt32? = nil, reason: String, now: Int64) -> [Action] {
    guard let (latest, fenced) = sessions[id].map({ ($0.latest, $0.fenced) }) else { return [] }
    let last = min(epoch ?? latest, latest)
    return last > fenced ? cut(id, through: last, .interrupted(reason: reason), now: now) : []
  }

  /// A process died: all open turns fail by name, since nobody knows what of them it took with it.
  package mutating func orphan(reason: String, dead: Set<Int>, now: Int64) -> [Action] {
    var actions: [Action] = []
    // Who is dead computes nothing.
    for node in dead { actions += forget(node) }
    // Where no turns are opened, what is lost is the session's own.
    for (id, book) in sessions.sorted(by: { $0.key < $1.key }) where !book.hasFailed && !hasTurns(book.source) {
      sessions[id]?.hasFailed = true
      actions.append(
        .record(session: id, TurnRecord(session: book.name, epoch: 0, outcome: .failed(reason: reason))))
    }
    for (id, book) in sessions.sorted(by: { $0.key < $1.key }) where book.latest > book.fenced {
      actions += cut(id, through: book.latest, .failed(reason: reason), now: now, sparing: dead)
    }
    return actions
  }

  private func hasTurns(_ source: Int) -> Bool {
    plan.nodes[source].opensTurns || plan.edges.contains { $0.carriesTurns && $0.sources.contains(source) }
  }

  private mutating func forget(_ node: Int) -> [Action] {
    var actions: [Action] = []
    for id in sessions.keys { actions += acknowledged(id, epoch: .max, node: node) }
    return actions
  }

  package mutating func acknowledged(_ id: UInt64, epoch: UInt32, node: Int) -> [Action] {
    var actions: [Action] = []
    let cut = (sessions[id]?.open ?? [:]).filter { $0.key <= epoch && $0.value.cut != nil }.keys.sorted()
    for number in cut {
      guard var turn = sessions[id]?.open[number], var cut = turn.cut else { continue }
      cut.unacknowledged.remove(node)
      turn.cut = cut
      sessions[id]?.open[number] = turn
      if cut.unacknowledged.isEmpty { actions += finish(id, number, cut.outcome) }
    }
    return actions
  }

  /// Ends what should have been acknowledged by now.
  package mutating func expire(now: Int64) -> [Action] {
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

  /// The run is over: whatever is open ends now.
  package mutating func close(_ outcome: TurnOutcome) -> [Action] {
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
    sessions[id]?.noteClosed(epoch)
    openTurns -= 1
    var heard: String?
    if outcome != .completed, !turn.said.isEmpty {
      heard = turn.said.filter { $0.end <= turn.played ?? 0 }.map(\.text).joined()
    }
    let record = TurnRecord(
      session: name, epoch: epoch, outcome: outcome, played: turn.played, heard: heard,
      unacknowledged: missing.sorted().map { plan.nodes[$0].name })
    return [.record(session: id, record)] + closeIfDone(id)
  }

  private mutating func closeIfDone(_ id: UInt64) -> [Action] {
    // What is kept of the session tells of a turn that is yet to be heard of.
    guard let book = sessions[id], book.waiting.isEmpty, book.open.isEmpty, early[id] == nil, replays == 0 else {
      return []
    }
    sessions[id] = nil
    return [.closeSession(id)]
  }
}
