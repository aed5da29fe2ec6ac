import Foundation
import ModelKit
import Tensors
import Testing

@Suite struct WhisperTests {
  struct Golden: Decodable {
    struct Transcript: Decodable {
      var model: String
      var clip: String
      var language: String
      var text: String
      var tokens: [Int32]?
      var averageLogProbability: Float?
      var noSpeechProbability: Float?
    }
    struct Row: Decodable {
      var model: String?
      var padding: String?
      var row: Int
      var values: [Float]
    }
    var transcripts: [Transcript]
    var mel: [Row]
    var encoder: [Row]
  }

  private static func golden() throws -> Golden { try Fixtures.decode("whisper.json") }

  private static func encoder(of name: String) throws -> WhisperEncoder {
    WhisperEncoder(try ModelStore.shared.whisperEncoder(at: ModelFolder.path(name)))
  }
  private static func decoder(of name: String) throws -> WhisperDecoder {
    try WhisperDecoder(ModelStore.shared.whisperDecoder(at: ModelFolder.path(name)))
  }

  @Test func logMelEqualsTheReferences() throws {
    let samples = try #require(Fixtures.samples("question.wav"))
    let zeros = LogMel().features(samples)
    let silence = LogMel(padding: .silence).features(samples)
    for row in try Self.golden().mel {
      let features = row.padding == "zeros" ? zeros : silence
      for (found, expected) in zip(features.row(row.row), row.values) {
        #expect(abs(found - expected) < 2e-4, "\(row.padding ?? "") row \(row.row)")
      }
    }
  }

  @Test func logMelTakesAnyLength() {
    for count in [0, 1, 2, 159, 160, 201, 479_999, 480_000, 600_000] {
      let samples = (0..<count).map { sinf(Float($0) * 0.05) }
      for padding in [LogMel.Padding.zeros, .silence] {
        let features = LogMel(padding: padding).features(samples)
        #expect(features.rows == 3000)
        #expect(features.columns == 80)
        #expect(features.values.allSatisfy { $0.isFinite })
      }
    }
  }

  @Test(.needs("whisper-tiny.en")) func tinysFeaturesEqualTheReference() throws {
    try checkFeatures(of: "whisper-tiny.en")
  }
  @Test(.needs("whisper-base")) func basesFeaturesEqualTheReference() throws {
    try checkFeatures(of: "whisper-base")
  }

  private func checkFeatures(of name: String) throws {
    let encoder = try Self.encoder(of: name)
    let samples = try #require(Fixtures.samples("question.wav"))
    let features = try encoder.encode(LogMel().features(samples))
    #expect(features.rows == 1500)
    for row in try Self.golden().encoder where row.model == name {
      for (found, expected) in zip(features.row(row.row), row.values) {
        #expect(abs(found - expected) < 2e-3 * (1 + abs(expected)), "row \(row.row)")
      }
    }
  }

  @Test(.needs("whisper-tiny.en")) func tinysTranscriptsEqualTheReference() throws {
    try checkTranscripts(of: "whisper-tiny.en") { !$0.contains("/") }
  }
  @Test(.needs("whisper-base")) func basesTranscriptsEqualTheReference() throws {
    try checkTranscripts(of: "whisper-base") { !$0.contains("/") }
  }
  @Test(.needs("whisper-tiny.en"), .needsSharedClips) func tinysTranscriptsOfPeopleEqualTheReference() throws {
    try checkTranscripts(of: "whisper-tiny.en") { $0.contains("/") }
  }
  @Test(.needs("whisper-base"), .needsSharedClips) func basesTranscriptsOfPeopleEqualTheReference() throws {
    try checkTranscripts(of: "whisper-base") { $0.contains("/") }
  }

  private func checkTranscripts(of name: String, where isMeant: (_ clip: String) -> Bool) throws {
    let (encoder, decoder) = (try Self.encoder(of: name), try Self.decoder(of: name))
    for entry in try Self.golden().transcripts where entry.model == name && isMeant(entry.clip) {
      let samples = try #require(Fixtures.samples(entry.clip), "\(entry.clip)")
      var streamed = ""
      let result = try decoder.transcribe(
        encoder.encode(LogMel().features(samples)), language: entry.language, onText: { streamed += $0 })
      #expect(result.text == entry.text, "\(entry.clip)")
      #expect(streamed.trimmingCharacters(in: .whitespaces) == entry.text)
      #expect(result.isSpeech)
      if let tokens = entry.tokens { #expect(result.tokens == tokens, "\(entry.clip)") }
      if let expected = entry.averageLogProbability { #expect(abs(result.averageLogProbability - expected) < 0.01) }
      if let expected = entry.noSpeechProbability { #expect(abs(result.noSpeechProbability - expected) < 0.01) }
    }
  }

  @Test(.needs("whisper-tiny.en")) func whatATextBeginsWithIsLikelierThanWhatItDoesNot() throws {
    let (encoder, decoder) = (try Self.encoder(of: "whisper-tiny.en"), try Self.decoder(of: "whisper-tiny.en"))
    let entry = try #require(try Self.golden().transcripts.first { $0.model == "whisper-tiny.en" })
    let samples = try #require(Fixtures.samples(entry.clip))
    let features = try encoder.encode(LogMel().features(samples))
    let first = try #require(try decoder.transcribe(features).tokens.first)
    func likelihood(_ tokens: Set<Int32>) throws -> Float {
      try decoder.likelihood(of: tokens, openingTextOf: features)
    }
    #expect(try likelihood([first]) == 0)
    let others = (0..<200).map { Int32($0) }.filter { $0 != first }
    let single = try others.map { try likelihood([$0]) }
    #expect(single.allSatisfy { $0 < 0 })
    // Probabilities add up, in whatever order.
    let sum = try likelihood(Set(others))
    #expect(abs(expf(sum) - single.map { expf($0) }.reduce(0, +)) < 1e-4)
    #expect(try likelihood([]) == -.infinity)
    #expect(try likelihood([-1, 1 << 20]) == -.infinity, "there are no such tokens")
    #expect(throws: ModelInputError.self) {
      try decoder.likelihood(of: [first], openingTextOf: features, language: "de")
    }
  }

  @Test(.needs("whisper-tiny.en")) func silenceIsNotSpeech() throws {
    let (encoder, decoder) = (try Self.encoder(of: "whisper-tiny.en"), try Self.decoder(of: "whisper-tiny.en"))
    let mel = LogMel().features([Float](repeating: 0, count: 32_000))
    var streamed = ""
    let result = try decoder.transcribe(encoder.encode(mel), onText: { streamed += $0 })
    #expect(result.text.isEmpty == !result.isSpeech)
    #expect(streamed == result.text)
  }

  @Test(.needs("whisper-tiny.en")) func cancellationAndWrongInputEndTheCall() throws {
    struct Stop: Error {}
    let (encoder, decoder) = (try Self.encoder(of: "whisper-tiny.en"), try Self.decoder(of: "whisper-tiny.en"))
    #expect(throws: ModelInputError.self) { try encoder.encode(Matrix(rows: 3000, columns: 79)) }
    #expect(throws: ModelInputError.self) { try encoder.encode(Matrix(rows: 3002, columns: 80)) }
    #expect(throws: ModelInputError.self) { try decoder.transcribe(Matrix(rows: 1501, columns: 384)) }
    #expect(throws: ModelInputError.self) { try decoder.transcribe(Matrix(rows: 1500, columns: 384), language: "de") }
    var polls = 0
    let mel = Matrix(rows: 3000, columns: 80)
    #expect(throws: Stop.self) {
      try encoder.encode(mel) {
        polls += 1
        if polls == 3 { throw Stop() }
      }
    }
    let features = try encoder.encode(mel)
    #expect(throws: Stop.self) { try decoder.transcribe(features, checkCancelled: { throw Stop() }) }
  }
}
