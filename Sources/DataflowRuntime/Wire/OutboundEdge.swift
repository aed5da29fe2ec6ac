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

  init(index: Int, edge: PlannedEdge, wakeup: Wakeup) {
    self.index = index
    self.edge = edge
    self.wakeup = wakeup
    schema = edge.type.schemaID
    state = Mutex(OutboundState(depth: edge.depth, policy: edge.policy))
  }

  func offer(_ envelope: Envelope) throws -> Bool {
    switch state.withLock({ $0.offer(envelope) }) {
    case .taken:
      wakeup.signal()
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

  func greetAgain() { state.withLock { $0.greetAgain() } }
  func forget(session: UInt64) { state.withLock { $0.forget(session: session) } }
  var phase: OutboundState.Phase { state.withLock { $0.phase } }
  var isDrained: Bool { state.withLock { $0.isDrained } }
  var losses: (dropped: Int, stale: Int) { state.withLock { ($0.dropped, $0.stale) } }

  /// Writes what may be written now, up to a batch.
  ///
  /// - Returns: whether anything was.
  func fill(_ writer: inout DataWriter) -> Bool {
    while !writer.isFull {
      // Encoding is done outside the lock, so that the node can go on sending.
      let next = state.withLock { $0.next(upTo: writer.frames.isEmpty ? Self.chunk : 1) }
      for item in next {
        switch item {
        case .envelope(let envelope): writer.append(envelope, schema: schema)
        case .closed: writer.appendClosed()
        }
      }
      if next.isEmpty { break }
    }
    return !writer.isEmpty
  }

  /// What was filled in has been handed to the socket, or is lost.
  func written() { state.withLock { $0.written() } }

  /// How many envelopes are taken at once; a batch exceeds its size by at most so many.
  private static let chunk = 16
}

/// The receiver does not take what this process sends.
struct EdgeRefused: Error, CustomStringConvertible {
  let edge: String
  let reason: String
  var description: String { "edge \(edge) was refused by its receiver: \(reason)" }
}
