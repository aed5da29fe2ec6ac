#if Flite
  import ArgumentParser
  import Foundation
  import ModelKit
  import Tensors

  /// What reduced precision changes, on real weights.
  struct QualityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "quality",
      abstract: "What each precision of the weights changes, on real weights: the text foretold, the words misheard.")

    @Option(help: "A file of English prose, for the language model.")
    var text: String
    @Option(help: "The language model: its name in the model cache, or its folder.")
    var languageModel = "smollm2-135m-instruct"
    @Option(help: "The Whisper model: its name in the model cache, or its folder.")
    var whisper = "whisper-tiny.en"
    @Option(help: "Threads a computation may use; the figures do not depend on it.")
    var threads = 2
    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
      guard (1...64).contains(threads) else { throw ValidationError("--threads must be from 1 to 64") }
    }

    func run() throws {
      Compute.setThreads(threads)
      let language = try LanguageQuality(
        model: ModelFolder.path(languageModel), text: String(contentsOfFile: text, encoding: .utf8))
      let encoder = try EncoderQuality(model: ModelFolder.path(whisper))
      let report = QualityReport(
        machine: .current(), kernels: Compute.description, languageModel: languageModel, tokens: language.tokens.count,
        language: try language.measure(), whisper: whisper, utterances: encoder.count, words: encoder.words,
        encoder: try encoder.measure())
      print(try json ? report.json() : report.description)
    }
  }

  private struct QualityReport: Codable, CustomStringConvertible {
    var machine: Machine
    var kernels: String
    var languageModel: String
    var tokens: Int
    var language: [LanguageQuality.Result]
    var whisper: String
    var utterances: Int
    var words: Int
    var encoder: [EncoderQuality.Result]

    func json() throws -> String {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
      return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    var description: String {
      var foretold = TextTable(["weights", "perplexity", "change %", "same token %"])
      for result in language {
        let change = result.perplexity / (language.first?.perplexity ?? .nan) - 1
        foretold.add(
          [result.precision, Self.text(result.perplexity, 3)]
            + [Self.text(100 * change, 2), Self.text(100 * result.agreement, 2)])
      }
      var heard = TextTable(
        ["weights", "word errors %", "words", "transcripts changed", "deviation p50", "most"])
      for result in encoder {
        heard.add(
          [result.precision, Self.text(100 * result.wordErrorRate, 2), "\(result.errors)", "\(result.changed)"]
            + [Self.text(result.medianDeviation, 5), Self.text(result.greatestDeviation, 5)])
      }
      return """
        # \(machine.description)
        # \(kernels)
        \(languageModel), a text of \(tokens) tokens
        \(foretold.description)

        \(whisper), encoder; \(utterances) utterances of synthetic speech, \(words) words
        \(heard.description)

        Not measured, for want of real weights: CLIP, Mini-Omni2.
        """
    }

    private static func text(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }
  }
#endif
