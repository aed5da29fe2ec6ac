import Dataflow
import Synchronization

/// Where a node's messages wait: a queue per incoming edge and one place for the node to wait on all of them.
///
/// Local senders, the wire and the runtime call in from any thread; the node takes from one task.
final class Mailbox: Sendable {
  private let state: Mutex<MailboxState>
  /// Hardly ever contended; whoever needs both locks takes this one first.
  private let hand = Mutex(Hand())
  private let clock: any TimeSource

  init(_ lanes: [MailboxState.Lane.Kind], clock: any TimeSource) {
    state = Mutex(MailboxState(lanes))
    self.clock = clock
  }

  /// - Returns: false if the lane is full.
  /// - Throws: `CancellationError` if the run is stopping.
  func offer(_ envelope: Envelope, lane: Int) throws -> Bool { try deliver(envelope, lane: lane) != nil }

  /// - Returns: how many values the lane lost by it, to its policy or to an interruption; nil if the lane is full.
  /// - Throws: `CancellationError` if the run is stopping.
  func deliver(_ envelope: Envelope, lane: Int) throws -> Int? {
    let now = clock.now
    var outcome = state.withLockSoon { $0.offer(envelope, lane: lane, now: now) }
    // The state may count too many: ask the node's side what it has looked at.
    if case .full = outcome { outcome = withCounts { $0.offer(envelope, lane: lane, now: now) } }
    switch outcome {
    case .delivered(let node, let lost):
      node?.resume()
      return lost
    case .full: return nil
    case .stopped: throw CancellationError()
    }
  }

  /// Delivers several, of one lane and in order.
  ///
  /// - Returns: how many values the lane lost; nil if it is full.
  /// - Throws: `CancellationError` if the run is stopping.
  func deliver(_ parcels: [Parcel], lane: Int) throws -> Int? {
    var delivery = MailboxState.Delivery(parcels, lane: lane, now: clock.now)
    defer { delivery.wake?.resume() }
    let isDone = try state.withLockSoon { try $0.advance(&delivery) } || withCounts { try $0.advance(&delivery) }
    return isDone ? delivery.lost : nil
  }

  /// Values that wait in a lane.
  func values(inLane lane: Int) -> Int { withCounts { $0.lanes[lane].values } }

  /// Whether the lane could take one more if it had so many others to take as well.
  func hasRoom(inLane lane: Int, beside others: Int) -> Bool {
    state.withLockSoon { $0.lanes[lane].values + others < $0.lanes[lane].kind.depth }
      || withCounts { $0.lanes[lane].values + others < $0.lanes[lane].kind.depth }
  }

  /// Waits until the lane may have room.
  func roomInLane(_ lane: Int) async {
    await Waiter.suspend { sender in withAll { $0.wait(forRoomIn: lane, sender) } }
  }

  /// Waits on the caller's thread until the lane may have room.
  ///
  /// - Returns: false if that cannot be, and the task must be suspended.
  func roomInLaneInPlace(_ lane: Int) -> Bool {
    Waiter.waitInPlace { sender in
      withAll { $0.wait(forRoomIn: lane, sender) }
    } withdraw: { pause in
      state.withLockSoon { $0.withdraw(senderTo: lane, pause) }
    }
  }

  /// The next value, if the node has been given it in advance; otherwise ``take(on:now:worked:)``.
  ///
  /// - Parameter worked: set to how long the node worked on what it had taken before.
  func next(on ports: UInt64, now: Int64, worked: inout Hand.Worked?) -> Hand.Next? {
    let (next, time) = hand.withLockSoon { hand -> (Hand.Next?, Hand.Worked?) in
      var time: Hand.Worked?
      return (hand.next(on: ports, now: now, worked: &time), time)
    }
    worked = time
    return next
  }

  /// - Parameter worked: set to how long the node worked on what it had taken before.
  func take(on ports: UInt64, now: Int64, worked: inout Hand.Worked?) -> MailboxState.Take {
    let (take, time, wake) = hand.withLockSoon { hand -> (MailboxState.Take, Hand.Worked?, [Waiter]) in
      let time = hand.worked(now: now)
      var wake: [Waiter] = []
      let take = state.withLockSoon { state in
        state.settle(&hand)
        return state.take(on: ports, now: now, hand: &hand, wake: &wake)
      }
      return (take, time, wake)
    }
    for sender in wake { sender.resume() }
    worked = time
    return take
  }

  /// More values, as far as the node has been given them in advance, and the lane that they came on.
  func takeMore(on ports: UInt64, most: Int, now: Int64) -> (parcels: [Parcel], lane: Int) {
    hand.withLockSoon { ($0.takeMore(on: ports, most: most, now: now), $0.lane) }
  }

  /// Whether ``take(on:now:worked:)`` has something for the node or, before the node may go on, for the runtime: a notice
  /// to acknowledge, a mark to pass.
  func hasArrival(on ports: UInt64, passingMarks: Bool) -> Bool {
    hand.withLockSoon { hand in
      hand.isOwed(passingMarks: passingMarks) || hand.hasNext(on: ports)
        || state.withLockSoon { $0.hasArrival(on: ports) }
    }
  }

  /// Waits until ``take(on:now:worked:)`` may find something.
  func arrival(on ports: UInt64) async {
    await Waiter.suspend { node in state.withLockSoon { $0.wait(on: ports, node) } }
  }

  /// Waits on the node's thread until ``take(on:now:worked:)`` may find something.
  ///
  /// - Returns: false if that cannot be, and the task must be suspended.
  func arrivalInPlace(on ports: UInt64) -> Bool {
    Waiter.waitInPlace { node in
      state.withLockSoon { $0.wait(on: ports, node) }
    } withdraw: { pause in
      state.withLockSoon { $0.withdraw(pause) }
    }
  }

  func begin(_ session: Session) -> Bool { state.withLockSoon { $0.begin(session) } }
  func end(_ session: Session) -> Bool { state.withLockSoon { $0.end(session) } }

  func close(lane: Int) { state.withLockSoon { $0.close(lane: lane) }?.resume() }
  func reopen(lane: Int) { state.withLockSoon { $0.reopen(lane: lane) } }
  func breakOff(lane: Int) { withAll { $0.breakOff(lane: lane) } }
  func mend(lane: Int) { state.withLockSoon { $0.mend(lane: lane) } }

  /// - Returns: how many values each lane lost.
  func fence(_ turn: Turn) -> [Int] {
    let (resume, lost) = withAll { $0.fence(turn) }
    for waiter in resume { waiter.resume() }
    return lost
  }

  /// The node has returned: what still comes is dropped.
  ///
  /// - Returns: interruptions that it has not heard of, and whether messages could still come in.
  func finish() -> (cuts: [Turn], hasMore: Bool) {
    let (cuts, hasMore, resume) = withAll { $0.finish() }
    for waiter in resume { waiter.resume() }
    return (cuts, hasMore)
  }

  func stop() {
    for waiter in withAll({ $0.stop() }) { waiter.resume() }
  }

  /// Name and load of every incoming edge.
  var edges: [(name: String, waiting: Int, statistics: EdgeStatistics)] {
    withCounts { $0.lanes.map { ($0.kind.name, $0.values, $0.statistics) } }
  }

  /// Works on a state that knows all of what the node has done.
  private func withCounts<Result>(_ body: (inout MailboxState) throws -> sending Result) rethrows -> sending Result {
    try hand.withLockSoon { hand in
      try state.withLockSoon { state in
        state.count(&hand)
        return try body(&state)
      }
    }
  }

  /// Works on a state that knows all of what the node has done, and has all of what it has not looked at.
  private func withAll<Result>(_ body: (inout MailboxState) -> sending Result) -> sending Result {
    hand.withLockSoon { hand in
      state.withLockSoon { state in
        state.settle(&hand)
        return body(&state)
      }
    }
  }
}

extension Mutex where Value: ~Copyable {
  /// Looks for the lock to become free for a moment before it asks the kernel: whoever holds a mailbox's lock does not
  /// hold it long.
  borrowing func withLockSoon<Result>(_ body: (inout sending Value) throws -> sending Result) rethrows -> sending Result
  {
    for _ in 0..<100 {
      if let result = try withLockIfAvailable(body) { return result }
    }
    return try withLock(body)
  }
}
