package import Dataflow
import DequeModule
package import GraphFile

/// The sender's side of an edge between processes: what waits to be sent, and how much the far end still takes.
///
/// A plain value without locks or sockets, like ``MailboxState``. With policy `block` and `fail` a value is let in only
/// if there is credit for it, so that an edge holds at most its depth, wherever its values are. Nothing but an
/// interruption can keep such a value from being sent, so it is written at once, by the node's thread. A policy that
/// drops keeps up to its depth here, beside what the receiver holds, and writes when there is credit.
package struct OutboundState: ~Copyable {
  package enum Phase: Equatable {
    /// The receiver has not yet answered the greeting.
    case greeting
    case ready
    case refused(reason: String)
  }
  private let depth: Int
  private let policy: EdgePolicy
  private let schema: UInt64
  package private(set) var phase = Phase.greeting
  /// What waits, in this order: batches that are full, the one being written, and with policies that drop what is not
  /// written yet.
  private var batches = Deque<OutboundBatch>()
  private var writer = DataWriter()
  private var queue = Deque<Envelope>()
  /// How many values wait, all together.
  private var values = 0
  package private(set) var credits = 0
  /// Sessions under way on the edge; a receiver that was started anew is told of them again.
  private var sessions: [UInt64: SessionOnEdge] = [:]
  /// What was sent and has not been answered by credit, by turn and in order: lost if the receiver is another process
  /// now. Marks, which cost no credit, stand with the values before them.
  private var unanswered = Deque<(turn: Turn, values: Int)>()
  private var isClosed = false
  private var closeIsSent = false
  /// The wire has taken something that it has not handed to its socket.
  private var isSending = false
  private var isStopped = false
  private var waiters: [Waiter] = []
  package private(set) var dropped = 0
  package private(set) var stale = 0

  private struct SessionOnEdge {
    let session: Session
    var end = End.open
    enum End {
      case open
      /// Its mark waits.
      case waiting
      case sent
    }
  }

  /// - Parameter schema: of the edge's type.
  package init(depth: Int, policy: EdgePolicy, schema: UInt64) {
    self.depth = depth
    self.policy = policy
    self.schema = schema
  }

  // MARK: The node

  package enum Offer: Equatable {
    case taken
    case full
    case stopped
    case refused(reason: String)
  }

  /// Whether nothing waits to be sent: the wire must hear of what comes next.
  package var isEmpty: Bool { batches.isEmpty && writer.isEmpty && queue.isEmpty }

  package mutating func offer(_ envelope: Envelope) -> Offer {
    if case .value(let value) = envelope.content {
      return offer(value, turn: envelope.turn, stamp: envelope.stamp, envelope: envelope)
    }
    if let obstacle { return obstacle }
    let session = envelope.turn.session
    if envelope.turn.isCut { return .taken }
    switch envelope.content {
    case .sessionBegan: sessions[session.id] = SessionOnEdge(session: session)
    case .sessionEnded: sessions[session.id]?.end = .waiting
    case .turnEnded, .value: break
    }
    add(envelope)
    return .taken
  }

  /// How many values are let in now.
  package var room: Int {
    switch policy {
    case .block, .fail: max(0, credits - values)
    case .dropOldest, .latest: .max
    }
  }

  /// - Parameter envelope: the value's, if there is one already.
  package mutating func offer(
    _ value: any Message, turn: Turn, stamp: Stamp, envelope: Envelope? = nil
  ) -> Offer {
    if let obstacle { return obstacle }
    if turn.isCut {
      stale += 1
      return .taken
    }
    switch policy {
    case .block, .fail:
      // Before the greeting is answered nothing is known of the receiver's room.
      if values >= credits { return .full }
      writer.append(value, turn, stamp, schema: schema)
      if writer.isFull { batches.append(writer.takeBatch()) }
    case .dropOldest, .latest:
      let limit = policy == .latest ? 1 : depth
      while values >= limit { dropOldest() }
      queue.append(envelope ?? Envelope(.value(value), turn: turn, stamp: stamp))
    }
    values += 1
    return .taken
  }

  private var obstacle: Offer? {
    if isStopped { return .stopped }
    if case .refused(let reason) = phase { return .refused(reason: reason) }
    return nil
  }

  private var isLossless: Bool { policy == .block || policy == .fail }

  /// Lets a mark in.
  private mutating func add(_ mark: Envelope) {
    guard isLossless else { return queue.append(mark) }
    writer.append(mark, schema: schema)
    if writer.isFull { batches.append(writer.takeBatch()) }
  }

  private mutating func dropOldest() {
    guard let victim = queue.firstIndex(where: { $0.isValue }) else { return }
    queue.remove(at: victim)
    values -= 1
    dropped += 1
  }

  /// - Returns: false if there is room by now, or never will be.
  package mutating func wait(_ sender: Waiter) -> Bool {
    if isStopped || values < credits { return false }
    if case .refused = phase { return false }
    waiters.append(sender)
    return true
  }

  /// - Returns: false if the sender is not waiting any more.
  package mutating func withdraw(_ pause: NodeThread.Pause) -> Bool {
    guard let place = waiters.firstIndex(where: { $0.isThread(in: pause) }) else { return false }
    waiters.remove(at: place)
    return true
  }

  package mutating func close() { isClosed = true }

  // MARK: The wire

  /// What may be sent now, in order, up to a batch; nil if that is nothing.
  package mutating func take() -> OutboundBatch? {
    guard phase == .ready else { return nil }
    if batches.isEmpty { writeWhatHasCredit() }
    guard var batch = batches.popFirst() ?? (writer.isEmpty ? nil : writer.takeBatch()) else { return nil }
    if batch.values > credits {
      // The receiver that was greeted anew has less room than the one before.
      let first = batch.takeFirst(values: credits)
      batches.prepend(batch)
      if first.isEmpty { return nil }
      batch = first
    }
    credits -= batch.values
    values -= batch.values
    isSending = true
    for run in batch.runs { note(run) }
    return batch
  }

  private mutating func writeWhatHasCredit() {
    while !writer.isFull, let envelope = queue.first {
      if envelope.isValue, writer.values >= credits { return }
      writer.append(envelope, schema: schema)
      queue.removeFirst()
    }
    if isClosed, !closeIsSent, queue.isEmpty, writer.values <= credits {
      writer.appendClosed()
      closeIsSent = true
    }
  }

  private mutating func note(_ run: OutboundBatch.Run) {
    guard let turn = run.turn else { return }
    if turn.epoch == 0 {
      if run.endsSession { sessions[turn.session.id]?.end = .sent }
      return
    }
    if let last = unanswered.indices.last, unanswered[last].turn == turn {
      unanswered[last].values += run.values
    } else {
      if unanswered.first?.values == 0 { unanswered.removeFirst() }
      unanswered.append((turn, run.values))
    }
  }

  /// All that was taken has been handed to the socket.
  package mutating func noteSent() { isSending = false }

  /// Everything has been sent, or there is nobody to send it to.
  package var isDrained: Bool {
    if isStopped { return true }
    if case .refused = phase { return true }
    return isEmpty && !isSending && (!isClosed || closeIsSent)
  }

  /// The receiver answered the greeting.
  package mutating func welcome(credits granted: Int) -> [Waiter] {
    // Greetings that lay in the socket until the receiver came are all answered; the room is the same.
    guard phase == .greeting else { return [] }
    phase = .ready
    credits = min(granted, depth)
    return takeWaiters()
  }

  package mutating func refuse(_ reason: String) -> [Waiter] {
    phase = .refused(reason: reason)
    return takeWaiters()
  }

  package mutating func credit(_ count: Int) -> [Waiter] {
    credits = min(credits + count, depth)
    var answered = count
    while answered > 0, let first = unanswered.first {
      let values = min(first.values, answered)
      answered -= values
      if values == first.values { unanswered.removeFirst() } else { unanswered[0].values -= values }
    }
    return takeWaiters()
  }

  /// The receiver is gone, is another process than before, or has lost count: greet it, and tell it again what is under
  /// way.
  ///
  /// - Returns: turns of which something may be lost.
  package mutating func greetAgain() -> [Turn] {
    defer { unanswered.removeAll() }
    phase = .greeting
    credits = 0
    closeIsSent = false
    var again = DataWriter()
    var begun: [OutboundBatch] = []
    for (_, known) in sessions.sorted(by: { $0.key < $1.key }) {
      let turn = Turn(known.session, epoch: 0)
      again.append(Envelope(.sessionBegan, turn: turn), schema: schema)
      if again.isFull { begun.append(again.takeBatch()) }
      if known.end == .sent {
        add(Envelope(.sessionEnded, turn: turn))
        sessions[known.session.id]?.end = .waiting
      }
    }
    if !again.isEmpty { begun.append(again.takeBatch()) }
    batches.insert(contentsOf: begun, at: 0)
    return Set(unanswered.map(\.turn)).filter { !$0.isCut }
  }

  // MARK: The runtime

  package mutating func fence() -> [Waiter] {
    let before = values
    queue.removeAll { $0.turn.isCut }
    if !writer.isEmpty { batches.append(writer.takeBatch()) }
    for index in batches.indices { batches[index].removeStale() }
    batches.removeAll(where: \.isEmpty)
    values = queue.count { $0.isValue } + batches.reduce(0) { $0 + $1.values }
    stale += before - values
    return takeWaiters()
  }

  package mutating func forget(session id: UInt64) { sessions[id] = nil }

  package mutating func stop() -> [Waiter] {
    isStopped = true
    batches.removeAll()
    queue.removeAll()
    if !writer.isEmpty { _ = writer.takeBatch() }
    values = 0
    return takeWaiters()
  }

  private mutating func takeWaiters() -> [Waiter] {
    defer { waiters.removeAll() }
    return waiters
  }
}
