import Dataflow
import Synchronization

/// An output of a node in the runtime: stamps what the node sends and puts it on every edge that leaves here.
final class OutletHost: Outlet {
  private let links: [any Link]
  /// Where the links lead, as indices into the plan's edges.
  private let edges: [Int]
  private let type: PortType
  private let node: String
  private let meter: NodeMeter
  private let clock: any TimeSource
  private let sequence = Atomic<UInt64>(0)
  private let traces: TraceSource
  private let tracer: (node: Int, Tracer)?

  init(
    node: String, type: PortType, links: [any Link], edges: [Int], meter: NodeMeter, traces: TraceSource,
    tracer: (node: Int, Tracer)?, clock: any TimeSource
  ) {
    self.node = node
    self.type = type
    self.links = links
    self.edges = edges
    self.tracer = tracer
    self.meter = meter
    self.traces = traces
    self.clock = clock
  }

  var isConnected: Bool { !links.isEmpty }

  func send(_ value: any Message, turn: Turn, time: Int64, trace: UInt64?) async throws {
    if turn.isCut { return meter.countStale() }
    let number = sequence.add(1, ordering: .relaxed).oldValue
    if number == 0, let problem = value.type.mismatch(feeding: type) {
      throw MessageTypeError(node: node, sent: value.type, declared: type, problem: problem)
    }
    let stamp = Stamp(time: time, trace: trace ?? traces.next(), sequence: number)
    let envelope = Envelope(.value(value), turn: turn, stamp: stamp)
    if let (index, tracer) = tracer {
      for edge in edges { tracer.sent(node: index, edge: edge, sequence: number) }
    }
    for link in links where try !link.offer(envelope) {
      let start = clock.now
      repeat { await link.room() } while try !turn.isCut && !link.offer(envelope)
      meter.countBlocked(clock.now - start)
    }
    meter.countSent()
  }

  /// Marks take no room, so they need not wait.
  func pass(_ content: Envelope.Content, _ turn: Turn) {
    for link in links { _ = try? link.offer(Envelope(content, turn: turn)) }
  }

  func close() {
    for link in links { link.close() }
  }
}

/// A node sent something else than its port promises.
struct MessageTypeError: Error, CustomStringConvertible {
  let node: String
  let sent: PortType
  let declared: PortType
  let problem: String
  var description: String { "node \(node) sent \(sent) on a port of type \(declared): \(problem)" }
}

/// Numbers the pieces of work that start in one process.
final class TraceSource: Sendable {
  private let counter: Atomic<UInt64>
  /// - Parameter part: keeps the numbers of different processes apart.
  init(part: Int) { counter = Atomic(UInt64(part + 1) << 48) }
  func next() -> UInt64 { counter.add(1, ordering: .relaxed).newValue }
}

/// Counts what a node does.
final class NodeMeter: Sendable {
  private let state: Mutex<NodeStatistics>
  /// Blocked since the node took its current message.
  private let pause = Atomic<Int64>(0)

  init(node: String) { state = Mutex(NodeStatistics(node: node)) }

  func countReceived() { state.withLock { $0.received += 1 } }
  func countSent() { state.withLock { $0.sent += 1 } }
  func countStale() { state.withLock { $0.stale += 1 } }

  func countBlocked(_ time: Int64) {
    pause.add(time, ordering: .relaxed)
    state.withLock { $0.blocked += time }
  }

  func countWork(_ time: Int64) {
    let working = time - pause.exchange(0, ordering: .relaxed)
    state.withLock {
      $0.busy += working
      $0.latency.add(working)
    }
  }

  var statistics: NodeStatistics { state.withLock { $0 } }
}
