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
  private let sequence = Atomic<UInt64>(0)
  /// Numbers of the sequence that have not gone out.
  private let pending = Atomic<Int>(0)
  private let traces: TraceNumbers
  private let tracer: (node: Int, Tracer)?

  init(
    node: String, type: PortType, links: [any Link], edges: [Int], meter: NodeMeter, traces: TraceNumbers,
    tracer: (node: Int, Tracer)?, clock: any TimeSource
  ) {
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

  /// Values that have gone out on all edges.
  var sent: Int { Int(sequence.load(ordering: .relaxed)) - pending.load(ordering: .relaxed) }

  func send(_ value: any Message, turn: Turn, time: Int64, trace: UInt64?, inPlace: Bool) throws -> Unsent? {
    if turn.isCut {
      meter.countStale()
      return nil
    }
    let number = sequence.add(1, ordering: .relaxed).oldValue
    if number == 0, let problem = value.type.mismatch(feeding: type) {
      throw MessageTypeError(node: node, sent: value.type, declared: type, problem: problem)
    }
    let stamp = Stamp(time: time, trace: trace ?? traces[number], sequence: number)
    var isSent = false
    defer { if !isSent { pending.add(1, ordering: .relaxed) } }
    if let (index, tracer) = tracer {
      for edge in edges { tracer.sent(node: index, edge: edge, sequence: number) }
    }
    if let wire, try wire.offer(value, turn: turn, stamp: stamp) {
      isSent = true
      return nil
    }
    let envelope = Envelope(.value(value), turn: turn, stamp: stamp)
    for index in links.indices where try !links[index].offer(envelope) {
      guard inPlace, try waitInPlace(links[index], envelope) else { return Unsent(envelope, edge: index) }
    }
    isSent = true
    return nil
  }

  func finish(_ unsent: Unsent) async throws {
    let envelope = unsent.envelope
    for link in links[unsent.edge...] where try !link.offer(envelope) {
      let start = clock.now
      repeat { await link.room() } while try !envelope.turn.isCut && !link.offer(envelope)
      meter.countBlocked(clock.now - start)
    }
    pending.subtract(1, ordering: .relaxed)
  }

  /// - Returns: whether the envelope was sent, or has become stale.
  private func waitInPlace(_ link: any Link, _ envelope: Envelope) throws -> Bool {
    let start = clock.now
    defer { meter.countBlocked(clock.now - start) }
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

/// Numbers the pieces of work that start at one output: no two of a run have the same number.
struct TraceNumbers {
  private let first: UInt64

  init(part: Int, outlet: Int) { first = UInt64(part + 1) << 48 | UInt64(outlet & 0xffff) << 32 }

  /// - Parameter sequence: of the message that it starts with.
  subscript(sequence: UInt64) -> UInt64 { first &+ sequence & 0xffff_ffff }
}

/// Counts what a node does.
package final class NodeMeter: Sendable {
  private struct Work {
    var statistics: NodeStatistics
    /// Nanoseconds that a quick message took lately.
    var usual: Int64 = 0
  }
  /// Busy time, latency and what was received.
  private let work: Mutex<Work>
  private let stale = Atomic<Int>(0)
  private let blocked = Atomic<Int64>(0)
  /// Blocked since the node took its current message.
  private let pause = Atomic<Int64>(0)

  package init(node: String) { work = Mutex(Work(statistics: NodeStatistics(node: node))) }

  func countReceived(_ values: Int) { work.withLock { $0.statistics.received += values } }
  func countStale() { stale.add(1, ordering: .relaxed) }

  func countBlocked(_ time: Int64) {
    pause.add(time, ordering: .relaxed)
    blocked.add(time, ordering: .relaxed)
  }

  /// The node is back from so many messages or marks, and has taken so many values.
  ///
  /// Only a node that has been quick gets several messages at once. They count with their mean; if that is not quick,
  /// one of them is taken to be the reason.
  package func countWork(_ time: Int64, on count: Int, andReceived received: Int) {
    // A plain load most of the time: exchanging costs as much as a lock.
    let paused = pause.load(ordering: .relaxed) == 0 ? 0 : pause.exchange(0, ordering: .relaxed)
    let spent = time - paused
    let each = spent / Int64(count)
    work.withLock {
      $0.statistics.busy += spent
      $0.statistics.received += received
      if each < Hand.quick {
        $0.usual = each
        $0.statistics.latency.add(each, count)
      } else {
        $0.statistics.latency.add($0.usual, count - 1)
        $0.statistics.latency.add(spent - $0.usual * Int64(count - 1), 1)
      }
    }
  }

  /// All but what was sent.
  package var statistics: NodeStatistics {
    var statistics = work.withLock { $0.statistics }
    statistics.stale = stale.load(ordering: .relaxed)
    statistics.blocked = blocked.load(ordering: .relaxed)
    return statistics
  }
}
