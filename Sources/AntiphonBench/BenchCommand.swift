import ArgumentParser

/// Measures the runtime; `tools/bench` builds it in release mode and runs it.
@main
struct BenchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "antiphon-bench",
    abstract: "Measures the graph runtime and the model's stages.",
    subcommands: [
      RuntimeCommand.self, InterruptCommand.self, OverheadCommand.self, CodecCommand.self, SessionsCommand.self,
      StagesCommand.self, AssistantCommand.self, DetectCommand.self, OmniCommand.self,
      PartCommand.self,
    ] + synthetic)

  /// Those that need a voice.
  #if Flite
    private static let synthetic: [any ParsableCommand.Type] = [
      DuplexCommand.self, HeardCommand.self, QualityCommand.self, TightCommand.self, VoicesCommand.self,
    ]
  #else
    private static let synthetic: [any ParsableCommand.Type] = []
  #endif
}
