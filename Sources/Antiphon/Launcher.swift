import Catalog
import DataflowRuntime
import Dispatch
import Foundation
import Synchronization

/// Starts what the command line asks for, and stops it on a signal.
struct Launcher {
  private enum Work {
    case graph(GraphRun)
    case part(PartRun)
  }
  /// Seconds that a stopped run may take to end in good order.
  private static let patience = 8.0
  private let work: Work
  private let startTimeout: Double
  /// This process is a part that a coordinator on this machine has started.
  private let isSupervised: Bool
  /// Lives as long as the run.
  private let directory: RunDirectory?

  init(options: GraphOptions, part: String?, trace: String?, allowExternal: Bool, startTimeout: Double) throws {
    self.startTimeout = startTimeout
    isSupervised = part != nil && options.runDirectory != nil
    if let part {
      directory = nil
      work = .part(try PartRun(plan: try options.plan(part: part), part: part, catalog: Catalog.standard))
      return
    }
    let directory = try RunDirectory()
    self.directory = directory
    let plan = try options.plan(runDirectory: directory.path)
    var runOptions = GraphRun.Options()
    runOptions.allowsExternal = allowExternal
    runOptions.startTimeout = startTimeout
    runOptions.traceFile = trace
    if options.placement != nil {
      let command = options.command(runDirectory: directory.path)
      runOptions.command = { part in command + ["--part", part] }
    }
    work = .graph(GraphRun(plan: plan, catalog: Catalog.standard, options: runOptions))
  }

  /// - Returns: how it went; nil for a part, whose coordinator knows.
  func run(_ reporter: RunReporter) async throws -> RunSummary? {
    // What waits for signals holds it, too, and is let go of some time after it is cancelled: the program may have ended.
    defer { directory?.remove() }
    switch work {
    case .graph(let run):
      let directory = directory
      let endNow: @Sendable (Int32) -> Void = { status in
        run.kill()
        directory?.remove()
        _exit(status)
      }
      let signals = SignalWatch { name in
        run.stop(because: "stopped by \(name)")
        // A node that computes without looking up, or a library call that does not return, must not hold us; nor must
        // whoever does not read what we say.
        DispatchQueue.global().asyncAfter(deadline: .now() + Self.patience) {
          Console.lastWord("antiphon: not everything stopped within \(Int(Self.patience)) s; ending at once")
          endNow(1)
        }
        Console.say("antiphon: \(name), stopping; again to stop at once")
      } second: { number in
        endNow(128 + number)
      }
      defer { signals.cancel() }
      return try await run.run { reporter.show($0) }
    case .part(let part):
      var signals: SignalWatch?
      if isSupervised {
        // The coordinator hears Ctrl-C too and ends the run in good order.
        signal(SIGINT, SIG_IGN)
      } else {
        signals = SignalWatch { name in
          part.stop(because: "stopped by \(name)")
          Console.say("antiphon: \(name), stopping; again to stop at once")
        } second: { number in
          _exit(128 + number)
        }
      }
      defer { signals?.cancel() }
      try await part.run(startTimeout: startTimeout, parent: isSupervised ? getppid() : nil) { reason in
        Console.lastWord("antiphon: \(reason), and a node does not end; ending at once")
        _exit(1)
      }
      return nil
    }
  }
}

/// Calls back on the first Ctrl-C or SIGTERM; the second ends the process.
final class SignalWatch {
  private let sources: [any DispatchSourceSignal]

  init(
    _ first: @escaping @Sendable (_ name: String) -> Void, second: @escaping @Sendable (_ number: Int32) -> Void
  ) {
    let seen = Seen()
    sources = [(SIGINT, "Ctrl-C"), (SIGTERM, "SIGTERM")].map { number, name in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler {
        let isFirst = seen.first()
        // A source calls once at a time, and the first call may still wait for a terminal that takes nothing.
        DispatchQueue.global().async { if isFirst { first(name) } else { second(number) } }
      }
      source.resume()
      return source
    }
  }

  /// From now on a signal ends the process as it does any other.
  func cancel() {
    for source in sources { source.cancel() }
    for number in [SIGINT, SIGTERM] { signal(number, SIG_DFL) }
  }

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
