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
    return !["missing: tools/models", " lacks "].contains { doctor.output.contains($0) }
      && doctor.output.contains("flite-speech")
  }()

  @Test func theMicroMiniOmni2sAnswerIsTheSameInOneAndThreeProcesses() async throws {
    let folder = try Scratch()
    let checkpoint = Command.root.appendingPathComponent("Tests/Goldens/mini-omni2/checkpoint").path
    var answers: [Data] = []
    var texts: Set<String> = []
    for place in [nil, "mini-omni2-three-processes"] {
      let name = "answer\(answers.count).wav"
      let command = try Command(
        [
          "run", Command.graph("mini-omni2.yaml"), "--set", "model=\(checkpoint)/mini-omni2", "--set",
          "codec=\(checkpoint)/snac_24khz", "--set", "question=\(Command.question)", "--set", "answer=\(name)",
        ] + (place.map { ["--place", Command.graph("placements/\($0).yaml")] } ?? []), in: folder)
      #expect(await command.ends(within: 120) == Command.Exit(status: 0), "\(command.errors)")
      texts.insert(command.output)
      answers.append(try #require(folder.read(name), "no answer"))
    }
    #expect(isPlayable(answers[0]))
    #expect(Set(answers).count == 1 && texts.count == 1 && texts.first?.hasPrefix("answer: ") == true)
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
