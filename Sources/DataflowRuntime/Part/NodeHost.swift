import Dataflow
import Synchronization

/// A node in the runtime: its thread, its mailbox, its outputs, and the services behind its context.
final class NodeHost: Sendable {
  let index: Int
  let planned: PlannedNode
  let mailbox: Mailbox
  let meter: NodeMeter
  private let outlets: [OutletHost]
  private let hasInputs: Bool
  /// Tells the coordinator of the ends that it passes on; see ``Plan/isWitness(_:)``.
  private let isWitness: Bool
  private let part: any PartServices
  private let clock: any TimeSource
  private let tracer: Tracer?
  private let computation: Computation?
  private let state = Mutex(State())

  private struct State {
    var isEnded = false
    var sessionsBegun: UInt64 = 0
    /// Names of sessions that an earlier incarnation of this process began.
    var begunBefore: Set<String> = []
  }

  init(
    index: Int, planned: PlannedNode, mailbox: Mailbox, outlets: [OutletHost], meter: NodeMeter, hasInputs: Bool,
    isWitness: Bool, part: any PartServices, computation: Computation?
  ) {
    self.index = index
    self.computation = computation
    self.planned = planned
    self.mailbox = mailbox
    self.outlets = outlets
    self.meter = meter
    self.hasInputs = hasInputs
    self.isWitness = isWitness
    self.part = part
    (clock, tracer) = (part.clock, part.tracer)
  }

  /// Creates the node on a thread of its own, waits for the start and runs it to its end.
  ///
  /// - Throws: what the node throws, unless it is because the run stops.
  func live(start: Gate) async throws {
    guard let type = planned.type else { return }
    let thread = NodeThread(name: planned.name, clock: clock)
    defer { thread.finish() }
    let work = Task(executorPreference: thread) { try await self.live(as: type, start: start) }
    let result = await work.result
    state.withLock { $0.isEnded = true }
    let (cuts, hasMore) = mailbox.finish()
    for turn in cuts { acknowledge(turn) }
    for outlet in outlets { outlet.close() }
    computation?.end()
    do {
      try result.get()
      if hasMore { throw ReturnedEarly() }
    } catch  where part.isStopping {
      // Whatever it was, the run is over.
    }
  }

  private func live<N: Node>(as type: N.Type, start: Gate) async throws {
    var reader = planned.parameters
    let parameters = N.Parameters(&reader)
    if let error = reader.errors.first { throw error }
    let context = NodeContext(
      name: planned.name, clock: part.clock, seed: part.seed(for: planned.name), threads: part.plan.settings.threads,
      services: self)
    var node = try N(parameters, context)
    var binder = PortBinder(connecting: self)
    let ports = try N.Ports(&binder, parameters)
    part.control.post(.nodeReady(node: index))
    try await start.wait()
    computation?.goOn()
    do {
      try await node.run(ports)
    } catch let cut as TurnCut {
      throw EscapedCut(node: planned.name, turn: cut.turn)
    }
  }

  func noteBegun(_ names: [String]) {
    state.withLock { state in
      state.begunBefore = Set(names)
      state.sessionsBegun = UInt64(names.count)
    }
  }

  /// Ends a session that an earlier incarnation of this process began and could not end.
  func endOrphan(_ session: Session) {
    pass(.sessionBegan, Turn(session, epoch: 0))
    pass(.sessionEnded, Turn(session, epoch: 0))
  }

  /// The session's turns up to this one were interrupted.
  ///
  /// - Returns: how many values each incoming edge lost.
  func fence(_ turn: Turn) -> [Int] {
    let lost = mailbox.fence(turn)
    if !hasInputs || state.withLock({ $0.isEnded }) { acknowledge(turn) }
    return lost
  }

  private func acknowledge(_ turn: Turn) {
    part.control.post(.acknowledged(session: turn.session.id, epoch: turn.epoch, node: index))
  }

  private func pass(_ content: Envelope.Content, _ turn: Turn) {
    for outlet in outlets { outlet.pass(content, turn) }
    guard isWitness else { return }
    switch content {
    case .turnEnded, .sessionEnded:
      part.control.post(.reached(session: turn.session.id, epoch: turn.epoch, node: index))
    case .value, .sessionBegan: break
    }
  }
}

/// The node let an interruption escape.
struct EscapedCut: Error, CustomStringConvertible {
  let node: String
  let turn: Turn
  var description: String {
    "node \(node) let TurnCut escape from run when turn \(turn) was interrupted; it must catch it and go on"
  }
}

/// The node returned and left messages behind, which would keep their senders waiting for ever.
struct ReturnedEarly: Error, CustomStringConvertible {
  var description: String { "it returned while messages still came in; run must read its inputs to their end" }
}

extension NodeHost: Inbox {
  func take(on ports: UInt64) throws -> Taken {
    computation?.pay()
    while true {
      switch try look(on: ports) {
      case .nothing:
        defer { computation?.goOn() }
        if !mailbox.arrivalInPlace(on: ports) { return .nothing }
      case let taken: return taken
      }
    }
  }

  func next(on ports: UInt64) async throws -> Arrival? {
    while true {
      switch try look(on: ports) {
      case .arrival(let arrival): return arrival
      case .ended: return nil
      case .nothing:
        await mailbox.arrival(on: ports)
        computation?.goOn()
      }
    }
  }

  func poll(on ports: UInt64) throws -> Taken {
    computation?.pay()
    return try mailbox.hasArrival(on: ports, passingMarks: planned.ending == .following) ? look(on: ports) : .nothing
  }

  /// What there is for the node, once marks have been passed on and notices acknowledged.
  private func look(on ports: UInt64) throws -> Taken {
    while true {
      let now = clock.now
      var worked: Hand.Worked?
      if let next = mailbox.next(on: ports, now: now, worked: &worked) {
        if let worked { meter.countWork(worked, andReceived: 1) }
        part.taken(node: index, lane: next.lane, count: 1)
        if let tracer { trace(tracer, worked, next.arrival, next.lane) }
        return .arrival(next.arrival)
      }
      let take = mailbox.take(on: ports, now: now, worked: &worked)
      if let worked {
        meter.countWork(worked, andReceived: 0)
        tracer?.worked(node: index, worked.time)
      }
      switch take {
      case .arrival(let arrival, let lane):
        if let tracer { trace(tracer, nil, arrival, lane) }
        let envelope: Envelope
        switch arrival {
        case .cut: return .arrival(arrival)
        case .written:
          meter.countReceived(1)
          part.taken(node: index, lane: lane, count: 1)
          return .arrival(arrival)
        case .envelope(let found, _): envelope = found
        }
        switch envelope.content {
        case .value:
          meter.countReceived(1)
          part.taken(node: index, lane: lane, count: 1)
        case .sessionBegan:
          // The same session comes on every edge; the node hears of it once. What comes round a loop began here, and
          // may have ended meanwhile.
          let edge = part.plan.edges[part.plan.incoming(index)[lane]]
          if edge.isFeedback || !mailbox.begin(envelope.turn.session) { continue }
          pass(.sessionBegan, envelope.turn)
        case .turnEnded, .sessionEnded: break
        }
        return .arrival(arrival)
      case .pass(let mark):
        if planned.ending == .following {
          pass(mark.isSessionEnd ? .sessionEnded : .turnEnded, mark.turn)
          if mark.isSessionEnd { _ = mailbox.end(mark.turn.session) }
        }
      case .acknowledge(let turn): acknowledge(turn)
      case .empty: return .nothing
      case .ended: return .ended
      case .stopped: throw CancellationError()
      }
    }
  }
}

extension NodeHost {
  func isConnected(_ port: Int) -> Bool {
    part.plan.incoming(index).contains { part.plan.edges[$0].to.port == port }
  }

  func refuse(_ value: WrittenValue, because error: MessageCodingError) {
    mailbox.breakOff(lane: value.message.lane)
    part.refused(node: index, lane: value.message.lane, because: error)
  }

  func takeMore(on ports: UInt64, most: Int) -> [Parcel] {
    let (parcels, lane) = mailbox.takeMore(on: ports, most: most, now: clock.now)
    let count = parcels.reduce(0) { $0 + $1.values }
    if count == 0 { return [] }
    meter.countReceived(count)
    part.taken(node: index, lane: lane, count: count)
    if let tracer {
      for parcel in parcels {
        switch parcel {
        case .envelope(let envelope): trace(tracer, nil, .envelope(envelope, port: 0), lane)
        case .run(var run): while run.count > 0 { trace(tracer, nil, .written(run.removeFirst(), port: 0), lane) }
        }
      }
    }
    return parcels
  }

  private func trace(_ tracer: Tracer, _ worked: Hand.Worked?, _ arrival: Arrival, _ lane: Int) {
    if let worked { tracer.worked(node: index, worked.time) }
    if lane >= 0 { tracer.took(node: index, edge: part.plan.incoming(index)[lane], arrival) }
  }
}

extension NodeHost: PortConnection {
  var inbox: any Inbox { self }
  func outlet(_ port: Int) -> any Outlet { outlets[port] }
}

extension NodeHost: NodeServices {
  var isStopping: Bool { part.isStopping }
  var queues: [QueueDepth] { part.queues }

  func beginSession(named name: String) -> Session? {
    let number: UInt64? = state.withLock { state in
      if state.begunBefore.contains(name) { return nil }
      state.sessionsBegun += 1
      return state.sessionsBegun
    }
    guard let number else { return nil }
    let session = part.sessions.session(sessionID(source: index, number: number), named: name)
    part.control.post(.sessionBegan(session: session.id, name: name, node: index))
    pass(.sessionBegan, Turn(session, epoch: 0))
    return session
  }

  func beginTurn(in session: Session) -> Turn {
    computation?.pay()
    let turn = Turn(session, epoch: session.nextEpoch())
    part.control.post(.turnBegan(session: session.id, epoch: turn.epoch, node: index))
    return turn
  }

  func endTurn(_ turn: Turn) {
    computation?.pay()
    if turn.isCut { return }
    if planned.opensTurns { part.control.post(.turnAsked(session: turn.session.id, epoch: turn.epoch)) }
    pass(.turnEnded, turn)
  }

  func endSession(_ session: Session) {
    computation?.pay()
    _ = mailbox.end(session)
    pass(.sessionEnded, Turn(session, epoch: 0))
  }

  func interrupt(_ session: Session, through epoch: UInt32?, because reason: String) {
    computation?.pay()
    part.control.post(.interrupt(session: session.id, epoch: epoch, reason: reason))
  }

  func fail(_ turn: Turn, because reason: String) {
    part.control.post(.turnFailed(session: turn.session.id, epoch: turn.epoch, node: index, reason: reason))
  }

  func played(_ time: Int64, of turn: Turn) {
    computation?.pay()
    part.control.post(.played(session: turn.session.id, epoch: turn.epoch, time: time))
  }

  func said(_ pieces: [SaidText], of turn: Turn, replacing: Bool) {
    part.control.post(
      .said(session: turn.session.id, epoch: turn.epoch, pieces: pieces, replacing: replacing))
  }

  func progress(_ what: String, _ fraction: Double) {
    part.control.post(.progress(node: index, what: what, fraction: fraction))
  }

  func show(_ text: String) { part.control.post(.show(node: index, text: text)) }
  func log(_ text: String) { part.control.post(.log(node: index, text: text)) }
  func print(_ text: String) { part.control.post(.print(node: index, text: text)) }
}

/// A session's id tells its source: the node's index plus one in the upper half, the session's number below.
package func sessionID(source: Int, number: UInt64) -> UInt64 { UInt64(source + 1) << 32 | number }
package func source(ofSession id: UInt64) -> Int { Int(id >> 32) - 1 }

/// What a node's host needs of the process it lives in.
protocol PartServices: Sendable {
  var plan: Plan { get }
  var clock: any TimeSource { get }
  var control: any ControlChannel { get }
  var sessions: SessionTable { get }
  var isStopping: Bool { get }
  var tracer: Tracer? { get }
  /// What waits at the process's nodes.
  var queues: [QueueDepth] { get }
  func seed(for node: String) -> UInt64
  /// The node took values from an incoming edge, whose far end may want to know that there is room.
  func taken(node: Int, lane: Int, count: Int)
  /// A value that the node took from an incoming edge is not what its type says.
  func refused(node: Int, lane: Int, because error: MessageCodingError)
}

/// Holds tasks until it is opened.
final class Gate: Sendable {
  private enum State {
    case closed([UnsafeContinuation<Void, any Error>])
    case open
    case cancelled
  }
  private let state = Mutex(State.closed([]))

  /// - Throws: `CancellationError` if the run was stopped before it started.
  func wait() async throws {
    try await withUnsafeThrowingContinuation { (continuation: UnsafeContinuation<Void, any Error>) in
      let state = state.withLock { state in
        if case .closed(let waiting) = state { state = .closed(waiting + [continuation]) }
        return state
      }
      switch state {
      case .closed: break
      case .open: continuation.resume()
      case .cancelled: continuation.resume(throwing: CancellationError())
      }
    }
  }

  func open() {
    for continuation in settle(.open) { continuation.resume() }
  }

  func cancel() {
    for continuation in settle(.cancelled) { continuation.resume(throwing: CancellationError()) }
  }

  private func settle(_ outcome: State) -> [UnsafeContinuation<Void, any Error>] {
    state.withLock { state in
      guard case .closed(let waiting) = state else { return [] }
      state = outcome
      return waiting
    }
  }
}
