import Dataflow
import Dispatch
import Foundation

/// A part of a run whose nodes live in this process.
final class HostedPart: Sendable {
  let index: Int
  private let part: PartRuntime
  private let wire: Wire?

  /// - Parameters:
  ///   - control: where the part's events go.
  ///   - token: by which the processes of the run know each other.
  init(
    plan: Plan, part index: Int, clock: any TimeSource, catalog: NodeCatalog, token: String,
    isTraced: Bool, control: any ControlChannel
  ) throws {
    self.index = index
    var wire: Wire?
    part = try PartRuntime(plan: plan, part: index, clock: clock, control: control, isTraced: isTraced) {
      mailboxes, sessions in
      guard plan.crosses(part: index) else { return nil }
      let keys = try plan.keys(of: plan.parts[index].name)
      let identity = Wire.Identity(
        part: index, incarnation: .random(in: 1...UInt64.max), token: token, keys: keys)
      let made = try Wire(
        plan: plan, identity: identity, mailboxes: mailboxes, sessions: sessions, catalog: catalog,
        report: { control.post($0) })
      wire = made
      return made
    }
    self.wire = wire
  }

  /// Runs the nodes to their end.
  ///
  /// - Throws: what keeps the edges from being bound, or the first node's failure.
  func run() async throws {
    try await wire?.start()
    let result: Result<Void, any Error>
    do {
      try await part.run()
      result = .success(())
    } catch {
      result = .failure(error)
    }
    await wire?.close()
    try result.get()
  }

  func handle(_ command: PartCommand) { part.handle(command) }
  var report: PartReport { part.report }
}

/// Takes events to a coordinator in the same process, in order, on a queue of its own: and no
/// command can come back into the call that caused it. Only a node that says more than can be dealt with, or that anybody
/// reads, is held up.
final class LocalControl: ControlChannel {
  private let coordinator: Coordinator
  private let part: Int
  private let backlog = Backlog(limit: 4 << 20)
  private let queue = DispatchQueue(label: "antiphon.control", qos: .userInteractive)

  init(coordinator: Coordinator, part: Int) {
    self.coordinator = coordinator
    self.part = part
  }

  func post(_ event: PartEvent) {
    if event.canWait {
      coordinator.waitForRoom()
      backlog.waitForRoom()
    }
    let weight = event.weight
    backlog.add(weight)
    queue.async { [coordinator, part, backlog] in
      coordinator.handle(event, from: part)
      backlog.remove(weight)
    }
  }

  /// Returns when everything posted so far has been handled.
  func drain() { queue.sync {} }
}

extension Plan {
  /// Whether any edge leaves or enters the part.
  func crosses(part: Int) -> Bool {
    edges.indices.contains { isOutbound($0, part: part) || isInbound($0, part: part) }
  }

  /// The keys of the process called `name`, if edges are to be encrypted.
  func keys(of name: String) throws -> WireKeys? {
    guard let security else { return nil }
    return try WireKeys(security, name: name, peers: parts.map(\.name) + [Self.coordinatorName])
  }

  /// The coordinator's name among the keys.
  static let coordinatorName = "coordinator"
}
