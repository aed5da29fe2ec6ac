import Dataflow
import Synchronization

/// An output of a node in the runtime: stamps what the node sends and puts it on every edge that leaves here.
final class OutletHost: Outlet {
  private let links: [any Link]
  /// The only link, if it leads to another process.
  private let wire: OutboundEdge?
  /// Where the links lead, as indices into the plan's edges.
  private let edges: [Int]
  private let type: PortType
  private let node: String
  private let meter: NodeMeter
  private let clock: any TimeSource
  private let computation: Computation?
  private let sequence = Atomic<UInt64>(0)
  private let traces: TraceSource
  private let tracer: (node: Int, Tracer)?

  init(
    node: String, type: PortType, links: [any Link], edges: [Int], meter: NodeMeter, traces: TraceSource,
    tracer: (node: Int, Tracer)?, clock: any TimeSource, computation: Computation?
  ) {
    self.computation = computation
    self.node = node
    self.type = type
    self.links = links
    wire = links.count == 1 ? links[0] as? OutboundEdge : nil
    self.edges = edges
    self.tracer = tracer
    self.meter = meter
    self.traces = traces
    self.clock = clock
  }

  var isConnected: Bool { !links.isEmpty }

  func send(_ value: any Message, turn: Turn, time: Int64, trace: UInt64?, inPlace: Bool) throws -> Unsent? {
    computation?.pay()
    if turn.isCut {
      meter.countStale()
      return nil
    }
    let number = sequence.add(1, ordering: .relaxed).oldValue
    if number == 0, let problem = value.type.mismatch(feeding: type) {
      throw MessageTypeError(node: node, sent: value.type, declared: type, problem: problem)
    }
    let stamp = Stamp(time: time, trace: trace ?? traces.next(), sequence: number)
    if let (index, tracer) = tracer {
      for edge in edges { tracer.sent(node: index, edge: edge, sequence: number) }
    }
    if let wire, try wire.offer(value, turn: turn, stamp: stamp) {
      meter.countSent(1)
      return nil
    }
    let envelope = Envelope(.value(value), turn: turn, stamp: stamp)
    for index in links.indices where try !links[index].offer(envelope) {
      guard inPlace, try waitInPlace(links[index], envelope) else { return Unsent(envelope, edge: index) }
    }
    meter.countSent(1)
    return nil
  }

  func sendSome(
    _ count: Int, turn: Turn, time: Int64, trace: UInt64?, _ value: (Int) -> any Message
  ) throws -> Int {
    // The first of all is checked, and what is interrupted or traced is counted, where values go one by one.
    guard let wire, sequence.load(ordering: .relaxed) > 0, !turn.isCut, tracer == nil else { return 0 }
    computation?.pay()
    let sent = try wire.offer(
      count, turn: turn,
      stamps: { count in
        let first = sequence.add(UInt64(count), ordering: .relaxed).oldValue
        let begun = trace ?? traces.next(count)
        return { number in
          Stamp(time: time, trace: trace ?? begun + UInt64(number), sequence: first + UInt64(number))
        }
      }, value)
    meter.countSent(sent)
    return sent
  }

  func finish(_ unsent: Unsent) async throws {
    let envelope = unsent.envelope
    for link in links[unsent.edge...] where try !link.offer(envelope) {
      let start = clock.now
      repeat {
        await link.room()
        computation?.goOn()
      } while try !envelope.turn.isCut && !link.offer(envelope)
      meter.countBlocked(clock.now - start)
    }
    meter.countSent(1)
  }

  /// - Returns: whether the envelope was sent, or has become stale.
  private func waitInPlace(_ link: any Link, _ envelope: Envelope) throws -> Bool {
    let start = clock.now
    defer {
      computation?.goOn()
      meter.countBlocked(clock.now - start)
    }
    while link.roomInPlace() {
      if try envelope.turn.isCut || link.offer(envelope) { return true }
    }
    return false
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
  func next() -> UInt64 { next(1) }
  /// The first of so many that follow each other.
  func next(_ count: Int) -> UInt64 { counter.add(UInt64(count), ordering: .relaxed).oldValue + 1 }
}

/// Counts what a node does.
final class NodeMeter: Sendable {
  /// Busy time, latency and what was received.
  private let work: Mutex<NodeStatistics>
  private let sent = Atomic<Int>(0)
  private let stale = Atomic<Int>(0)
  private let blocked = Atomic<Int64>(0)
  /// Blocked since the node took its current message.
  private let pause = Atomic<Int64>(0)

  init(node: String) { work = Mutex(NodeStatistics(node: node)) }

  func countReceived(_ count: Int) { work.withLock { $0.received += count } }
  func countSent(_ count: Int) { sent.add(count, ordering: .relaxed) }
  func countStale() { stale.add(1, ordering: .relaxed) }

  func countBlocked(_ time: Int64) {
    pause.add(time, ordering: .relaxed)
    blocked.add(time, ordering: .relaxed)
  }

  /// The node is back from something, and has taken so many values.
  func countWork(_ worked: Hand.Worked, andReceived received: Int) {
    // A plain load most of the time: exchanging costs as much as a lock.
    let paused = pause.load(ordering: .relaxed) == 0 ? 0 : pause.exchange(0, ordering: .relaxed)
    work.withLock {
      $0.busy += worked.time - paused
      $0.latency.add((worked.time - paused) / Int64(worked.messages), times: worked.messages)
      $0.received += received
    }
  }

  var statistics: NodeStatistics {
    var statistics = work.withLock { $0 }
    statistics.sent = sent.load(ordering: .relaxed)
    statistics.stale = stale.load(ordering: .relaxed)
    statistics.blocked = blocked.load(ordering: .relaxed)
    return statistics
  }
}
