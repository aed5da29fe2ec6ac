import Foundation
import ModelKit
import Testing

/// Silero's detector beside onnxruntime's results, and what it makes of wrong files and sound.
@Suite struct SileroTests {
  private struct Golden: Decodable {
    struct Clip: Decodable {
      var clip: String
      var probabilities: [Float]
    }
    var clips: [Clip]
  }

  /// A file of random weights.
  static func withRandomModel<Result>(
    _ change: (inout SmallTensors) -> Void = { _ in }, _ body: (String) throws -> Result
  ) throws -> Result {
    var tensors = SmallTensors(tensors: CheckpointNeeds.sileroTensors.map { ("model.\($0.name)", $0.shape) })
    change(&tensors)
    return try Fixtures.withFile(tensors.bytes, body)
  }

  private static func probabilities(_ samples: [Float], _ runner: SileroRunner) -> [Float] {
    samples.withUnsafeBufferPointer { samples in
      stride(from: 0, through: samples.count - SileroModel.frame, by: SileroModel.frame).map {
        runner.process(UnsafeBufferPointer(rebasing: samples[$0..<$0 + SileroModel.frame]))
      }
    }
  }

  @Test(.needs("silero-vad")) func probabilitiesEqualTheReference() throws {
    let golden: Golden = try Fixtures.decode("silero.json")
    let model = try ModelStore.shared.silero(at: ModelFolder.path("silero-vad"))
    var compared = 0
    for clip in golden.clips {
      guard let samples = Fixtures.samples(clip.clip) else { continue }
      let found = Self.probabilities(samples, SileroRunner(model))
      #expect(found.count == clip.probabilities.count)
      for (frame, (probability, expected)) in zip(found, clip.probabilities).enumerated() {
        #expect(abs(probability - expected) < 1e-4, "\(clip.clip), frame \(frame)")
      }
      compared += found.count
    }
    #expect(compared > 200)
  }

  @Test(.needs("silero-vad")) func theReleaseIsAllThatIsNeeded() throws {
    let checkpoint = try Checkpoints.open(ModelFolder.path("silero-vad"))
    let needs = try #require(try CheckpointNeeds.of(kind: "voice-activity", for: checkpoint))
    #expect(try needs.differences(checkpoint) == CheckpointNeeds.Differences())
    #expect(ModelFolder.missingFiles(at: try ModelFolder.path("silero-vad")).isEmpty)
  }

  @Test func aRunnerThatIsResetIsLikeNew() throws {
    try Self.withRandomModel { path in
      let model = try SileroModel(path: path)
      let samples = try #require(Fixtures.samples("question.wav"))
      let runner = SileroRunner(model)
      let first = Self.probabilities(samples, runner)
      #expect(Set(first).count > 10, "it hears something")
      #expect(first.allSatisfy { (0...1).contains($0) })
      #expect(Self.probabilities(samples, runner) != first, "it remembers")
      runner.reset()
      #expect(Self.probabilities(samples, runner) == first)
    }
  }

  @Test func samplesThatAreNotNumbersAreSilence() throws {
    try Self.withRandomModel { path in
      let model = try SileroModel(path: path)
      let silence = Self.probabilities([Float](repeating: 0, count: 5_120), SileroRunner(model))
      for other in [Float.nan, .infinity] {
        #expect(Self.probabilities([Float](repeating: other, count: 5_120), SileroRunner(model)) == silence)
      }
      // A shorter frame is filled up.
      let short = [Float](repeating: 0, count: 7).withUnsafeBufferPointer { SileroRunner(model).process($0) }
      #expect(short == silence[0])
    }
  }

  @Test func filesOfOtherShapesAreRefused() throws {
    func reason(_ change: (inout SmallTensors) -> Void) throws -> String {
      try Self.withRandomModel(change) { path in
        try #require(throws: ModelError.self) { try SileroModel(path: path) }.description
      }
    }
    let eight = try reason { $0.reshape("model.stft.forward_basis_buffer", [130, 1, 128]) }
    #expect(eight.contains("expected shape [258, 1, 256], which is for 16 kHz, found [130, 1, 128]"))
    let narrow = try reason { $0.reshape("model.decoder.rnn.weight_hh", [512, 64]) }
    #expect(narrow.contains("model.decoder.rnn.weight_hh: expected shape [512, 128], found [512, 64]"))
    let missing = try reason { $0.tensors.removeAll { $0.name.hasSuffix("encoder.2.reparam_conv.bias") } }
    #expect(missing.contains("model.encoder.2.reparam_conv.bias: missing"))
    #expect(try reason { $0.tensors.removeFirst() }.contains("stft.forward_basis_buffer: missing"))
  }

  @Test func verdictsHoldOnToSpeech() throws {
    try Self.withRandomModel { path in
      let samples = try #require(Fixtures.samples("weather.wav"))
      let model = try SileroModel(path: path)
      let probabilities = Self.probabilities(samples, SileroRunner(model))
      let middle = probabilities.sorted()[probabilities.count / 2]
      try #require((0.2...0.9).contains(middle))
      func verdicts(holding: Bool) -> [SpeechVerdict] {
        var judge = SileroJudge(model, threshold: middle)
        return samples.withUnsafeBufferPointer { samples in
          probabilities.indices.map {
            let start = $0 * judge.frame
            return judge.judge(UnsafeBufferPointer(rebasing: samples[start..<start + judge.frame]), holding: holding)
          }
        }
      }
      #expect(verdicts(holding: false).map(\.isSpeech) == probabilities.map { $0 > middle })
      #expect(verdicts(holding: true).map(\.isSpeech) == probabilities.map { $0 > middle - 0.15 })
    }
  }
}
