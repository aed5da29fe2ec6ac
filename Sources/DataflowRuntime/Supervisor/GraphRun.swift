public import Dataflow
import Synchronization

/// Runs a planned graph: in this process, or in several if the plan says so.
public final class GraphRun: Sendable {
  private enum State {
    case idle
    case running(any RunningGraph)
    case stopped(reason: String)
  }
  private let plan: Plan
  private let clock: any TimeSource
  private let state = Mutex(State.idle)

  public init(plan: Plan, clock: any TimeSource = SystemTime()) {
    self.plan = plan
    self.clock = clock
  }

  /// Runs to the end.
  ///
  /// - Parameter observe: is told what happens, one event at a time.
  /// - Throws: what keeps the graph from being built; what goes wrong later is in the summary.
  public func run(observe: @escaping @Sendable (RunEvent) -> Void) async throws -> RunSummary {
    let run = try LocalRun(plan: plan, clock: clock, observe: observe)
    let stopped: String? = state.withLock { state in
      if case .stopped(let reason) = state { return reason }
      state = .running(run)
      return nil
    }
    if let stopped { run.stop(because: stopped) }
    return await run.run()
  }

  /// Ends the run in good order; may be called at any time, from any thread.
  public func stop(because reason: String) {
    let running: (any RunningGraph)? = state.withLock { state in
      switch state {
      case .idle:
        state = .stopped(reason: reason)
        return nil
      case .running(let running): return running
      case .stopped: return nil
      }
    }
    running?.stop(because: reason)
  }

  /// Interrupts a session by its name, or all with nil: everything up to its latest turn falls silent.
  public func interrupt(session: String?, reason: String) {
    if case .running(let running) = state.withLock({ $0 }) {
      running.coordinator.interrupt(session: session, reason: reason)
    }
  }
}

/// A graph under way.
protocol RunningGraph: Sendable {
  var coordinator: Coordinator { get }
  func run() async -> RunSummary
  func stop(because reason: String)
}
