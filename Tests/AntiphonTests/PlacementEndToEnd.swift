import Foundation
import Testing

/// The same bytes wherever the nodes run.
@Suite(.serialized, .timeLimit(.minutes(15))) struct PlacementEndToEnd {
  static let placement = "antiphon: 1\nparts: { a: { nodes: [capture] }, b: { nodes: [speaker] } }\n"

  @Test func anEchoIsTheSameEverywhere() async throws {
    let folder = try Scratch()
    var bytes: [Data] = []
    let place = try folder.write(Self.placement, to: "place.yaml")
    for extra in [[], ["--inproc"], ["--place", place]] {
      let name = "echo\(bytes.count).wav"
      let command = try Command(
        ["run", Command.graph("echo.yaml"), "--set", "input=\(Command.question)", "--set", "speaker.path=\(name)"]
          + extra, in: folder)
      #expect(await command.ends() == Command.Exit(status: 0), "\(command.errors)")
      bytes.append(try #require(folder.read(name)))
    }
    #expect(isPlayable(bytes[0]))
    #expect(Set(bytes).count == 1)
  }

  /// Questions to ask: those of the shared samples if they are there, else the one that is shipped.
  static var questions: [String] {
    let samples = Command.root.deletingLastPathComponent().appendingPathComponent("shared/samples")
    let shared = ["jfk.wav", "output1.wav", "vision_qa_audio.wav"].map { samples.appendingPathComponent($0).path }
      .filter { FileManager.default.fileExists(atPath: $0) }
    return [Command.question] + shared
  }

  static let hasModels: Bool = {
    guard let folder = try? Scratch(), let doctor = try? Command(["doctor"], in: folder) else { return false }
    while isAlive(doctor.identifier) { usleep(10_000) }
    usleep(100_000)
    let models = doctor.output.split(separator: "\n").filter { line in
      line.hasPrefix("model ") && ["whisper-tiny.en", "smollm2-135m-instruct"].contains { line.contains("\($0):") }
    }
    return models.count == 2 && !models.contains { $0.contains("missing: tools/models") || $0.contains(" lacks ") }
      && doctor.output.contains("flite-speech")
  }()

  /// Mini-Omni2's graphs, how each is asked, and whether it speaks.
  static let omniGraphs: [(graph: String, settings: [String], speaks: Bool)] = [
    ("mini-omni2", ["question=\(Command.question)"], true),
    ("mini-omni2-vision", ["question=\(Command.question)"], true),
    ("mini-omni2-text", ["question.text=[Tell me a joke.]"], true),
    ("mini-omni2-picture", ["task=caption"], false),
  ]

  @Test(arguments: omniGraphs)
  func theMicroMiniOmni2sAnswerIsTheSameInOneAndThreeProcesses(
    graph: String, settings: [String], speaks: Bool
  ) async throws {
    let folder = try Scratch()
    let checkpoint = Command.root.appendingPathComponent("Tests/Goldens/mini-omni2/checkpoint").path
    var answers: [Data] = []
    var texts: Set<String> = []
    for place in [nil, "\(graph)-three-processes"] {
      let name = "answer\(answers.count).wav"
      let spoken = speaks ? ["codec=\(checkpoint)/snac_24khz", "answer=\(name)"] : []
      let overrides = (["model=\(checkpoint)/mini-omni2"] + spoken + settings).flatMap { ["--set", $0] }
      let command = try Command(
        ["run", Command.graph("\(graph).yaml")] + overrides
          + (place.map { ["--place", Command.graph("placements/\($0).yaml")] } ?? []), in: folder)
      #expect(await command.ends(within: 120) == Command.Exit(status: 0), "\(command.errors)")
      texts.insert(command.output)
      if speaks { answers.append(try #require(folder.read(name), "no answer")) }
    }
    #expect(texts.count == 1 && texts.first?.isEmpty == false)
    guard speaks else { return }
    #expect(isPlayable(answers[0]))
    #expect(answers[0] == answers[1])
  }

  @Test(.enabled(if: hasModels, "the models are not in the cache; tools/models fetch brings them"))
  func theCascadesAnswerIsTheSameInOneThreeAndFourProcesses() async throws {
    for question in Self.questions {
      let folder = try Scratch()
      var answers: [Data] = []
      for place in [nil, "three-processes", "four-processes"] {
        let name = "answer\(answers.count).wav"
        let command = try Command(
          ["run", Command.graph("cascade.yaml"), "--set", "question=\(question)", "--set", "answer=\(name)"]
            + (place.map { ["--place", Command.graph("placements/\($0).yaml")] } ?? []), in: folder)
        #expect(await command.ends(within: 600) == Command.Exit(status: 0), "\(command.errors)")
        answers.append(try #require(folder.read(name), "no answer to \(question)"))
      }
      #expect(isPlayable(answers[0]))
      #expect(Set(answers).count == 1, "\(question)")
    }
  }
}
