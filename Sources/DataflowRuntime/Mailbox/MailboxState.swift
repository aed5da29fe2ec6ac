package import Dataflow
import DequeModule
package import GraphFile

/// The inside of a mailbox: queues, one per incoming edge, and what the node is doing with what it took.
///
/// A plain value without locks or tasks. Methods change it and return what is to be done; the mailbox does it after it
/// has let go of its lock.
package struct MailboxState {
  /// One incoming edge.
  package struct Lane {
    /// What the lane is, fixed for life.
    package struct Kind {
      var port: Int
      var name: String
      var depth: Int
      package var policy: EdgePolicy
      var isFeedback = false
      /// Whether marks of this session, and of its turns, come on this lane: the node passes a mark on only when it has
      /// come on every such lane.
      var carriesSession: @Sendable (Session) -> Bool = { _ in true }
      var carriesTurns = true
    }
    struct Entry {
      var parcel: Parcel
      var ticket: UInt64
      var arrived: Int64
    }
    package let kind: Kind
    var queue = Deque<Entry>()
    /// Values in the queue, and in the node's hand as long as it has not looked at them; marks take no room.
    package internal(set) var values = 0
    var marks = 0
    var isClosed = false
    /// What came was not what it should be: nothing more is taken in.
    var isBroken = false
    package internal(set) var statistics = EdgeStatistics()
    var waiters: [Waiter] = []

    /// Senders that wait are woken when so few values are left, not for every one.
    var ample: Int { kind.depth / 2 }
    var hasRoom: Bool { values < kind.depth }

    mutating func countArrival(of count: Int) {
      values += count
      statistics.delivered += count
      if values > statistics.deepest { statistics.deepest = values }
    }

    mutating func takeWaiters() -> [Waiter] {
      defer { waiters.removeAll() }
      return waiters
    }
  }

  package struct Mark: Hashable {
    package var turn: Turn
    package var isSessionEnd: Bool
  }

  package private(set) var lanes: [Lane]
  private var tickets: UInt64 = 0
  private var cuts = Deque<Turn>()
  private var isStopped = false
  /// The node has returned: what still comes is dropped.
  private var isFinished = false
  private var waiting: (ports: UInt64, node: Waiter)?
  /// Sessions that began and that the node has not ended.
  private var sessions: Set<UInt64> = []
  /// On which lanes a mark has come.
  private var marks: [Mark: UInt64] = [:]

  package init(_ lanes: [Lane.Kind]) { self.lanes = lanes.map { Lane(kind: $0) } }

  // MARK: Senders

  package enum Offer {
    case delivered(wake: Waiter?, lost: Int)
    case full
    case stopped
  }

  package mutating func offer(_ envelope: Envelope, lane index: Int, now: Int64) -> Offer {
    offer(.envelope(envelope), lane: index, now: now)
  }

  /// - Parameter parcel: if it holds several values, the lane's policy does not drop and has room for them.
  mutating func offer(_ parcel: Parcel, lane index: Int, now: Int64) -> Offer {
    if isStopped { return .stopped }
    let values = parcel.values
    if isFinished || lanes[index].isBroken {
      lanes[index].statistics.dropped += values
      return .delivered(wake: nil, lost: values)
    }
    // Stale marks are no use either: the node hears of the cut.
    if parcel.isStale {
      lanes[index].statistics.stale += values
      return .delivered(wake: nil, lost: values)
    }
    var lost = 0
    if values > 0 {
      switch lanes[index].kind.policy {
      case .block, .fail:
        if !lanes[index].hasRoom { return .full }
      case .dropOldest:
        while !lanes[index].hasRoom, dropOldest(lane: index) { lost += 1 }
      case .latest:
        while lanes[index].values > 0, dropOldest(lane: index) { lost += 1 }
      }
      lanes[index].countArrival(of: values)
    } else {
      lanes[index].marks += 1
    }
    tickets += 1
    lanes[index].queue.append(Lane.Entry(parcel: parcel, ticket: tickets, arrived: now))
    return .delivered(wake: wake(for: lanes[index].kind.port), lost: lost)
  }

  /// Marks are never dropped: a turn's end must arrive.
  private mutating func dropOldest(lane index: Int) -> Bool {
    guard let victim = lanes[index].queue.firstIndex(where: { $0.parcel.values > 0 }) else { return false }
    lanes[index].queue.remove(at: victim)
    lanes[index].values -= 1
    lanes[index].statistics.dropped += 1
    return true
  }

  /// A sender that found the lane full waits here for room.
  ///
  /// - Returns: false if there is room by now.
  package mutating func wait(forRoomIn index: Int, _ sender: Waiter) -> Bool {
    if isStopped || lanes[index].hasRoom { return false }
    lanes[index].waiters.append(sender)
    return true
  }

  /// - Returns: false if the sender is not waiting any more.
  package mutating func withdraw(senderTo index: Int, _ pause: NodeThread.Pause) -> Bool {
    guard let place = lanes[index].waiters.firstIndex(where: { $0.isThread(in: pause) }) else { return false }
    lanes[index].waiters.remove(at: place)
    return true
  }

  package mutating func close(lane index: Int) -> Waiter? {
    lanes[index].isClosed = true
    return wake(for: lanes[index].kind.port)
  }

  /// The lane's sender is back after its process had died.
  package mutating func reopen(lane index: Int) { lanes[index].isClosed = false }

  /// Something that came on the lane is not what it should be: neither what came behind it nor what still comes is
  /// taken in, marks included, so that no turn looks complete that lacks a value.
  package mutating func breakOff(lane index: Int) {
    lanes[index].isBroken = true
    lanes[index].statistics.dropped += lanes[index].values
    (lanes[index].values, lanes[index].marks) = (0, 0)
    lanes[index].queue.removeAll()
  }

  /// The lane's sender has been greeted anew.
  package mutating func mend(lane index: Int) { lanes[index].isBroken = false }

  // MARK: The node

  package enum Take {
    /// Something for the node.
    case arrival(Arrival, lane: Int)
    /// The node is back from a mark that has now come on all lanes: pass it on, then take again.
    case pass(Mark)
    /// The node is back from an interruption's notice: acknowledge, then take again.
    case acknowledge(Turn)
    case empty
    case ended
    case stopped
  }

  /// - Parameters:
  ///   - hand: what the node has; empty but for the arrival that it is back from. Further entries may be put into it.
  ///   - wake: set to senders for whom room has become free.
  package mutating func take(on ports: UInt64, now: Int64, hand: inout Hand, wake: inout [Waiter]) -> Take {
    switch hand.returned() {
    case .none, .value: break
    case .mark(let envelope, let lane):
      if let mark = complete(envelope, lane: lane) { return .pass(mark) }
    case .cut(let turn):
      marks = marks.filter { !($0.key.turn.session == turn.session && $0.key.turn.isCut) }
      return .acknowledge(turn)
    }
    if isStopped { return .stopped }
    if let turn = cuts.popFirst() {
      hand.hold(.cut(turn), now: now)
      return .arrival(.cut(turn), lane: -1)
    }
    let found = readiness(of: ports)
    guard case .ready(let index) = found else {
      // Whoever waits for more room than there is may be the one that the node now waits for.
      for index in lanes.indices where lanes[index].hasRoom { wake += lanes[index].takeWaiters() }
      if case .ended = found { return .ended }
      return .empty
    }
    let entry = lanes[index].queue.removeFirst()
    let taken: Take
    switch entry.parcel {
    case .run(var run):
      taken = .arrival(.written(run.removeFirst(), port: lanes[index].kind.port), lane: index)
      if run.count > 0 {
        lanes[index].queue.prepend(Lane.Entry(parcel: .run(run), ticket: entry.ticket, arrived: entry.arrived))
      }
      hand.hold(.value, now: now)
    case .envelope(let envelope):
      taken = .arrival(.envelope(envelope, port: lanes[index].kind.port), lane: index)
      if !envelope.isValue { lanes[index].marks -= 1 }
      hand.hold(envelope.isValue ? .value : .mark(envelope, lane: index), now: now)
    }
    if entry.parcel.values > 0 {
      lanes[index].values -= 1
      lanes[index].statistics.waited += now - entry.arrived
      if !lanes[index].waiters.isEmpty, lanes[index].values <= lanes[index].ample { wake += lanes[index].takeWaiters() }
    }
    fill(&hand, from: index, ports)
    return taken
  }

  /// Gives the node what it will take next, so that it need not come back for each: the front of a lane that alone feeds
  /// the node, but not beyond the point where whoever waits for room is to be woken.
  private mutating func fill(_ hand: inout Hand, from index: Int, _ ports: UInt64) {
    guard lanes.count == 1 else { return }
    switch lanes[index].kind.policy {
    case .block, .fail: break
    case .dropOldest, .latest: return  // what has been handed over can be dropped no more
    }
    hand.set(lane: index, port: lanes[index].kind.port, ports: ports)
    if lanes[index].waiters.isEmpty, lanes[index].marks == 0, hand.entries.isEmpty {
      // Values only, and nobody waits: all of them, which moves none.
      return swap(&hand.entries, &lanes[index].queue)
    }
    let limit = lanes[index].waiters.isEmpty ? Hand.size : min(Hand.size, lanes[index].values - lanes[index].ample)
    while hand.entries.count < limit, let next = lanes[index].queue.popFirst() {
      guard next.parcel.values > 0 else { return lanes[index].queue.prepend(next) }
      hand.entries.append(next)
    }
  }

  /// Notes what the node has looked at, and leaves it the rest.
  package mutating func count(_ hand: inout Hand) {
    if hand.looked == 0 { return }
    lanes[hand.lane].values -= hand.looked
    lanes[hand.lane].statistics.waited += hand.waited
    hand.counted()
  }

  /// Notes what the node has looked at, and takes back the rest.
  package mutating func settle(_ hand: inout Hand) {
    count(&hand)
    hand.putBackRun()
    if hand.entries.isEmpty { return }
    let index = hand.lane
    if lanes[index].queue.isEmpty { return swap(&hand.entries, &lanes[index].queue) }
    while let entry = hand.entries.popLast() { lanes[index].queue.prepend(entry) }
  }

  private enum Readiness {
    case ready(lane: Int)
    case empty
    case ended
  }

  private func readiness(of ports: UInt64) -> Readiness {
    var oldest: (lane: Int, ticket: UInt64)?
    var mayCome = false
    // By index throughout: to look at a lane or an entry as a whole is to copy it.
    for index in lanes.indices where ports & (1 << UInt64(lanes[index].kind.port)) != 0 {
      if !lanes[index].queue.isEmpty {
        let ticket = lanes[index].queue[0].ticket
        if ticket < oldest?.ticket ?? .max { oldest = (index, ticket) }
      } else if lanes[index].kind.isFeedback {
        // A loop goes round as long as there is anything to go round for.
        mayCome = mayCome || !sessions.isEmpty || lanes.contains { !$0.kind.isFeedback && !$0.isClosed }
      } else {
        mayCome = mayCome || !lanes[index].isClosed
      }
    }
    if let oldest { return .ready(lane: oldest.lane) }
    return mayCome ? .empty : .ended
  }

  /// Whether there is something to take, if only that the run stops or that nothing more will come.
  package func hasArrival(on ports: UInt64) -> Bool {
    if isStopped || !cuts.isEmpty { return true }
    if case .empty = readiness(of: ports) { return false }
    return true
  }

  /// Waits until there is something to take.
  ///
  /// - Returns: false if there may be by now.
  package mutating func wait(on ports: UInt64, _ node: Waiter) -> Bool {
    if isStopped || !cuts.isEmpty || waiting != nil { return false }
    guard case .empty = readiness(of: ports) else { return false }
    waiting = (ports, node)
    return true
  }

  /// - Returns: false if the node is not waiting any more.
  package mutating func withdraw(_ pause: NodeThread.Pause) -> Bool {
    guard let (_, node) = waiting, node.isThread(in: pause) else { return false }
    waiting = nil
    return true
  }

  /// Remembers that a session is under way in the node.
  ///
  /// - Returns: whether it was not already.
  package mutating func begin(_ session: Session) -> Bool { sessions.insert(session.id).inserted }

  /// - Returns: whether it was under way.
  package mutating func end(_ session: Session) -> Bool { sessions.remove(session.id) != nil }

  // MARK: The runtime

  /// Drops what an interruption made stale, and leaves the node a notice.
  ///
  /// - Returns: whom to resume, and how many values each lane lost.
  package mutating func fence(_ turn: Turn) -> (resume: [Waiter], lost: [Int]) {
    var resume: [Waiter] = []
    var lost = [Int](repeating: 0, count: lanes.count)
    for index in lanes.indices {
      var kept = Deque<Lane.Entry>()
      for entry in lanes[index].queue {
        if !entry.parcel.isStale {
          kept.append(entry)
        } else if entry.parcel.values == 0 {
          lanes[index].marks -= 1
        } else {
          lost[index] += entry.parcel.values
        }
      }
      lanes[index].queue = kept
      lanes[index].values -= lost[index]
      lanes[index].statistics.stale += lost[index]
      // All of them: those whose turn was cut give up, the others find out whether there is room.
      resume += lanes[index].takeWaiters()
    }
    cuts.append(turn)
    if let (_, node) = waiting {
      waiting = nil
      resume.append(node)
    }
    return (resume, lost)
  }

  /// The node has returned.
  ///
  /// - Returns: interruptions that it has not heard of, whether messages could still come in, and whom to resume.
  package mutating func finish() -> (cuts: [Turn], hasMore: Bool, resume: [Waiter]) {
    isFinished = true
    let hasMore = lanes.contains { !$0.kind.isFeedback && (!$0.isClosed || $0.values > 0) }
    var resume: [Waiter] = []
    for index in lanes.indices {
      lanes[index].statistics.dropped += lanes[index].values
      (lanes[index].values, lanes[index].marks) = (0, 0)
      lanes[index].queue.removeAll()
      resume += lanes[index].takeWaiters()
    }
    defer { cuts.removeAll() }
    return (Array(cuts), hasMore, resume)
  }

  package mutating func stop() -> [Waiter] {
    isStopped = true
    var resume: [Waiter] = []
    for index in lanes.indices {
      resume += lanes[index].takeWaiters()
      lanes[index].queue.removeAll()
      (lanes[index].values, lanes[index].marks) = (0, 0)
    }
    if let (_, node) = waiting { resume.append(node) }
    waiting = nil
    return resume
  }

  private mutating func wake(for port: Int) -> Waiter? {
    guard let (ports, node) = waiting, ports & (1 << UInt64(port)) != 0 else { return nil }
    waiting = nil
    return node
  }

  private mutating func complete(_ envelope: Envelope, lane: Int) -> Mark? {
    let mark: Mark
    switch envelope.content {
    case .value: return nil
    case .sessionBegan: return nil  // passed on before the node saw it
    case .turnEnded: mark = Mark(turn: envelope.turn, isSessionEnd: false)
    case .sessionEnded: mark = Mark(turn: Turn(envelope.turn.session, epoch: 0), isSessionEnd: true)
    }
    if lanes[lane].kind.isFeedback || mark.turn.isCut { return nil }
    let seen = marks[mark, default: 0] | 1 << UInt64(lane)
    var wanted: UInt64 = 0
    for (index, lane) in lanes.enumerated() where !lane.kind.isFeedback {
      if lane.kind.carriesSession(mark.turn.session), mark.isSessionEnd || lane.kind.carriesTurns {
        wanted |= 1 << UInt64(index)
      }
    }
    if seen & wanted == wanted {
      marks[mark] = nil
      return mark
    }
    marks[mark] = seen
    return nil
  }
}
