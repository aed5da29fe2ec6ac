import Dataflow
import Dispatch
import Foundation
import Synchronization

/// One part of a run in this process, while the coordinator is in another.
public struct PartRun: Sendable {
  private let plan: Plan
  private let part: Int
  private let catalog: NodeCatalog
  private let end = End()

  /// - Throws: ``JoinError`` if the plan has no such part.
  public init(plan: Plan, part name: String, catalog: NodeCatalog) throws {
    guard let part = plan.parts.firstIndex(where: { $0.name == name }) else {
      let names = plan.parts.map(\.name).joined(separator: ", ")
      throw JoinError(description: "the placement has no part '\(name)'; it has \(names)")
    }
    (self.plan, self.part, self.catalog) = (plan, part, catalog)
  }

  /// Joins the run, loads the part's nodes and runs them until the whole run has finished.
  ///
  /// - Parameters:
  ///   - parent: the process that started this one, if this one is to end with it.
  ///   - stuck: called when the part is to end, for the reason given, and a node does not for a few seconds; end the
  ///     process.
  /// - Throws: ``JoinError`` if the coordinator cannot be found or refuses, or the part was stopped, otherwise the first
  ///   node's failure.
  public func run(
    startTimeout: Double = 120, parent: Int32? = nil, stuck: @escaping @Sendable (_ reason: String) -> Void = { _ in }
  ) async throws {
    let name = plan.parts[part].name
    let client = try ControlClient(
      address: plan.coordinator,
      joining: Joining(
        part: name, graph: plan.hash, settings: plan.settings, incarnation: .random(in: 1...UInt64.max),
        process: ProcessInfo.processInfo.processIdentifier, clock: SystemTime().now),
      keys: try plan.keys(of: name), parent: parent, lost: { [end] in end.come(because: $0) })
    end.act { client.leave(because: $0) }
    do {
      let acceptance = try await client.join(timeout: .seconds(GraphRun.Options.within(startTimeout)))
      let hosted = try HostedPart(
        plan: plan, part: part, clock: SystemTime(), catalog: catalog, token: acceptance.token,
        isTraced: acceptance.isTraced, control: client)
      end.act { reason in
        client.leave(because: reason)
        hosted.handle(.stop)
        DispatchQueue.global().asyncAfter(deadline: .now() + 3) { stuck(reason) }
      }
      client.takeCommands { hosted.handle($0) }
      try await hosted.run()
    } catch {
      await client.close()
      throw error
    }
    await client.close()
    if let reason = end.reason { throw JoinError(description: reason) }
  }

  /// Ends the part, but not the run: its coordinator finds that it is gone and may wait for another in its place. May be
  /// called at any time, from any thread.
  public func stop(because reason: String) { end.come(because: reason) }

  /// Remembers why the part is to end before the run does, and acts on it once it can.
  private final class End: Sendable {
    private let state = Mutex<(reason: String?, action: (@Sendable (String) -> Void)?)>((nil, nil))
    var reason: String? { state.withLock { $0.reason } }
    func come(because reason: String) {
      state.withLock { state in
        state.reason = state.reason ?? reason
        return state.action
      }?(reason)
    }
    func act(_ action: @escaping @Sendable (String) -> Void) {
      let reason = state.withLock { state in
        state.action = action
        return state.reason
      }
      if let reason { action(reason) }
    }
  }
}
