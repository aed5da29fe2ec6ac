import Dataflow
import Synchronization

/// Where a node's messages wait: a queue per incoming edge and one place for the node to wait on all of them.
///
/// Local senders, the wire and the runtime call in from any thread; the node takes from one task.
final class Mailbox: Sendable {
  private let state: Mutex<MailboxState>
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
    switch state.withLock({ $0.offer(envelope, lane: lane, now: now) }) {
    case .delivered(let node, let lost):
      node?.resume()
      return lost
    case .full: return nil
    case .stopped: throw CancellationError()
    }
  }

  /// Values that wait in a lane.
  func values(inLane lane: Int) -> Int { state.withLock { $0.lanes[lane].values } }

  /// Waits until the lane may have room.
  func roomInLane(_ lane: Int) async {
    await withUnsafeContinuation { sender in
      if !state.withLock({ $0.wait(forRoomIn: lane, sender) }) { sender.resume() }
    }
  }

  /// - Parameter worked: set to how long the node worked on what it had taken before.
  func take(on ports: UInt64, worked: inout Int64?) -> MailboxState.Take {
    let now = clock.now
    let (take, time) = state.withLock { state in
      var time: Int64?
      return (state.take(on: ports, now: now, worked: &time), time)
    }
    worked = time
    return take
  }

  /// Waits until ``take(on:)`` may find something.
  func arrival(on ports: UInt64) async {
    await withUnsafeContinuation { node in
      if !state.withLock({ $0.wait(on: ports, node) }) { node.resume() }
    }
  }

  func begin(_ session: Session) -> Bool { state.withLock { $0.begin(session) } }
  func end(_ session: Session) -> Bool { state.withLock { $0.end(session) } }

  func close(lane: Int) { state.withLock { $0.close(lane: lane) }?.resume() }
  func reopen(lane: Int) { state.withLock { $0.reopen(lane: lane) } }

  /// - Returns: how many values each lane lost.
  func fence(_ turn: Turn) -> [Int] {
    let (resume, lost) = state.withLock { $0.fence(turn) }
    for continuation in resume { continuation.resume() }
    return lost
  }

  /// The node has returned: what still comes is dropped.
  ///
  /// - Returns: interruptions that it has not heard of, and whether messages could still come in.
  func finish() -> (cuts: [Turn], hasMore: Bool) {
    let (cuts, hasMore, resume) = state.withLock { $0.finish() }
    for continuation in resume { continuation.resume() }
    return (cuts, hasMore)
  }

  func stop() {
    for continuation in state.withLock({ $0.stop() }) { continuation.resume() }
  }

  /// Name and load of every incoming edge.
  var edges: [(name: String, waiting: Int, statistics: EdgeStatistics)] {
    state.withLock { $0.lanes.map { ($0.kind.name, $0.values, $0.statistics) } }
  }
}
