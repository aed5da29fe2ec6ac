import ArgumentParser
import Foundation
import ModelKit

struct ModelsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "models", abstract: "Looks into files of weights.", subcommands: [Inspect.self])

  struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Lists a checkpoint's tensors, and what is missing or unexpected for a kind of node.",
      discussion: """
        Reads safetensors (also sharded, by their index), PyTorch and TorchScript archives, GGUF, CTranslate2 and ONNX. \
        Nothing in a file is executed.
        """)

    @Argument(help: "A file, a folder with one of the usual names in it, or the name of a fetched model.")
    var file: String

    @Option(name: .customLong("for"), help: "A kind of node whose model is to be found in the file.")
    var kind: String?

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
      let known = Set(CheckpointNeeds.all.flatMap(\.kinds))
      if let kind, !known.contains(kind) {
        throw ValidationError(
          "no model is declared for the kind '\(kind)'; there are \(known.sorted().joined(separator: ", "))")
      }
      do {
        let path = FileManager.default.fileExists(atPath: file) ? file : try ModelFolder.path(file)
        let checkpoint = try Checkpoints.open(path, names: kind.map(CheckpointNeeds.files(ofKind:)) ?? [])
        var report = CheckpointReport(checkpoint)
        if let kind, let needs = try CheckpointNeeds.of(kind: kind, for: checkpoint) {
          try report.compare(checkpoint, with: needs, kind: kind)
        }
        if json {
          let encoder = JSONEncoder()
          encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
          Console.result(String(decoding: try encoder.encode(report), as: UTF8.self))
        } else {
          Console.result(report.text)
        }
        if report.comparison?.isLoadable == false { throw ExitCode(1) }
      } catch let error as ModelError {
        Console.say("error: \(error)")
        throw ExitCode(1)
      }
    }
  }
}
