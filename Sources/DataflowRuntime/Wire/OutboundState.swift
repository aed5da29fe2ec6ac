package import Dataflow
import DequeModule
package import GraphFile

/// The sender's side of an edge between processes: what waits to be written, and how much the far end still takes.
///
/// A plain value without locks or sockets, like ``MailboxState``. With policy `block` and `fail` a value is let in only
/// if there is credit for it, so that an edge holds at most its depth, wherever its values are; a policy that drops
/// keeps up to its depth here, beside what the receiver holds.
package struct OutboundState {
  package enum Phase: Equatable {
    /// The receiver has not yet answered the greeting.
    case greeting
    case ready
    case refused(reason: String)
  }
  private let depth: Int
  private let policy: EdgePolicy
  package private(set) var phase = Phase.greeting
  private var queue = Deque<Envelope>()
  private var values = 0
  package private(set) var credits = 0
  /// Sessions under way on the edge; a receiver that was started anew is told of them again.
  private var sessions: [UInt64: (session: Session, isEnded: Bool)] = [:]
  /// What was written and has not been answered by credit, by turn and in order: lost if the receiver is another process
  /// now. Marks, which cost no credit, stand with the values before them.
  private var unanswered = Deque<(turn: Turn, values: Int)>()
  /// How often the receiver was greeted anew.
  package private(set) var greetings = 0
  private var isClosed = false
  private var closeIsSent = false
  /// The wire has taken something that it has not handed to its socket.
  private var isWriting = false
  private var isStopped = false
  private var waiters: [Waiter] = []
  package private(set) var dropped = 0
  package private(set) var stale = 0

  package init(depth: Int, policy: EdgePolicy) {
    self.depth = depth
    self.policy = policy
  }

  // MARK: The node

  package enum Offer: Equatable {
    case taken
    case full
    case stopped
    case refused(reason: String)
  }

  /// Whether nothing waits to be written: the wire must hear of what comes next.
  package var isEmpty: Bool { queue.isEmpty }

  package mutating func offer(_ envelope: Envelope) -> Offer {
    if isStopped { return .stopped }
    if case .refused(let reason) = phase { return .refused(reason: reason) }
    if envelope.turn.isCut {
      if envelope.isValue { stale += 1 }
      return .taken
    }
    switch envelope.content {
    case .sessionBegan: sessions[envelope.turn.session.id] = (envelope.turn.session, false)
    case .sessionEnded: sessions[envelope.turn.session.id]?.isEnded = true
    case .turnEnded: break
    case .value:
      switch policy {
      case .block, .fail:
        // Before the greeting is answered nothing is known of the receiver's room.
        if values >= credits { return .full }
      case .dropOldest: while values >= depth { dropOldest() }
      case .latest: while values > 0 { dropOldest() }
      }
      values += 1
    }
    queue.append(envelope)
    return .taken
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

  package enum Next {
    case envelope(Envelope)
    case closed
  }

  /// Adds to `items` what may be written now, in order, but not more than `count`.
  package mutating func next(upTo count: Int, into items: inout [Next]) {
    while items.count < count, let item = next() { items.append(item) }
  }

  private mutating func next() -> Next? {
    guard phase == .ready else { return nil }
    if !queue.isEmpty {
      if queue[0].isValue {
        guard credits > 0 else { return nil }
        credits -= 1
        values -= 1
      }
      isWriting = true
      let envelope = queue.removeFirst()
      noteWritten(envelope)
      return .envelope(envelope)
    }
    if isClosed, !closeIsSent {
      closeIsSent = true
      isWriting = true
      return .closed
    }
    return nil
  }

  private mutating func noteWritten(_ envelope: Envelope) {
    if envelope.turn.epoch == 0 { return }
    let values = envelope.isValue ? 1 : 0
    if let last = unanswered.indices.last, unanswered[last].turn == envelope.turn {
      unanswered[last].values += values
    } else {
      if unanswered.first?.values == 0 { unanswered.removeFirst() }
      unanswered.append((envelope.turn, values))
    }
  }

  /// Takes back what a message had no room for.
  ///
  /// - Parameter greetings: as many as there had been when it was taken. If there was another since, it has been counted as
  ///   lost, and stays so.
  package mutating func putBack(_ items: ArraySlice<Next>, greetings: Int) {
    guard greetings == self.greetings else { return }
    for item in items.reversed() {
      guard case .envelope(let envelope) = item else {
        closeIsSent = false
        continue
      }
      let isStale = envelope.turn.isCut
      if envelope.isValue {
        credits += 1
        if isStale { stale += 1 } else { values += 1 }
      }
      if !isStale { queue.prepend(envelope) }
      guard envelope.turn.epoch != 0, let last = unanswered.indices.last else { continue }
      if envelope.isValue { unanswered[last].values -= 1 }
      if unanswered[last].values == 0 { unanswered.removeLast() }
    }
  }

  /// All that was taken has been handed to the socket.
  package mutating func written() { isWriting = false }

  /// Everything has been written, or there is nobody to write to.
  package var isDrained: Bool {
    if isStopped { return true }
    if case .refused = phase { return true }
    return queue.isEmpty && !isWriting && (!isClosed || closeIsSent)
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
    greetings += 1
    phase = .greeting
    credits = 0
    closeIsSent = false
    let queuedEnds = Set(
      queue.compactMap { envelope -> UInt64? in
        if case .sessionEnded = envelope.content { envelope.turn.session.id } else { nil }
      })
    for (id, known) in sessions.sorted(by: { $0.key > $1.key }) {
      queue.prepend(Envelope(.sessionBegan, turn: Turn(known.session, epoch: 0)))
      if known.isEnded, !queuedEnds.contains(id) {
        queue.append(Envelope(.sessionEnded, turn: Turn(known.session, epoch: 0)))
      }
    }
    return Set(unanswered.map(\.turn)).filter { !$0.isCut }
  }

  // MARK: The runtime

  package mutating func fence() -> [Waiter] {
    let before = values
    queue.removeAll { $0.turn.isCut }
    values = queue.count { $0.isValue }
    stale += before - values
    return takeWaiters()
  }

  package mutating func forget(session id: UInt64) { sessions[id] = nil }

  package mutating func stop() -> [Waiter] {
    isStopped = true
    queue.removeAll()
    values = 0
    return takeWaiters()
  }

  private mutating func takeWaiters() -> [Waiter] {
    defer { waiters.removeAll() }
    return waiters
  }
}
