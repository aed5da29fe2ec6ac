#if Images
  import Foundation
  import ModelKit
  import Testing

  /// `antiphon-bench omni` with the weights that are shipped. The questions are synthetic speech.
  @Suite(
    .timeLimit(.minutes(3)),
    .enabled(
      if: ["whisper-tiny.en", "whisper-base"].allSatisfy { (try? ModelFolder.path($0)) != nil },
      "needs the models: tools/models fetch whisper-tiny.en whisper-base"))
  struct OmniEvaluationEndToEnd {
    /// What the test looks at in the JSON.
    private struct Report: Decodable {
      struct Row: Decodable { var measure, reached, target: String }
      var rows: [Row]
    }

    /// The questions that the demonstrations ask.
    private static func questions(in folder: Scratch) throws {
      let manifest = """
        {"version": 1, "sets": {"phrasings": "known voices"}, "questions": [
          {"set": "phrasings", "sound": "0.wav", "picture": "0.png", "question": "Is there a yellow star?",
           "answer": "Yes, there is a yellow star.", "guess": "No, there is no yellow star.", "topic": "pictures",
           "kind": "exists", "voice": "hibari/heart"},
          {"set": "phrasings", "sound": "1.wav", "question": "What is the capital of France?",
           "answer": "The capital of France is Paris.", "topic": "facts", "kind": "facts", "voice": "flite/slt"}
        ]}
        """
      let place = URL(fileURLWithPath: folder.path)
      try Data(manifest.utf8).write(to: place.appendingPathComponent("manifest.json"))
      for (file, copy) in [
        ("audio/picture-question.wav", "0.wav"), ("audio/question.wav", "1.wav"), ("pictures/omni.png", "0.png"),
      ] {
        try FileManager.default.copyItem(atPath: Command.graph(file), toPath: "\(folder.path)/\(copy)")
      }
    }

    @Test func twoQuestionsAreAskedAndJudged() async throws {
      let folder = try Scratch()
      try Self.questions(in: folder)
      let ask = try Command(
        ["omni", "ask", ".", "--out", "answers", "--graph", Command.graph("omni.yaml"), "--recordings", "1.wav"],
        program: Command.bench, in: folder)
      #expect(await ask.ends() == Command.Exit(status: 0), "\(ask.errors)")
      let listen = try Command(["omni", "listen", "answers"], program: Command.bench, in: folder)
      #expect(await listen.ends() == Command.Exit(status: 0), "\(listen.errors)")
      let table = try Command(
        ["omni", "table", "answers", "--json", "--markdown", "table.md"], program: Command.bench, in: folder)
      #expect(await table.ends() == Command.Exit(status: 0), "\(table.errors)")
      let rows = try JSONDecoder().decode(Report.self, from: Data(table.output.utf8)).rows
      func reached(_ measure: String) -> String { rows.first { $0.measure.hasPrefix(measure) }?.reached ?? "" }
      #expect(reached("written answer right, known voices").hasSuffix("2 of 2"))
      #expect(reached("of these about a picture; Whisper base").hasSuffix("1 of 1"))
      // That the capital of France is Paris is written, and not yet said so that Whisper surely hears it.
      #expect(reached("spoken answer right, known voices; Whisper base").hasSuffix(" of 2"))
      #expect(reached("written and spoken answer agree; Whisper base").hasSuffix(" of 2"))
      #expect(reached("the same, always answered as is right most often").hasSuffix("0 of 1"))
      #expect(
        reached("word error rate of questions written down, known voices; Whisper tiny.en").hasPrefix("0.0 %"))
      let markdown = try String(contentsOfFile: "\(folder.path)/table.md", encoding: .utf8)
      #expect(markdown.contains("| measure | reached (95 %) | target |\n| --- | --- | --- |"))
      // A recording, of which it is not known what should be answered.
      #expect(markdown.contains("| 1.wav | What is the capital of France? |"))
    }

    @Test func aFolderWithoutQuestionsIsRefused() async throws {
      let folder = try Scratch()
      let ask = try Command(["omni", "ask", ".", "--out", "answers"], program: Command.bench, in: folder)
      #expect(await ask.ends() != Command.Exit(status: 0))
      #expect(ask.errors.contains("tools/train/omni domain sets"))
    }
  }
#endif
