import ArgumentParser

@main
struct AntiphonCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "antiphon",
    abstract: "Runs dataflow graphs of speech, vision and language nodes, in one process or many.",
    subcommands: [
      RunCommand.self, ValidateCommand.self, PlanCommand.self, DrawCommand.self, NodesCommand.self,
      KeysCommand.self, ModelsCommand.self, DevicesCommand.self, DoctorCommand.self,
    ])
}
