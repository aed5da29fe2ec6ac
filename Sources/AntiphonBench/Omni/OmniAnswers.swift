import Foundation

/// How a question was put to the graph.
package enum OmniCondition: String, Codable, Sendable, CaseIterable {
  /// With its picture, if it is about one.
  case asked
  /// Not about a picture, while one is shown.
  case beside
  /// About a picture, while another one is shown.
  case hidden
  /// The sound of another question in the place of its own.
  case shuffled
  /// To be written down, not answered.
  case transcribed
}

/// What the graph made of a question.
package struct OmniAnswer: Codable, Sendable {
  package var condition: OmniCondition
  package var question: QuestionSet.Question
  package var text = ""
  /// The file of the spoken answer, from the folder of answers; nil where nothing was said.
  package var sound: String?
  /// Utterances that were heard in the question; 1 if all went well.
  package var turns = 0
  /// Seconds from the question's end to the answer's first sound and to its last, and the answer's length.
  package var firstAudio: Double?
  package var answered: Double?
  package var audio: Double?
  /// What recognizers hear: of the answer, or where the question is to be written down, of the question.
  package var heard: [String: String] = [:]

  package init(_ condition: OmniCondition, _ question: QuestionSet.Question) {
    (self.condition, self.question) = (condition, question)
  }
}

/// A recording of a person, of which it is not known what should be answered.
package struct OmniRecording: Codable, Sendable {
  package var file: String
  /// What a recognizer hears in it, and what the model writes down.
  package var heard = ""
  package var transcript = ""
  /// What the model answers, and what a recognizer hears of that.
  package var answer = ""
  package var answerHeard = ""

  /// The file of the spoken answer to a recording, by its number.
  static func answerFile(_ index: Int) -> String { String(format: "people-%03d.wav", index) }
}

/// All answers to sets of questions: what `antiphon-bench omni ask` writes, `omni listen` adds to and
/// `omni table` reads.
package struct OmniAnswers: Codable, Sendable {
  package var machine: String
  package var kernels: String
  package var graph: String
  package var settings: [String]
  /// The folder of the questions.
  package var questions: String
  /// What each set is, by its name.
  package var about: [String: String]
  package var answers: [OmniAnswer] = []
  package var recordings: [OmniRecording] = []
  /// The process at its largest while the graph ran, pages of mapped files included.
  package var peakBytes = 0
  /// The Whisper models that wrote down the answers, and the questions.
  package var judge = "whisper-base"
  package var ears = "whisper-tiny.en"

  package static let file = "answers.json"

  package init(
    machine: String, kernels: String, graph: String, settings: [String], questions: String, about: [String: String]
  ) {
    (self.machine, self.kernels, self.graph, self.settings) = (machine, kernels, graph, settings)
    (self.questions, self.about) = (questions, about)
  }

  package func write(to folder: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    try encoder.encode(self).write(to: URL(fileURLWithPath: "\(folder)/\(Self.file)"), options: .atomic)
  }

  /// What another recognizer heard, `heard-*.json` in the folder.
  private struct Heard: Decodable {
    var recognizer: String
    /// Text by the sound's file.
    var heard: [String: String]
  }

  /// Reads the answers of a folder.
  ///
  /// - Parameter withOthers: with what other recognizers have heard of them.
  package init(folder: String, withOthers: Bool = true) throws {
    let place = URL(fileURLWithPath: folder)
    guard let data = try? Data(contentsOf: place.appendingPathComponent(Self.file)) else {
      throw BenchError("\(folder)/\(Self.file) cannot be read; antiphon-bench omni ask writes it")
    }
    do {
      self = try JSONDecoder().decode(Self.self, from: data)
    } catch {
      let problem = QuestionSet.problem(error)
      throw BenchError("\(folder)/\(Self.file) is not what antiphon-bench omni ask writes: \(problem)")
    }
    guard withOthers else { return }
    let files = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    for file in files where file.hasPrefix("heard-") && file.hasSuffix(".json") {
      guard let data = try? Data(contentsOf: place.appendingPathComponent(file)),
        let other = try? JSONDecoder().decode(Heard.self, from: data)
      else { throw BenchError("\(folder)/\(file) does not tell of what a recognizer heard") }
      for index in answers.indices where answers[index].condition == .asked {
        // What said nothing was heard as nothing.
        answers[index].heard[other.recognizer] = answers[index].sound.flatMap { other.heard[$0] } ?? ""
      }
    }
  }
}
