import ArgumentParser
import DataflowRuntime
import Foundation
import GraphFile

struct RunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Runs a graph.",
    discussion: """
      Results go to standard output, everything else to standard error. Ctrl-C stops the run in good order, a second \
      one at once.
      """)

  @OptionGroup var options: GraphOptions

  @Option(help: "Run only this part of the placement, here; the others find it at the planned addresses.")
  var part: String?

  @Option(help: "Write a Chrome/Perfetto trace of the whole run to this file.")
  var trace: String?

  @Flag(help: "Print the run's summary as JSON on standard output, and no results.")
  var json = false

  @Flag(help: "Allow the commands of external nodes to be started; antiphon plan shows them.")
  var allowExternal = false

  @Option(help: "Give up if the graph is not ready by then, in seconds.")
  var startTimeout: Double = 120

  func validate() throws {
    let range = GraphRun.Options.startTimeouts
    guard range.contains(startTimeout) else {
      throw ValidationError(
        "--start-timeout must be between \(range.lowerBound) and \(Int(range.upperBound)) seconds.")
    }
  }

  func run() async throws {
    // A reader of our output that goes away is no reason to die.
    signal(SIGPIPE, SIG_IGN)
    do {
      let launcher = try Launcher(
        options: options, part: part, trace: trace, allowExternal: allowExternal, startTimeout: startTimeout)
      let reporter = RunReporter(quiet: json)
      guard let summary = try await launcher.run(reporter) else { return }
      if json {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
        Console.result(String(decoding: try encoder.encode(summary), as: UTF8.self))
      } else {
        Console.say(SummaryTable(summary).text)
      }
      if let failure = summary.failure {
        Console.say("antiphon: \(failure)")
        throw ExitCode(1)
      }
      // What failed was named when it did.
      if summary.hasFailedTurns { throw ExitCode(1) }
    } catch let error as GraphFileError {
      for diagnostic in error.diagnostics { Console.say("\(diagnostic)") }
      throw ExitCode(1)
    }
  }
}
