import DataflowRuntime
import Dispatch
import Foundation
import Synchronization

/// Starts what the command line asks for, and stops it on a signal.
struct Launcher {
  let run: GraphRun

  init(options: GraphOptions, part: String?, trace: String?, allowExternal: Bool, startTimeout: Double) throws {
    let plan = try options.plan()
    run = GraphRun(plan: plan)
  }

  func run(_ reporter: RunReporter) async throws -> RunSummary {
    let signals = SignalWatch { [run] name in
      Console.say("antiphon: \(name), stopping; again to stop at once")
      run.stop(because: "stopped by \(name)")
    }
    defer { signals.cancel() }
    return try await run.run { reporter.show($0) }
  }
}

/// Calls back on the first Ctrl-C or SIGTERM; the second ends the process.
final class SignalWatch {
  private let sources: [any DispatchSourceSignal]

  init(_ first: @escaping @Sendable (_ name: String) -> Void) {
    let seen = Seen()
    sources = [(SIGINT, "Ctrl-C"), (SIGTERM, "SIGTERM")].map { number, name in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler {
        if seen.first() { first(name) } else { _exit(128 + number) }
      }
      source.resume()
      return source
    }
  }

  func cancel() { for source in sources { source.cancel() } }

  private final class Seen: Sendable {
    private let count = Mutex(0)
    func first() -> Bool {
      count.withLock { count in
        count += 1
        return count == 1
      }
    }
  }
}
