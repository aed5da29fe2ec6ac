public import Dataflow
import Synchronization

/// Runs a planned graph: in this process, or in several if the plan says so.
public final class GraphRun: Sendable {
  private enum State {
    case idle
    case running(any RunningGraph)
    case stopped(reason: String)
  }
  /// How a run goes about it.
  public struct Options: Sendable {
    /// Starts a process for the part of that name, as program and arguments; nil to keep all parts in this process.
    public var command: (@Sendable (_ part: String) -> [String])?
    /// Whether the commands of external nodes may be started.
    public var allowsExternal = false
    /// Seconds until the graph must be ready; what is not within ``startTimeouts`` is taken as the nearest that is.
    public var startTimeout: Double = 120
    /// From a tenth of a second to a month.
    public static let startTimeouts = 0.1...2_592_000.0
    /// In nanoseconds.
    var startLimit: Int64 { Int64(Self.within(startTimeout) * 1e9) }

    static func within(_ timeout: Double) -> Double {
      timeout.isNaN ? 120 : min(max(timeout, startTimeouts.lowerBound), startTimeouts.upperBound)
    }
    /// Where to write a trace of the run; nil for none.
    public var traceFile: String?

    /// Keeps even the parts that belong on other hosts in this process, for tests of what goes between parts.
    package var hostsEverything = false

    public init(command: (@Sendable (_ part: String) -> [String])? = nil) { self.command = command }

    func hosts(_ part: PlannedPart) -> Bool {
      !part.isExternal && (hostsEverything || (command == nil && part.host == nil))
    }
  }
  private let plan: Plan
  private let clock: any TimeSource
  private let catalog: NodeCatalog
  private let options: Options
  private let state = Mutex(State.idle)

  public init(
    plan: Plan, catalog: NodeCatalog, options: Options = Options(), clock: any TimeSource = SystemTime()
  ) {
    self.plan = plan
    self.catalog = catalog
    self.options = options
    self.clock = clock
  }

  /// Runs to the end.
  ///
  /// - Parameter observe: is told what happens, one event at a time.
  /// - Throws: what keeps the graph from being built; what goes wrong later is in the summary.
  public func run(observe: @escaping @Sendable (RunEvent) -> Void) async throws -> RunSummary {
    let run = try Supervisor(plan: plan, clock: clock, catalog: catalog, options: options, observe: observe)
    let stopped: String? = state.withLock { state in
      if case .stopped(let reason) = state { return reason }
      state = .running(run)
      return nil
    }
    if let stopped { run.stop(because: stopped) }
    // What it holds is let go with it, though whoever observes it may hold this object.
    defer { state.withLock { $0 = .stopped(reason: "the run has ended") } }
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

  /// Ends the processes that the run has started, without waiting for anything; for a program that ends itself at once.
  public func kill() {
    if case .running(let running) = state.withLock({ $0 }) { running.kill() }
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
  func kill()
}
