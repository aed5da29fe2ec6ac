#if Flite
  import FliteSpeech
  import Foundation

  /// What a user says: a question, and a command into its answer.
  struct DuplexScript {
    /// Mono, 16 kHz.
    var samples: [Float]
    /// The command, and where it stands: seconds.
    var command: String
    var start: Double
    var end: Double

    static let rate = 16_000

    /// Questions whose answers take a while.
    private static let questions = [
      "Tell me about the history of Rome.", "How does a bicycle work?", "Tell me a story about a fox.",
      "What is the difference between a river and a lake?", "Explain how bread is made.",
      "Why is the sky blue?",
    ]

    /// - Returns: so many, with the commands of the recordings in turn; the same each time.
    static func all(_ count: Int, from folder: String, condition: String) throws -> [DuplexScript] {
      let set = try SoundSet.load(folder)
      let recordings = set.recordings.filter { $0.kind == .commands && $0.condition == condition }
      var commands: [(text: String, samples: [Float])] = []
      for recording in recordings {
        let samples = try set.samples(recording.file, in: folder)
        for said in recording.utterances {
          let range = max(0, Int(said.start * Double(rate)))..<min(samples.count, Int(said.end * Double(rate)))
          commands.append((said.text, Array(samples[range])))
        }
      }
      guard !commands.isEmpty else {
        let known = Set(set.recordings.filter { $0.kind == .commands }.map(\.condition)).sorted()
        throw BenchError("\(folder) has no commands in condition '\(condition)', only \(known.joined(separator: ", "))")
      }
      var random = SplitMix(state: 5)
      let spoken = try questions.map { try Flite.speak($0, voice: "slt", speed: 1).samples }
      return (0..<count).map { index in
        let question = spoken[index % spoken.count]
        let command = commands[Int(random.next() % UInt64(commands.count))]
        var samples = [Float](repeating: 0, count: rate / 2) + question
        // The answer sounds about a second after the question's end.
        samples += [Float](repeating: 0, count: rate * 5 / 2 + Int(random.next() % UInt64(2 * rate)))
        let start = samples.count
        samples += command.samples
        let end = samples.count
        samples += [Float](repeating: 0, count: 3 * rate)
        return DuplexScript(
          samples: samples, command: command.text, start: Double(start) / Double(rate),
          end: Double(end) / Double(rate))
      }
    }
  }
#endif
