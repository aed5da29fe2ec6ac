#if Flite && EchoCancelling
  import Catalog
  import DataflowRuntime
  import DataflowTesting
  import FliteSpeech
  import Foundation
  import GraphFile
  import Messages
  import ModelKit
  import Testing

  /// `Graphs/duplex.yaml` in simulated time: a file for a microphone, a device that nobody hears, and otherwise what a user
  /// has. The speech is synthetic, and computing takes no time, so that nothing depends on the machine.
  @Suite(
    .enabled(
      if: ["smollm2-135m-instruct", "whisper-tiny.en", "silero-vad"].allSatisfy { (try? ModelFolder.path($0)) != nil },
      "needs the models: tools/models fetch"))
  struct DuplexTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()

    /// What the recorder wrote down, as far as the tests ask.
    private struct Course: Decodable {
      struct Question: Decodable { var text: String }
      struct Command: Decodable { var label: String, start: Double, end: Double, told: Double }
      struct Answer: Decodable { var outcome: String, start: Double, end: Double, played: Double, heard: String }
      var questions: [Question]
      var commands: [Command]
      var answers: [Answer]
    }

    /// Holds a conversation of which the user says these things at these seconds.
    private static func talk(
      _ lines: [(second: Double, text: String, voice: String)], seconds: Double, settings: [String] = [],
      swaps: [String] = []
    ) async throws -> (course: Course, run: TestRun, assistant: [Float]) {
      let folder = FileManager.default.temporaryDirectory.appendingPathComponent("duplex-\(UUID().uuidString)")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(at: folder) }
      var samples = [Float](repeating: 0, count: Int(seconds * 16_000))
      for line in lines {
        let spoken = try Flite.speak(line.text, voice: line.voice, speed: 1).samples
        for (index, sample) in spoken.enumerated() { samples[Int(line.second * 16_000) + index] += sample }
      }
      let listen = folder.appendingPathComponent("user.wav")
      try wave(samples).write(to: listen)
      let graph = root.appendingPathComponent("Graphs/duplex.yaml").path
      let record = folder.appendingPathComponent("talk.wav").path
      let overrides = ["listen=\(listen.path)", "record=\(record)", "pace=device", "ahead=30"] + settings
      let nodes = try GraphDescription.load(path: graph, overrides: overrides, swaps: swaps).nodes.count
      let run = try TestRun(
        file: graph, overrides: overrides, swaps: swaps,
        catalog: NodeCatalog(nodes: Catalog.nodes, messages: MessageTypes.all),
        clock: SimulatedTime(nodes: nodes, cost: 0))
      #expect(try await run.run().failure == nil)
      let written = try Data(contentsOf: folder.appendingPathComponent("talk.json"))
      let sound = [UInt8](try Data(contentsOf: URL(fileURLWithPath: record)))
      let assistant = stride(from: 46, to: sound.count - 1, by: 4).map {
        Float(Int16(bitPattern: UInt16(sound[$0]) | UInt16(sound[$0 + 1]) << 8)) / 32_768
      }
      return (try JSONDecoder().decode(Course.self, from: written), run, assistant)
    }

    /// A WAV file of 16 bits at 16 kHz.
    private static func wave(_ samples: [Float]) -> Data {
      var data = Data("RIFF".utf8)
      func put<I: FixedWidthInteger>(_ value: I) {
        withUnsafeBytes(of: value.littleEndian) { data.append(contentsOf: $0) }
      }
      put(UInt32(36 + 2 * samples.count))
      data.append(contentsOf: "WAVEfmt ".utf8)
      put(UInt32(16))
      for value in [UInt16(1), 1] { put(value) }
      for value in [UInt32(16_000), 32_000] { put(value) }
      for value in [UInt16(2), 16] { put(value) }
      data.append(contentsOf: "data".utf8)
      put(UInt32(2 * samples.count))
      for sample in samples { put(Int16((max(-1, min(1, sample)) * 32_767).rounded())) }
      return data
    }

    private static let rome = (second: 0.5, text: "Tell me about the history of Rome.", voice: "slt")
    private static let france = (second: 9.5, text: "What is the capital of France?", voice: "slt")

    @Test(.timeLimit(.minutes(5))) func aCommandSilencesTheAnswerAndTalkDoesNot() async throws {
      let (course, run, assistant) = try await Self.talk(
        [
          Self.rome, (4.5, "It is going to rain, I think.", "kal16"), (7.5, "Stop.", "slt"), Self.france,
        ], seconds: 15)
      #expect(course.questions.map(\.text) == [Self.rome.text, Self.france.text])
      #expect(course.commands.map(\.label) == ["stop"])
      #expect(course.answers.map(\.outcome) == ["cut", "finished"])
      #expect(course.answers.last?.heard == "The capital of France is Paris.")
      #expect(run.printed.last == "answer: The capital of France is Paris.")
      // The record says what was played and heard, and so does the recording.
      let cut = try #require(course.answers.first)
      let turn = try #require(run.turns.first)
      #expect(turn.outcome == .interrupted(reason: "'stop'"))
      #expect(abs(Double(turn.played ?? 0) / 1e9 - cut.played) < 0.001)
      #expect(turn.heard == cut.heard && !cut.heard.isEmpty)
      #expect(run.shown.contains { $0.contains(cut.heard) }, "\(cut.heard) of \(run.shown.last ?? "")")
      // Silent from the moment that is told until the next answer.
      let silence = Int((cut.end + 0.02) * 16_000)..<Int(((course.answers.last?.start ?? 0) - 0.02) * 16_000)
      #expect(assistant[silence].allSatisfy { abs($0) < 1e-3 })
      let told = try #require(course.commands.first?.told)
      #expect(cut.end - told < 0.05, "\(cut.end) after \(told)")
    }

    @Test(.timeLimit(.minutes(5))) func withoutACommandTheAnswerIsHeardToItsEnd() async throws {
      let (course, run, _) = try await Self.talk(
        [(0.5, Self.france.text, "slt"), (3.6, "Don't stop here.", "kal16")], seconds: 9)
      #expect(course.commands.isEmpty)
      #expect(course.answers.map(\.outcome) == ["finished"])
      #expect(run.turns.map(\.outcome) == [.completed])
    }

    @Test(.timeLimit(.minutes(5))) func anotherDetectorIsAnotherWayToInterrupt() async throws {
      let (course, run, _) = try await Self.talk(
        [Self.rome, (6, Self.france.text, "slt")], seconds: 12, swaps: ["interrupt-detector=speech-detector"])
      // Nobody said "stop": the question itself interrupted.
      #expect(course.questions.last?.text == Self.france.text)
      #expect(run.turns.first?.outcome == .interrupted(reason: "speech"))
      #expect(course.answers.last?.heard == "The capital of France is Paris.")
    }

    /// With random weights, at a threshold that the very first frame reaches, and a check that lets all pass: what is
    /// tested is the graph.
    @Test(.timeLimit(.minutes(5))) func theModelsOwnListenerTakesTheDetectorsPlace() async throws {
      let (files, path) = (FileManager.default, NSTemporaryDirectory() + "listening-\(UUID().uuidString)")
      try files.createDirectory(atPath: path, withIntermediateDirectories: true)
      defer { try? files.removeItem(atPath: path) }
      let goldens = Self.root.appendingPathComponent("Tests/Goldens/mini-omni2/checkpoint").path
      for (name, source) in [
        ("lit_model.pth", "mini-omni2/lit_model.pth"), ("model_config.yaml", "mini-omni2/model_config.yaml"),
        ("snac", "snac_24khz"),
      ] { try files.createSymbolicLink(atPath: "\(path)/\(name)", withDestinationPath: "\(goldens)/\(source)") }
      let listener = """
        {"format": "antiphon-listener-1", "language": "en", "commands": ["stop", "wait"], "threshold": 0.01,
         "average": 1, "frames": 24}
        """
      try Data(listener.utf8).write(to: URL(fileURLWithPath: "\(path)/listener.json"))
      let (course, run, _) = try await Self.talk(
        [(1.5, Self.france.text, "slt")], seconds: 8,
        settings: ["interrupt-detector.model=\(path)", "detection-check.threshold=-60"],
        swaps: ["interrupt-detector=listener-detector"])
      #expect(course.commands.map(\.label) == ["irq"])
      #expect(course.answers.map(\.outcome) == ["finished"])
      #expect(run.turns.map(\.outcome) == [.completed])
    }

    @Test(.timeLimit(.minutes(5))) func aFalseAlarmIsForgiven() async throws {
      let (course, run, _) = try await Self.talk(
        [(0.5, Self.france.text, "slt"), (3.4, "Stop.", "slt")], seconds: 14,
        settings: ["voice-activity.resume-after=1500"])
      #expect(course.commands.map(\.label) == ["stop"])
      #expect(course.answers.map(\.outcome) == ["finished"])
      #expect(course.answers.first?.heard == "The capital of France is Paris.")
      #expect(run.turns.map(\.outcome) == [.completed])
    }
  }
#endif
