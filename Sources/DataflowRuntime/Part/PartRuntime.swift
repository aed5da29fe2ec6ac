import Dataflow
import Synchronization

/// The nodes of one process, their mailboxes, and the links between them.
final class PartRuntime: Sendable {
  let plan: Plan
  let index: Int
  let clock: any TimeSource
  let control: any ControlChannel
  let sessions = SessionTable()
  private let hosts: [NodeHost]
  private let mailboxes: [Int: Mailbox]
  private let wire: (any WireEnds)?
  private let inproc: InprocWire?
  private let gate = Gate()
  /// Opened when every process of the run has finished.
  private let released = Gate()

  /// - Parameter makeWire: builds the ends of edges that cross to other processes; nil where none do.
  init(
    plan: Plan, part: Int, clock: any TimeSource, control: any ControlChannel, isTraced: Bool = false,
    makeWire: ((_ mailboxes: [Int: Mailbox], _ sessions: SessionTable) throws -> (any WireEnds)?)? = nil
  ) throws {
    (self.plan, self.index, self.clock, self.control) = (plan, part, clock, control)
    let mine = plan.nodes.indices.filter { plan.nodes[$0].part == part && plan.nodes[$0].type != nil }
    var mailboxes: [Int: Mailbox] = [:]
    for node in mine { mailboxes[node] = Mailbox(plan.lanes(of: node), clock: clock) }
    self.mailboxes = mailboxes
    let wire = try makeWire?(mailboxes, sessions)
    self.wire = wire
    let inproc = try InprocWire(plan: plan, part: part, mailboxes: mailboxes)
    self.inproc = inproc
    let traces = TraceSource(part: part)
    let tracer = isTraced ? Tracer(plan: plan, clock: clock) : nil
    let services = Services(
      plan: plan, clock: clock, control: control, sessions: sessions, wire: wire, stopping: Stopping(),
      tracer: tracer, incoming: plan.nodes.indices.map(plan.incoming),
      mailboxes: mailboxes.sorted { $0.key < $1.key }.map(\.value))
    self.services = services
    hosts = try mailboxes.sorted { $0.key < $1.key }.map { node, mailbox in
      let meter = NodeMeter(node: plan.nodes[node].name)
      let computation = Computation(clock)
      let outlets = try plan.nodes[node].manifest.outputs.indices.map { port in
        let edges = plan.edges.indices.filter { plan.edges[$0].from == .init(node: node, port: port) }
        let links = try edges.map { try Self.link(plan, $0, mailboxes, wire, inproc) }
        return OutletHost(
          node: plan.nodes[node].name, type: plan.outputType(node: node, port: port), links: links,
          edges: edges, meter: meter, traces: traces, tracer: tracer.map { (node, $0) }, clock: clock,
          computation: computation)
      }
      return NodeHost(
        index: node, planned: plan.nodes[node], mailbox: mailbox, outlets: outlets, meter: meter,
        hasInputs: plan.edges.contains { $0.to.node == node },
        isWitness: plan.isWitness(node), part: services, computation: computation)
    }
  }

  private let services: Services

  /// Loads every node, waits for the start, and runs until all have ended.
  ///
  /// - Throws: the first failure of a node, after all have ended.
  func run() async throws {
    inproc?.start()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for host in hosts {
        group.addTask {
          do {
            try await host.live(start: self.gate)
            self.control.post(.nodeEnded(node: host.index))
          } catch {
            self.control.post(.nodeFailed(node: host.index, reason: "\(error)"))
            throw NodeFailure(node: host.planned.name, reason: "\(error)")
          }
        }
      }
      var failure: (any Error)?
      while let result = await group.nextResult() {
        if case .failure(let error) = result {
          failure = failure ?? error
          stop()
        }
      }
      await inproc?.close()
      await wire?.drain()
      if let tracer = services.tracer {
        // In pieces that a control message holds.
        var entries = tracer.take()[...]
        while !entries.isEmpty {
          control.post(.trace(Array(entries.prefix(20_000))))
          entries = entries.dropFirst(20_000)
        }
      }
      control.post(.finished(report))
      // A peer that is started anew wants to hear again of what is under way: stay until none will.
      if failure == nil, !services.isStopping { try? await released.wait() }
      if let failure { throw failure }
    }
  }

  func handle(_ command: PartCommand) {
    switch command {
    case .start(let begun, let open):
      for host in hosts {
        guard let names = begun[host.index] else { continue }
        host.noteBegun(names)
        for (number, name) in names.enumerated() {
          let id = sessionID(source: host.index, number: UInt64(number + 1))
          if open.contains(id) { host.endOrphan(sessions.session(id, named: name)) }
        }
      }
      gate.open()
    case .fence(let session, let name, let epoch):
      let session = sessions.session(session, named: name)
      session.raiseWatermark(to: epoch == .max ? .max : epoch + 1)
      session.noteEpoch(epoch)
      let turn = Turn(session, epoch: epoch)
      wire?.fence(turn)
      for host in hosts {
        for (lane, lost) in host.fence(turn).enumerated() where lost > 0 {
          wire?.returnCredit(edge: plan.incoming(host.index)[lane], count: lost)
        }
      }
    case .closeSession(let session):
      sessions.remove(session)
      wire?.forget(session: session)
    case .peerRestarted(let part): wire?.peerRestarted(part: part)
    case .report: control.post(.report(report))
    case .stop: stop()
    case .release: released.open()
    }
  }

  func stop() {
    services.stopping.raise()
    gate.cancel()
    released.cancel()
    for host in hosts { host.mailbox.stop() }
    wire?.stop()
  }

  var report: PartReport {
    var report = PartReport()
    report.nodes = hosts.map(\.meter.statistics)
    for host in hosts {
      report.edges += host.mailbox.edges.map {
        NamedEdgeStatistics(edge: $0.name, waiting: $0.waiting, statistics: $0.statistics)
      }
    }
    if let lost = services.tracer?.lost, lost > 0 { report.traceLost = lost }
    if let wire {
      wire.addLosses(to: &report.edges)
      report.refused = wire.refused
    }
    return report
  }

  private static func link(
    _ plan: Plan, _ edge: Int, _ mailboxes: [Int: Mailbox], _ wire: (any WireEnds)?,
    _ inproc: InprocWire?
  ) throws -> any Link {
    let planned = plan.edges[edge]
    let lane = plan.lane(ofEdge: edge)
    switch planned.transport {
    case .direct:
      guard let mailbox = mailboxes[planned.to.node] else { throw MissingWire(edge: planned.name) }
      return DirectLink(to: mailbox, lane: lane, kind: plan.lanes(of: planned.to.node)[lane])
    case .inproc:
      guard let link = inproc?.link(forEdge: edge) else { throw MissingWire(edge: planned.name) }
      return link
    case .wire:
      guard let link = try wire?.link(forEdge: edge) else { throw MissingWire(edge: planned.name) }
      return link
    }
  }

  private struct Services: PartServices {
    let plan: Plan
    let clock: any TimeSource
    let control: any ControlChannel
    let sessions: SessionTable
    let wire: (any WireEnds)?
    let stopping: Stopping
    let tracer: Tracer?
    /// Per node, the edges of its lanes.
    let incoming: [[Int]]
    let mailboxes: [Mailbox]
    var isStopping: Bool { stopping.isRaised }

    var queues: [QueueDepth] {
      mailboxes.flatMap(\.edges).map { QueueDepth(edge: $0.name, waiting: $0.waiting) }
    }

    func seed(for node: String) -> UInt64 { FNV1a.hash(node, mixing: plan.settings.seed) }

    func taken(node: Int, lane: Int, count: Int) { wire?.returnCredit(edge: incoming[node][lane], count: count) }

    func refused(node: Int, lane: Int, because error: MessageCodingError) {
      wire?.refuse(edge: incoming[node][lane], because: error)
    }
  }

  /// A flag that is raised once.
  final class Stopping: Sendable {
    private let flag = Atomic<Bool>(false)
    var isRaised: Bool { flag.load(ordering: .acquiring) }
    func raise() { flag.store(true, ordering: .releasing) }
  }
}

/// The ends, in this process, of edges that do not hand over directly.
protocol WireEnds: Sendable {
  func link(forEdge edge: Int) throws -> any Link
  /// The node took, or lost, values that came over the wire.
  func returnCredit(edge: Int, count: Int)
  /// What came on the edge is malformed.
  func refuse(edge: Int, because error: MessageCodingError)
  func forget(session: UInt64)
  /// The process of that part was started anew.
  func peerRestarted(part: Int)
  var refused: Refusals { get }
  func addLosses(to statistics: inout [NamedEdgeStatistics])
  func fence(_ turn: Turn)
  /// Returns when all that was sent has been handed to the other side, or cannot be.
  func drain() async
  func stop()
}

/// An edge needs a carrier that this process does not have.
struct MissingWire: Error, CustomStringConvertible {
  let edge: String
  var description: String { "edge \(edge) leaves this process, and nothing carries it" }
}

/// A node failed, and with it the run.
public struct NodeFailure: Error, Sendable, CustomStringConvertible {
  public let node: String
  public let reason: String
  public var description: String { "node \(node) failed: \(reason)" }
}

extension Plan {
  /// The edges that come into a node, in the order of its lanes.
  func incoming(_ node: Int) -> [Int] { edges.indices.filter { edges[$0].to.node == node } }

  func lane(ofEdge edge: Int) -> Int { incoming(edges[edge].to.node).firstIndex(of: edge) ?? 0 }

  package func lanes(of node: Int) -> [MailboxState.Lane.Kind] {
    incoming(node).map { index in
      let edge = edges[index]
      return MailboxState.Lane.Kind(
        port: edge.to.port, name: edge.name, depth: edge.depth, policy: edge.policy, isFeedback: edge.isFeedback,
        carriesSession: { [sources = edge.sources] in sources.contains(source(ofSession: $0.id)) },
        carriesTurns: edge.carriesTurns)
    }
  }

  /// An output's type as its edges resolved it.
  func outputType(node: Int, port: Int) -> PortType {
    edges.first { $0.from == .init(node: node, port: port) }?.type ?? nodes[node].manifest.outputs[port].type
  }
}
