package import Dataflow
import DequeModule
import Synchronization

/// The one place that knows the whole run: which nodes are ready, which turns are open, what is to be told to whom.
///
/// Events come from any thread and are handled one at a time; commands go out after the lock is let go. What there is to
/// be told goes to an ``Announcer``, for which nobody waits here.
package final class Coordinator: Sendable {
  private let plan: Plan
  private let clock: any TimeSource
  private let announcer: Announcer
  private let state: Mutex<State>

  private enum Phase { case loading, running, over }

  private struct State {
    var ledger: TurnLedger
    var phase = Phase.loading
    var send: (@Sendable (_ part: Int, _ command: PartCommand) -> Void)?
    var ready: Set<Int> = []
    var readyEdges: Set<Int> = []
    var finishedParts: Set<Int> = []
    /// Parts that are gone or do not answer.
    var lost: Set<Int> = []
    /// Processes that were started anew and wait for their start.
    var unstarted: Set<Int> = []
    var created: Int64
    var started: Int64 = 0
    var timings: [TurnKey: Timing] = [:]
    var records = Deque<TurnRecord>()
    var finished = Deque<TurnTiming>()
    var turnsOmitted = 0
    var hasFailedTurns = false
    var reports: [Int: PartReport] = [:]
    var failure: String?
    var traces: [Int: [TraceEntry]] = [:]
    var traced = 0
    var traceLost = 0
    /// What to add to a process's times to get this one's.
    var clockOffsets: [Int: Int64] = [:]
    /// What is still to be told and sent, in the order in which it was decided on.
    var effects = Deque<Effect>()
    /// Somebody is at it.
    var isActing = false
  }
  private struct TurnKey: Hashable {
    var session: UInt64
    var epoch: UInt32
  }
  private struct Timing {
    var asked: Int64?
    var firstPlayed: Int64?
    var lastReached: Int64?
    var audio: Int64?
  }

  private let wireEdges: Set<Int>

  /// How many turns the summary tells of, the last ones.
  package static let recordLimit = 100_000
  /// Entries of a trace, of all processes; about 150 bytes each.
  private static let traceLimit = 4_000_000

  package init(plan: Plan, clock: any TimeSource, observe: @escaping @Sendable (RunEvent) -> Void) {
    self.plan = plan
    self.clock = clock
    announcer = Announcer(observe: observe)
    wireEdges = Set(
      plan.edges.indices.filter { index in
        if case .wire = plan.edges[index].transport { true } else { false }
      })
    state = Mutex(State(ledger: TurnLedger(plan: plan), created: clock.now))
  }

  /// - Parameter send: takes a command to a process; called from any thread, also while another call is under way.
  package func connect(_ send: @escaping @Sendable (_ part: Int, _ command: PartCommand) -> Void) {
    state.withLock { $0.send = send }
  }

  /// Whether so much waits for the observer that nothing more should be taken from nodes.
  var isCongested: Bool { announcer.isCongested }

  /// Holds up a node's thread while that is so.
  func waitForRoom() { announcer.waitForRoom() }

  /// - Returns: whether the event could be true; otherwise nothing has happened.
  @discardableResult
  package func handle(_ event: PartEvent, from part: Int) -> Bool {
    guard let event = event.checked(from: part, in: plan) else { return false }
    handle(checked: event, from: part)
    return true
  }

  private func handle(checked event: PartEvent, from part: Int) {
    let now = clock.now
    perform { state in
      switch event {
      case .nodeReady(let node): return self.nodeReady(node, &state, now)
      case .nodeEnded: return []
      case .edgeReady(let edge):
        state.readyEdges.insert(edge)
        return self.startIfReady(&state, now)
      case .edgeBroken(let edge, let reason):
        let name = self.plan.edges[edge].name
        if state.phase == .loading {
          state.failure = state.failure ?? "edge \(name): \(reason)"
          return [.stopAll]
        }
        return [.tell(.part(name: self.plan.parts[part].name, what: "edge \(name): \(reason)"))]
          + self.apply(state.ledger.orphan(reason: "edge \(name): \(reason)", dead: [], now: now), &state)
      case .nodeFailed(let node, let reason):
        state.failure = state.failure ?? "node \(self.name(node)) failed: \(reason)"
        return [.stopAll]
      case .sessionBegan(let id, let name, let node):
        return [.tell(.sessionBegan(name: name))]
          + self.apply(state.ledger.sessionBegan(id, name: name, node: node), &state)
      case .turnBegan(let id, let epoch, let node):
        return self.apply(state.ledger.turnBegan(id, epoch: epoch, node: node, now: now), &state)
      case .turnAsked(let id, let epoch):
        if state.timings.count < 4096, state.ledger.expects(id, epoch) {
          state.timings[TurnKey(session: id, epoch: epoch), default: Timing()].asked = now
        }
        return []
      case .reached(let id, let epoch, let node):
        state.timings[TurnKey(session: id, epoch: epoch)]?.lastReached = now
        return self.apply(state.ledger.reached(id, epoch: epoch, node: node), &state)
      case .interrupt(let id, let epoch, let reason):
        return self.apply(state.ledger.interrupt(id, through: epoch, reason: reason, now: now), &state)
      case .turnFailed(let id, let epoch, let node, let reason):
        if let actions = state.ledger.turnFailed(id, epoch: epoch, reason: "\(self.name(node)): \(reason)") {
          return self.apply(actions, &state)
        }
        // No record will tell: the turn is over, or never was.
        return [.tell(.log(node: self.name(node), text: "a turn that is over failed: \(reason)"))]
      case .acknowledged(let id, let epoch, let node):
        return self.apply(state.ledger.acknowledged(id, epoch: epoch, node: node), &state)
      case .played(let id, let epoch, let time):
        state.ledger.played(id, epoch: epoch, time: time)
        let key = TurnKey(session: id, epoch: epoch)
        if time > 0, state.timings[key]?.firstPlayed == nil { state.timings[key]?.firstPlayed = now }
        state.timings[key]?.audio = time
        return []
      case .said(let id, let epoch, let pieces, let replacing):
        state.ledger.said(id, epoch: epoch, pieces, replacing: replacing)
        return []
      case .progress(let node, let what, let fraction):
        return [.tell(.progress(node: self.name(node), what: what, fraction: fraction))]
      case .log(let node, let text): return [.tell(.log(node: self.name(node), text: text))]
      case .print(let node, let text): return [.tell(.print(node: self.name(node), text: text))]
      case .show(let node, let text): return [.tell(.show(node: self.name(node), text: text))]
      case .trace(let entries):
        let offset = state.clockOffsets[part] ?? 0
        let kept = entries.prefix(Self.traceLimit - state.traced)
        state.traced += kept.count
        state.traceLost += entries.count - kept.count
        state.traces[part, default: []] += kept.map { entry in
          var entry = entry
          entry.time += offset
          return entry
        }
        return []
      case .report(let report):
        state.reports[part] = report
        return []
      case .finished(let report):
        state.reports[part] = report
        state.finishedParts.insert(part)
        guard state.finishedParts.count == self.plan.parts.count else { return [] }
        return self.plan.parts.indices.map { .command(part: $0, .release) }
      }
    }
  }

  /// Interrupts a session by its name; all sessions with nil.
  func interrupt(session name: String?, reason: String) {
    let now = clock.now
    perform { state in
      state.ledger.sessions.filter { name == nil || $0.value.name == name }.keys.sorted().flatMap { id in
        self.apply(state.ledger.interrupt(id, reason: reason, now: now), &state)
      }
    }
  }

  /// A process died; what it had of any turn is lost.
  func partLost(_ part: Int, reason: String) {
    let now = clock.now
    let dead = Set(plan.nodes.indices.filter { plan.nodes[$0].part == part })
    perform { state in
      state.ready.subtract(dead)
      state.unstarted.insert(part)
      state.finishedParts.remove(part)
      state.readyEdges = state.readyEdges.filter { edge in
        let edge = self.plan.edges[edge]
        return !dead.contains(edge.from.node) && !dead.contains(edge.to.node)
      }
      return [.tell(.part(name: self.plan.parts[part].name, what: reason))]
        + self.apply(
          state.ledger.orphan(reason: "part \(self.plan.parts[part].name) \(reason)", dead: dead, now: now), &state)
        + self.greeting(of: part, &state)
    }
  }

  /// Ends turns whose interruption was not acknowledged in time. Call it now and then.
  func expire() {
    let now = clock.now
    perform { state in self.apply(state.ledger.expire(now: now), &state) }
  }

  func fail(_ reason: String) {
    perform { state in
      state.failure = state.failure ?? reason
      return [.stopAll]
    }
  }

  /// A process's clock stands at `theirs` now.
  package func note(clock theirs: Int64, ofPart part: Int) {
    let offset = clock.now - min(max(theirs, 0), PartEvent.longest)
    // On one machine the clocks are the same, and what differs is the message's way.
    let isSame = abs(offset) < 1_000_000_000 && plan.parts[part].host == nil
    state.withLock { $0.clockOffsets[part] = isSame ? 0 : offset }
  }

  /// The trace of all processes, as far as it has come in.
  package var trace: [Int: [TraceEntry]] { state.withLock { $0.traces } }

  /// Entries of the trace that were not kept, here or in the processes.
  package var traceLost: Int {
    state.withLock { state in state.traceLost + state.reports.values.reduce(0) { $0 + ($1.traceLost ?? 0) } }
  }

  func tell(_ event: RunEvent) { announcer.tell(event) }

  /// What the graph still waits for before it can start.
  var missing: [String] {
    state.withLock { state in
      plan.nodes.indices.filter { !state.ready.contains($0) }.map { "node \(name($0))" }
        + wireEdges.subtracting(state.readyEdges).sorted().map { "edge \(plan.edges[$0].name)" }
    }
  }

  /// Whether the run has failed, or has nothing left to do.
  var isOver: Bool {
    state.withLock { $0.failure != nil || $0.phase == .over || $0.finishedParts.count == plan.parts.count }
  }

  var hasStarted: Bool { state.withLock { $0.phase != .loading } }
  package var hasFailed: Bool { state.withLock { $0.failure != nil } }
  func hasFinished(_ part: Int) -> Bool { state.withLock { $0.finishedParts.contains(part) } }

  /// Every session's latest interruption, for a process that may have missed it.
  func repeatFences(to part: Int) {
    perform { state in self.fences(for: part, state) }
  }

  private func fences(for part: Int, _ state: State) -> [Effect] {
    state.ledger.sessions.sorted { $0.key < $1.key }.filter { $0.value.fenced > 0 }.map { id, book in
      .command(part: part, .fence(session: id, name: book.name, epoch: book.fenced))
    }
  }

  /// A process that was lost, or another in its place, is there.
  func partIsBack(_ part: Int) {
    perform { state in
      state.lost.remove(part)
      return []
    }
  }

  /// Nobody sends to a process that is gone: peers go on when it, or another in its place, has answered a greeting. They
  /// are told once; by the second time they may be talking to that other.
  private func greeting(of part: Int, _ state: inout State) -> [Effect] {
    guard state.lost.insert(part).inserted else { return [] }
    return plan.parts.indices.filter { $0 != part }.map { .command(part: $0, .peerRestarted(part: part)) }
  }

  /// A process does not answer, but may come back.
  func partSilent(_ part: Int, reason: String) {
    let now = clock.now
    perform { state in
      [.tell(.part(name: self.plan.parts[part].name, what: reason))]
        + self.apply(
          state.ledger.orphan(reason: "part \(self.plan.parts[part].name) \(reason)", dead: [], now: now), &state)
        + self.greeting(of: part, &state)
    }
  }

  /// The run is over: open turns end, and the books are closed.
  package func finish(_ outcome: TurnOutcome) -> RunSummary {
    perform { state in
      state.phase = .over
      return self.apply(state.ledger.close(outcome), &state)
    }
    let (now, traceLost) = (clock.now, traceLost)
    return state.withLock { state in
      // The parts know the coordinator, and are known through this: let go, or none would ever be freed.
      state.send = nil
      return RunSummary(
        graph: plan.name, duration: state.started > 0 ? now - state.started : 0,
        loading: (state.started > 0 ? state.started : now) - state.created, turns: Array(state.records),
        turnsOmitted: state.turnsOmitted, hasFailedTurns: state.hasFailedTurns, timings: Array(state.finished),
        nodes: merged(state.reports.values.flatMap(\.nodes)),
        edges: plan.edges.compactMap { edge in
          Self.merged(state.reports.values.flatMap(\.edges).filter { $0.edge == edge.name })
        }, refused: state.reports.values.map(\.refused).reduce(Refusals(), +),
        traceLost: traceLost, failure: state.failure)
    }
  }

  // MARK: Inside

  private enum Effect: Sendable {
    case tell(RunEvent)
    case command(part: Int, PartCommand)
    case stopAll
  }

  private func nodeReady(_ node: Int, _ state: inout State, _ now: Int64) -> [Effect] {
    guard state.ready.insert(node).inserted else { return [] }
    let missing = plan.nodes.indices.filter { !state.ready.contains($0) }
    return [.tell(.nodeReady(node: name(node), waitingFor: missing.map(name)))] + startIfReady(&state, now)
  }

  /// All nodes are loaded and every edge between processes has been agreed on.
  private func startIfReady(_ state: inout State, _ now: Int64) -> [Effect] {
    guard state.ready.count == plan.nodes.count, wireEdges.isSubset(of: state.readyEdges) else { return [] }
    let (begun, open) = (state.ledger.begun, state.ledger.sessions.keys.sorted())
    switch state.phase {
    case .loading:
      state.phase = .running
      state.started = now
      state.unstarted = []
      return [.tell(.started)] + plan.parts.indices.map { .command(part: $0, .start(begun: begun, open: open)) }
    case .running:
      // All are ready again after processes were started anew.
      defer { state.unstarted = [] }
      return state.unstarted.sorted().flatMap { part -> [Effect] in
        // Before it starts, so that it neither takes up what was interrupted nor counts turns from the beginning.
        self.fences(for: part, state) + [.command(part: part, .start(begun: begun, open: open))]
      }
    case .over: return []
    }
  }

  private func apply(_ actions: [TurnLedger.Action], _ state: inout State) -> [Effect] {
    actions.flatMap { action -> [Effect] in
      switch action {
      case .turnBegan(let session, let epoch): return [.tell(.turnBegan(session: session, epoch: epoch))]
      case .fence(let session, let name, let epoch):
        return plan.parts.indices.map { .command(part: $0, .fence(session: session, name: name, epoch: epoch)) }
      case .closeSession(let session):
        return plan.parts.indices.map { .command(part: $0, .closeSession(session: session)) }
      case .overrun(let reason):
        state.failure = state.failure ?? reason
        return [.stopAll]
      case .record(let session, let record):
        state.records.append(record)
        state.hasFailedTurns = state.hasFailedTurns || record.hasFailed
        if state.records.count > Self.recordLimit {
          state.records.removeFirst()
          state.turnsOmitted += 1
        }
        if state.finished.count >= Self.recordLimit { state.finished.removeFirst() }
        if let timing = state.timings.removeValue(forKey: TurnKey(session: session, epoch: record.epoch)) {
          state.finished.append(
            TurnTiming(
              session: record.session, epoch: record.epoch,
              firstAudio: timing.asked.flatMap { asked in timing.firstPlayed.map { $0 - asked } },
              answered: timing.asked.flatMap { asked in timing.lastReached.map { $0 - asked } },
              audio: timing.audio))
        }
        return [.tell(.turnEnded(record))]
      }
    }
  }

  private func perform(_ change: (inout sending State) -> sending [Effect]) {
    let isMine = state.withLock { state in
      state.effects.append(contentsOf: change(&state))
      if state.isActing { return false }
      state.isActing = true
      return true
    }
    // Whoever is at it acts for all, so that a command may lead to events, and the order is kept.
    while isMine, let (effect, send) = nextEffect() {
      switch effect {
      case .tell(let event): announcer.tell(event)
      case .command(let part, let command): send?(part, command)
      case .stopAll:
        announcer.lift()
        for part in plan.parts.indices { send?(part, .stop) }
      }
    }
  }

  private func nextEffect() -> (Effect, (@Sendable (Int, PartCommand) -> Void)?)? {
    state.withLock { state in
      guard let effect = state.effects.popFirst() else {
        state.isActing = false
        return nil
      }
      return (effect, state.send)
    }
  }

  /// Returns when everything decided on has been told and sent.
  package func settle() async {
    while state.withLock({ $0.isActing }) || !announcer.isIdle { try? await Task.sleep(for: .milliseconds(1)) }
  }

  private func name(_ node: Int) -> String {
    plan.nodes.indices.contains(node) ? plan.nodes[node].name : "node \(node)"
  }

  /// What the receiver and the sender of an edge have counted.
  private static func merged(_ counts: [NamedEdgeStatistics]) -> NamedEdgeStatistics? {
    counts.dropFirst().reduce(counts.first) { sum, count in
      guard var sum else { return nil }
      sum.waiting += count.waiting
      sum.statistics.add(count.statistics)
      return sum
    }
  }

  /// In the order of the graph.
  private func merged(_ statistics: [NodeStatistics]) -> [NodeStatistics] {
    plan.nodes.compactMap { node in statistics.first { $0.node == node.name } }
  }
}
