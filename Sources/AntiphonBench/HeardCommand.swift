#if Flite
  import ArgumentParser
  import Foundation
  import ModelKit

  /// How far off the rule is by which Mini-Omni2's text is aligned with its speech.
  struct HeardCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "heard",
      abstract: "How far off the rule is that says which words of an answer have been heard (synthetic speech).")

    func run() throws {
      print("# \(SpokenAnswers.texts.count) answers, spoken by flite: synthetic speech")
      var table = TextTable(["voice", "words", "rule", "error s p50", "p90", "most", "words off p50", "p90"])
      for voice in ["rms", "slt"] {
        let answers = try SpokenAnswers.spoken(by: voice)
        for isComplete in [true, false] {
          var (seconds, words) = (Samples(), Samples())
          for answer in answers { compare(answer, isComplete, &seconds, &words) }
          let count = answers.reduce(0) { $0 + $1.words.count }
          table.add(
            [voice, "\(count)", isComplete ? "answer complete" : "still being made"]
              + [0.5, 0.9, 1].map { String(format: "%.2f", seconds.quantile($0)) }
              + [0.5, 0.9].map { String(format: "%.0f", words.quantile($0)) })
        }
      }
      print(table.description)
    }

    /// Compares each word's end as aligned with the one that the voice knows, and, when the speech is cut there, the words
    /// that the record would hold with those that had been said.
    private func compare(
      _ answer: SpokenAnswers.Answer, _ isComplete: Bool, _ seconds: inout Samples, _ words: inout Samples
    ) {
      var alignment = TextAlignment()
      var pieces = answer.words.map { alignment.append($0.text) }
      if isComplete { pieces = alignment.completed(duration: answer.duration) }
      for (index, (piece, word)) in zip(pieces, answer.words).enumerated() {
        seconds.add(abs(piece.end - word.end))
        let heard = pieces.filter { $0.end <= word.end }.count
        words.add(Double(abs(heard - (index + 1))))
      }
    }
  }
#endif
