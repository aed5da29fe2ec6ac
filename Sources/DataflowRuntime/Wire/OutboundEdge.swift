import Dataflow
import GraphFile
import Synchronization
import ZeroMQ

/// The sender's end of an edge to another process. Nodes put envelopes in; the wire's thread takes them out.
final class OutboundEdge: Link {
  let index: Int
  let edge: PlannedEdge
  private let state: Mutex<OutboundState>
  private let wakeup: Wakeup
  private let schema: UInt64
  /// What the wire's thread is writing; empty in between.
  private let items = Mutex<[OutboundState.Next]>([])

  init(index: Int, edge: PlannedEdge, wakeup: Wakeup) {
    self.index = index
    self.edge = edge
    self.wakeup = wakeup
    schema = edge.type.schemaID
    state = Mutex(OutboundState(depth: edge.depth, policy: edge.policy))
  }

  func offer(_ envelope: Envelope) throws -> Bool {
    let (outcome, wasEmpty) = state.withLockSoon { state in
      let wasEmpty = state.isEmpty
      return (state.offer(envelope), wasEmpty)
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

  /// Writes what may be written now, up to a batch.
  ///
  /// - Returns: whether anything was.
  func fill(_ writer: inout DataWriter) -> Bool {
    items.withLock { items in
      while !writer.isFull {
        // Encoding is done outside the state's lock, so that the node can go on sending.
        let room = writer.room
        let greetings = state.withLockSoon { state in
          state.next(upTo: room, into: &items)
          return state.greetings
        }
        if items.isEmpty { break }
        var written = 0
        while written < items.count, !writer.isFull {
          switch items[written] {
          case .envelope(let envelope): writer.append(envelope, schema: schema)
          case .closed: writer.appendClosed()
          }
          written += 1
        }
        // Some were larger than those before them.
        if written < items.count { state.withLock { $0.putBack(items[written...], greetings: greetings) } }
        items.removeAll(keepingCapacity: true)
      }
    }
    return !writer.isEmpty
  }

  /// What was filled in has been handed to the socket, or is lost.
  func written() { state.withLock { $0.written() } }
}

/// The receiver does not take what this process sends.
struct EdgeRefused: Error, CustomStringConvertible {
  let edge: String
  let reason: String
  var description: String { "edge \(edge) was refused by its receiver: \(reason)" }
}
