import Dataflow
import GraphFile
import Synchronization
import ZeroMQ

/// The sender's end of an edge to another process. Nodes put values and marks in; the wire's thread takes batches out.
final class OutboundEdge: Link {
  let index: Int
  let edge: PlannedEdge
  private let state: Mutex<OutboundState>
  private let wakeup: Wakeup

  init(index: Int, edge: PlannedEdge, wakeup: Wakeup) {
    self.index = index
    self.edge = edge
    self.wakeup = wakeup
    state = Mutex(OutboundState(depth: edge.depth, policy: edge.policy, schema: edge.type.schemaID))
  }

  func offer(_ envelope: Envelope) throws -> Bool { try offer { $0.offer(envelope) } }

  /// Hands a value over that has no envelope: it needs none to be written.
  func offer(_ value: any Message, turn: Turn, stamp: Stamp) throws -> Bool {
    try offer { $0.offer(value, turn: turn, stamp: stamp) }
  }

  /// Hands over values of a turn, as many of them as there is room for.
  ///
  /// - Parameter stamps: those of so many, once it is known how many.
  /// - Returns: how many.
  func offer(
    _ most: Int, turn: Turn, stamps: (Int) -> (Int) -> Stamp, _ value: (Int) -> any Message
  ) throws -> Int {
    var count = 0
    _ = try offer { state in
      count = min(most, state.room)
      // Why there may be none is told when the next one is offered.
      if count == 0 { return .taken }
      let stamp = stamps(count)
      for number in 0..<count {
        let outcome = state.offer(value(number), turn: turn, stamp: stamp(number))
        if outcome != .taken { return outcome }
      }
      return .taken
    }
    return count
  }

  @inline(__always)
  private func offer(_ put: (inout OutboundState) -> OutboundState.Offer) throws -> Bool {
    let (outcome, wasEmpty) = state.withLockSoon { state in
      let wasEmpty = state.isEmpty
      return (put(&state), wasEmpty)
    }
    switch outcome {
    case .taken:
      // The wire looks until it finds nothing; where there was something, it has been told.
      if wasEmpty { wakeup.signal() }
      return true
    case .full:
      if edge.policy == .fail { throw EdgeFull(edge: edge.name, depth: edge.depth) }
      return false
    case .stopped: throw CancellationError()
    case .refused(let reason): throw EdgeRefused(edge: edge.name, reason: reason)
    }
  }

  func room() async {
    await Waiter.suspend { sender in state.withLock { $0.wait(sender) } }
  }

  func roomInPlace() -> Bool {
    Waiter.waitInPlace { sender in
      state.withLock { $0.wait(sender) }
    } withdraw: { pause in
      state.withLock { $0.withdraw(pause) }
    }
  }

  func close() {
    state.withLock { $0.close() }
    wakeup.signal()
  }

  /// Changes the state and resumes whoever it says, outside the lock.
  func update(_ change: (inout OutboundState) -> [Waiter]) {
    for sender in state.withLock({ change(&$0) }) { sender.resume() }
  }

  /// - Returns: turns of which something may be lost.
  func greetAgain() -> [Turn] { state.withLock { $0.greetAgain() } }
  func forget(session: UInt64) { state.withLock { $0.forget(session: session) } }
  var phase: OutboundState.Phase { state.withLock { $0.phase } }
  var isDrained: Bool { state.withLock { $0.isDrained } }
  var losses: (dropped: Int, stale: Int) { state.withLock { ($0.dropped, $0.stale) } }

  /// What may be sent now, up to a batch.
  func take() -> OutboundBatch? { state.withLockSoon { $0.take() } }

  /// What was taken has been handed to the socket, or is lost.
  func sent() { state.withLock { $0.noteSent() } }
}

/// The receiver does not take what this process sends.
struct EdgeRefused: Error, CustomStringConvertible {
  let edge: String
  let reason: String
  var description: String { "edge \(edge) was refused by its receiver: \(reason)" }
}
