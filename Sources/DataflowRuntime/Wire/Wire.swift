import Dataflow
import Foundation
import Synchronization
import ZeroMQ

/// All ends, in one process, of edges to and from other processes, and the one thread that owns their sockets.
///
/// For every inbound edge there is a ROUTER socket that is bound, for every outbound edge a DEALER socket that connects.
/// Values go out in batches as credit allows; what comes in goes into the same mailboxes that local senders use.
final class Wire: WireEnds {
  /// How the process presents itself.
  struct Identity: Sendable {
    var part: Int
    var incarnation: UInt64
    /// Known only to the processes of the run.
    var token: String
    var keys: WireKeys?
  }

  private let plan: Plan
  private let identity: Identity
  private let outbound: [OutboundEdge]
  /// By edge; nil for those that do not come in here.
  private let owed: [OwedCredit?]
  private let wakeup: Wakeup
  private let counters = WireCounters()
  private let stopping = Atomic<Bool>(false)
  private let finished = Atomic<Bool>(false)
  private let context: Context
  private let shared: Shared

  /// What the thread needs and nobody else touches after the start.
  private struct Shared: Sendable {
    var mailboxes: [Int: Mailbox]
    var sessions: SessionTable
    var catalog: NodeCatalog
    var report: @Sendable (PartEvent) -> Void
  }

  /// - Parameter report: is told which edges are ready or broken; called from the wire's thread.
  init(
    plan: Plan, identity: Identity, mailboxes: [Int: Mailbox], sessions: SessionTable, catalog: NodeCatalog,
    report: @escaping @Sendable (PartEvent) -> Void
  ) throws {
    self.plan = plan
    self.identity = identity
    Context.keepMemoryOfLargeFrames()
    let wakeup = try Wakeup()
    self.wakeup = wakeup
    context = try Context(ioThreads: 1)
    shared = Shared(mailboxes: mailboxes, sessions: sessions, catalog: catalog, report: report)
    outbound = plan.edges.indices.filter { plan.isOutbound($0, part: identity.part) }.map {
      OutboundEdge(index: $0, edge: plan.edges[$0], wakeup: wakeup)
    }
    owed = plan.edges.indices.map {
      plan.isInbound($0, part: identity.part) ? OwedCredit(depth: plan.edges[$0].depth, wakeup: wakeup) : nil
    }
  }

  /// Binds and connects everything on a thread of its own.
  ///
  /// - Throws: `ZeroMQError` or a key file's error if that cannot be done, after the thread has ended.
  func start() async throws {
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
      startThread(named: "antiphon-wire") {
        do {
          let loop = try WireLoop(
            plan: self.plan, identity: self.identity, context: self.context, outbound: self.outbound,
            inbound: self.makeInbound(), sessions: self.shared.sessions, counters: self.counters,
            report: self.shared.report, wakeup: self.wakeup)
          continuation.resume()
          loop.run { self.stopping.load(ordering: .acquiring) }
        } catch {
          continuation.resume(throwing: error)
        }
        self.finished.store(true, ordering: .releasing)
      }
    }
  }

  private func makeInbound() throws -> [InboundEdge] {
    try owed.enumerated().compactMap { index, owed in
      guard let owed else { return nil }
      let edge = plan.edges[index]
      guard let mailbox = shared.mailboxes[edge.to.node], let type = shared.catalog.message(edge.type.name) else {
        throw MissingWire(edge: edge.name)
      }
      return InboundEdge(
        index: index, edge: edge, mailbox: mailbox, lane: plan.lane(ofEdge: index), messageType: type, owed: owed)
    }
  }

  func link(forEdge edge: Int) throws -> any Link {
    guard let link = outbound.first(where: { $0.index == edge }) else { throw MissingWire(edge: plan.edges[edge].name) }
    return link
  }

  func returnCredit(edge: Int, count: Int) { owed[edge]?.add(count) }
  func refuse(edge: Int, because error: MessageCodingError) { owed[edge]?.refuse(because: error) }

  func fence(_ turn: Turn) {
    for edge in outbound { edge.update { $0.fence() } }
  }

  func forget(session: UInt64) {
    for edge in outbound { edge.forget(session: session) }
  }

  func peerRestarted(part: Int) {
    for edge in outbound where plan.nodes[edge.edge.to.node].part == part {
      // Turns that were under way when the process died have been cut by now; these began before we heard of it.
      if edge.greetAgain().isEmpty { continue }
      shared.report(
        .edgeBroken(edge: edge.index, reason: "messages to part \(plan.parts[part].name) were lost with its process"))
    }
    wakeup.signal()
  }

  func drain() async {
    while !stopping.load(ordering: .acquiring), !outbound.allSatisfy(\.isDrained) {
      try? await Task.sleep(for: .milliseconds(2))
    }
  }

  func stop() {
    for edge in outbound { edge.update { $0.stop() } }
  }

  /// Ends the thread and hands what is still to be sent to the network, for as long as the sockets linger.
  func close() async {
    stopping.store(true, ordering: .releasing)
    wakeup.signal()
    while !finished.load(ordering: .acquiring) { try? await Task.sleep(for: .milliseconds(1)) }
    context.close()
  }

  /// Messages that were malformed or came from strangers.
  var refused: Refusals { counters.values }

  /// What policy and interruptions cost on the sending side.
  func addLosses(to statistics: inout [NamedEdgeStatistics]) {
    for edge in outbound {
      let (dropped, stale) = edge.losses
      guard dropped > 0 || stale > 0 else { continue }
      var entry = NamedEdgeStatistics(edge: edge.edge.name, waiting: 0, statistics: EdgeStatistics())
      entry.statistics.dropped = dropped
      entry.statistics.stale = stale
      statistics.append(entry)
    }
  }
}

/// Counts what was refused.
final class WireCounters: Sendable {
  private let malformed = Atomic<Int>(0)
  private let strangers = Atomic<Int>(0)
  func countMalformed() { malformed.add(1, ordering: .relaxed) }
  func countStranger() { strangers.add(1, ordering: .relaxed) }
  private let authenticator = Mutex<Authenticator?>(nil)

  /// Whose refusals count too.
  func watch(_ authenticator: Authenticator) { self.authenticator.withLock { $0 = authenticator } }

  var values: Refusals {
    var values = Refusals()
    values.malformed = malformed.load(ordering: .relaxed)
    values.strangers = strangers.load(ordering: .relaxed)
    values.unauthenticated = authenticator.withLock { $0?.counts.refused ?? 0 }
    return values
  }
}

extension Plan {
  func isOutbound(_ edge: Int, part: Int) -> Bool { isWire(edge) && nodes[edges[edge].from.node].part == part }
  func isInbound(_ edge: Int, part: Int) -> Bool { isWire(edge) && nodes[edges[edge].to.node].part == part }

  private func isWire(_ edge: Int) -> Bool {
    if case .wire = edges[edge].transport { true } else { false }
  }
}
