import ArgumentParser

/// Measures the runtime; `tools/bench` builds it in release mode and runs it.
@main
struct BenchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "antiphon-bench",
    abstract: "Measures the graph runtime.",
    subcommands: [RuntimeCommand.self, InterruptCommand.self, OverheadCommand.self, PartCommand.self])
}
