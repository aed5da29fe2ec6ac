#if Flite
  import Foundation

  /// What the conversations of `antiphon-bench duplex` gave. Times in seconds.
  struct DuplexResult: Codable {
    var machine: Machine
    var kernels: String
    var time: String
    var condition: String
    /// Conversations in which the command came while the answer sounded, and those in which it then fell silent.
    var commands = 0
    var silenced = 0
    /// Conversations in which the command came too early or too late to silence anything.
    var missed = 0
    /// Answers that were interrupted though no command had been spoken yet.
    var falselySilenced = 0
    /// From the command's beginning, and its end, to the detection.
    var fromStart = Samples()
    var fromEnd = Samples()
    /// From the detection to the last sound.
    var toSilence = Samples()
    /// How far the runtime's record of what was played is from what the recording holds.
    var played = Samples()
    /// Words that a listener hears of the interrupted answers, against what the context says was heard.
    var heard = WordErrors()

    private enum CodingKeys: CodingKey {
      case machine, kernels, time, condition, commands, silenced, missed, falselySilenced
      case fromStart, fromEnd, toSilence, played
    }

    init(machine: Machine, kernels: String, time: String, condition: String) {
      (self.machine, self.kernels, self.time, self.condition) = (machine, kernels, time, condition)
    }

    mutating func add(_ course: DuplexCourse, of script: DuplexScript, _ listener: Listener) throws {
      guard let answered = course.answered, answered < script.start, course.finished.map({ $0 > script.end }) ?? true
      else {
        missed += 1
        return
      }
      commands += 1
      guard let told = course.told.first(where: { $0 > script.start }), course.isInterrupted else {
        if course.isInterrupted { falselySilenced += 1 }
        return
      }
      silenced += 1
      fromStart.add(told - script.start)
      fromEnd.add(told - script.end)
      toSilence.add(course.silence(after: told) - told)
      if let recorded = course.recorded { played.add(abs(recorded - course.played)) }
      let end = min(course.sound.count, Int((told + 0.2) * 16_000))
      let sound = course.sound[min(end, Int(answered * 16_000))..<end]
      heard.add(said: course.heard, heard: try listener.transcribe(Array(sound)))
    }

    func json() throws -> String {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
      return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    var description: String {
      let recall = Interval.proportion(silenced, of: commands)
      let share = String(format: "%.0f-%.0f %%", 100 * recall.lowerBound, 100 * recall.upperBound)
      var table = TextTable(["ms", "p50", "p95", "most"])
      for (name, samples) in [
        ("command's beginning to detection", fromStart), ("command's end to detection", fromEnd),
        ("detection to silence", toSilence), ("record of what was played, off by", played),
      ] {
        table.add([name] + [0.5, 0.95, 1].map { String(format: "%.0f", samples.quantile($0) * 1_000) })
      }
      return """
        # \(machine.description)
        # \(kernels); \(time)
        Synthetic speech, condition '\(condition)': \(silenced) of \(commands) commands silenced the answer (95 %: \
        \(share)); \(falselySilenced) answers fell silent before; in \(missed) \
        conversations there was nothing to silence

        \(table.description)

        \(heard.errors) of \(heard.words) words that the context holds as heard are not those that Whisper hears of the \
        recording (\(String(format: "%.1f %%", 100 * heard.rate)))
        """
    }
  }
#endif
