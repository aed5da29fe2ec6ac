#if Flite
  import FliteSpeech
  import Foundation
  import ModelKit
  import Tensors

  /// What each precision of Whisper's encoder changes: which words are misheard of known, synthesized speech, and how
  /// far its features move. The decoder computes with its weights as stored throughout.
  struct EncoderQuality {
    struct Result: Codable {
      var precision: String
      var errors: Int
      var wordErrorRate: Double
      /// Transcripts of which some word is another than with the weights as stored.
      var changed: Int
      /// Of a feature from that of the weights as stored, |a - b| / |b|: half are below, and none above.
      var medianDeviation: Double
      var greatestDeviation: Double
    }

    /// One sentence as spoken.
    private struct Utterance {
      var text: String
      var mel: Matrix
      /// Features of what was heard.
      var rows: Int
    }
    /// What an encoder makes of one.
    private struct Heard {
      var text: String
      var features: Matrix
    }

    let model: String
    private let utterances: [Utterance]

    /// - Throws: `FliteError`; `ModelError` for a model that cannot be read.
    init(model: String) throws {
      self.model = model
      let mel = LogMel(bins: try ModelStore.shared.whisperEncoder(at: model).configuration.melBins)
      utterances = try SpokenSentences.speeds.flatMap { speed in
        try SpokenSentences.texts.enumerated().map { index, text in
          let voice = SpokenSentences.voices[index % SpokenSentences.voices.count]
          let samples = try Flite.speak(text, voice: voice, speed: speed).samples
          return Utterance(text: text, mel: mel.features(samples), rows: LogMel.heardRows(samples.count))
        }
      }
    }

    var count: Int { utterances.count }
    var words: Int { utterances.reduce(0) { $0 + WordErrors.words(of: $1.text).count } }

    func measure() throws -> [Result] {
      let decoder = try WhisperDecoder(ModelStore.shared.whisperDecoder(at: model))
      var stored: [Heard] = []
      return try WeightPrecision.allCases.map { precision in
        let encoder = WhisperEncoder(try ModelStore.shared.whisperEncoder(at: model, weights: precision))
        let heard = try utterances.map { utterance in
          let features = try encoder.encode(utterance.mel)
          return Heard(text: try decoder.transcribe(features).text, features: features.prefix(utterance.rows))
        }
        if precision == .stored { stored = heard }
        return compared(heard, with: stored, precision)
      }
    }

    private func compared(_ heard: [Heard], with stored: [Heard], _ precision: WeightPrecision) -> Result {
      var (errors, deviations, changed) = (WordErrors(), Samples(), 0)
      for (utterance, (one, other)) in zip(utterances, zip(heard, stored)) {
        errors.add(said: utterance.text, heard: one.text)
        if WordErrors.words(of: one.text) != WordErrors.words(of: other.text) { changed += 1 }
        for row in 0..<one.features.rows {
          deviations.add(Self.deviation(one.features.row(row), from: other.features.row(row)))
        }
      }
      return Result(
        precision: precision.rawValue, errors: errors.errors, wordErrorRate: errors.rate, changed: changed,
        medianDeviation: deviations.median, greatestDeviation: deviations.most)
    }

    private static func deviation(_ feature: ArraySlice<Float>, from other: ArraySlice<Float>) -> Double {
      let difference = zip(feature, other).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
      let size = other.reduce(0) { $0 + $1 * $1 }
      return Double((difference / size).squareRoot())
    }
  }
#endif
