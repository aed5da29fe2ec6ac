import Dataflow
import Dispatch
import Synchronization

/// A whole graph in this process.
final class LocalRun: RunningGraph {
  let coordinator: Coordinator
  private let part: PartRuntime

  init(
    plan: Plan, clock: any TimeSource, observe: @escaping @Sendable (RunEvent) -> Void
  ) throws {
    let coordinator = Coordinator(plan: plan, clock: clock, observe: observe)
    let part = try PartRuntime(
      plan: plan, part: 0, clock: clock, control: LocalControl(coordinator: coordinator, part: 0))
    coordinator.connect { _, command in part.handle(command) }
    self.coordinator = coordinator
    self.part = part
  }

  /// - Returns: how it went; a node's failure is in the summary.
  func run() async -> RunSummary {
    let watch = Task {
      while !Task.isCancelled {
        try await Task.sleep(for: .milliseconds(100))
        coordinator.expire()
      }
    }
    defer { watch.cancel() }
    var outcome = TurnOutcome.failed(reason: "the run ended before the turn did")
    do {
      try await part.run()
    } catch {
      outcome = .failed(reason: "\(error)")
    }
    (part.control as? LocalControl)?.drain()
    coordinator.handle(.report(part.report), from: 0)
    return coordinator.finish(outcome)
  }

  func stop(because reason: String) { coordinator.fail(reason) }
}

/// Takes events to a coordinator in the same process, in order, on a queue of its own: no node waits for it, and no
/// command can come back into the call that caused it.
final class LocalControl: ControlChannel {
  private let coordinator: Coordinator
  private let part: Int
  private let queue = DispatchQueue(label: "antiphon.control", qos: .userInteractive)

  init(coordinator: Coordinator, part: Int) {
    self.coordinator = coordinator
    self.part = part
  }

  func post(_ event: PartEvent) {
    queue.async { [coordinator, part] in coordinator.handle(event, from: part) }
  }

  /// Returns when everything posted so far has been handled.
  func drain() { queue.sync {} }
}
