import Foundation
import ModelKit
import Parity
import Tensors
import Testing

/// Mini-Omni2's ears, from the release's own files.
@Suite struct MiniOmni2EncoderTests {
  struct Manifest: Decodable {
    struct Count: Decodable {
      var samples: Int
      var features: Int
    }
    var featureCounts: [Count]
  }

  private static func encoder() throws -> WhisperEncoder {
    WhisperEncoder(try ModelStore().whisperEncoder(at: Goldens.shippedRelease))
  }

  private static func samples() throws -> [Float] {
    try Goldens().tensors("speech").floats("samples").map { $0 / 32_768 }
  }

  @Test func theSpectrogramEqualsTheGolden() throws {
    let mel = LogMel(padding: .silence).features(try Self.samples())
    let expected = try Goldens().tensors("speech").floats("mel")
    let silence = try Goldens().tensors("speech").floats("mel.silence")
    let sounding = expected.count / 80
    var columns: [Float] = []
    for bin in 0..<80 { for frame in 0..<sounding { columns.append(mel.row(frame)[frame * 80 + bin]) } }
    let error = relativeError(columns, expected)
    #expect(error < 1e-4, "\(error)")
    for frame in sounding..<3_000 { #expect(relativeError(mel.row(frame), silence) < 1e-4) }
  }

  @Test func featuresEqualTheGolden() throws {
    let samples = try Self.samples()
    let features = try Self.encoder().encode(LogMel(padding: .silence).features(samples))
    let error = relativeError(features.values, try Goldens().tensors("speech").floats("encoder"))
    #expect(features.rows == 1_500 && error < 1e-4, "\(error)")
    let adapter = try MiniOmni2Adapter(ModelStore().adapters(at: Goldens.shippedRelease), .speech)
    let adapted = try adapter.apply(features.prefix(LogMel.heardRows(samples.count)))
    let adapterError = relativeError(adapted.values, try Goldens().tensors("speech").floats("adapter"))
    #expect(adapted.rows == 21 && adapterError < 1e-4, "\(adapterError)")
  }

  @Test func countsAreThoseOfTheRelease() throws {
    let data = try Data(contentsOf: URL(fileURLWithPath: Goldens.shippedFolder + "/manifest.json"))
    let counts = try JSONDecoder().decode(Manifest.self, from: data).featureCounts
    #expect(counts.count > 10)
    for count in counts { #expect(LogMel.heardRows(count.samples) == count.features, "\(count.samples) samples") }
  }

  // MARK: Files

  @Test(arguments: ["whisper-encoder": "small.pt", "vision-encoder": "ViT-B-32.pt", "adapter": "lit_model.pth"])
  func theReleasesFilesLackNothing(kind: String, file: String) throws {
    let checkpoint = try Checkpoints.open("\(Goldens.shippedRelease)/\(file)")
    let found = try #require(try CheckpointNeeds.of(kind: kind, for: checkpoint)).differences(checkpoint)
    #expect(found == CheckpointNeeds.Differences())
  }

  @Test func aFolderTellsWhichFileIsMeant() throws {
    let small = Array(try Data(contentsOf: URL(fileURLWithPath: "\(Goldens.shippedRelease)/small.pt")))
    func width(_ files: [String: [UInt8]]) throws -> Int {
      try withFolder(files) { try ModelStore().whisperEncoder(at: $0).configuration.width }
    }
    #expect(try width(["tiny.pt": small, "ViT-B-32.pt": [1]]) == 48)
    #expect(try width(["base.pt": small, "small.pt": small]) == 48)
    #expect(try width(["model.bin": SmallWhisper().weights, "small.pt": small]) == SmallWhisper.width)
    let several = try #require(throws: ModelError.self) { try width(["base.pt": small, "tiny.pt": small]) }
    #expect(several.description.contains("found base.pt, tiny.pt"), "\(several)")
    let none = try #require(throws: ModelError.self) { try width(["ViT-B-32.pt": small]) }
    #expect(none.description.contains("model.bin or small.pt: missing"), "\(none)")
    #expect(try ModelHeader.whisperWidth(Goldens.shippedRelease) == 48)
  }

  @Test func filesOfOtherModelsAreRefusedByWhatTheyAre() throws {
    for file in ["ViT-B-32.pt", "lit_model.pth"] {
      let error = try #require(throws: ModelError.self) {
        try ModelStore().whisperEncoder(at: "\(Goldens.shippedRelease)/\(file)")
      }
      #expect(error.description.contains("expected Whisper as CTranslate2 or openai-whisper writes it"), "\(error)")
    }
    let error = try #require(throws: ModelError.self) {
      try ModelStore().clip(at: "\(Goldens.shippedRelease)/small.pt")
    }
    #expect(error.description.contains("visual.conv1.weight: missing"), "\(error)")
    #expect(throws: ModelError.self) { try ModelStore().whisperDecoder(at: Goldens.shippedRelease) }
  }

  @Test func spoiltFilesOfWhisperDoNoHarm() throws {
    let small = Array(try Data(contentsOf: URL(fileURLWithPath: "\(Goldens.shippedRelease)/small.pt")))
    try Fixtures.hostileVariants(of: small, seed: 22) { bytes in
      do {
        try Fixtures.withFile(bytes) { _ = try ModelStore().whisperEncoder(at: $0) }
      } catch is ModelError {}
    }
  }

  // MARK: Adapters

  /// A release's folder with other adapters; `change` edits the configuration.
  private func adapters(
    _ tensors: [(String, [Int])], _ change: (String) -> String = { $0 }
  ) throws -> MiniOmni2Adapters {
    let path = "\(Goldens.shippedRelease)/model_config.yaml"
    let configuration = change(try String(contentsOfFile: path, encoding: .utf8))
    return try withFolder([
      "model_config.yaml": Array(configuration.utf8), "lit_model.pth": SmallTensors(tensors: tensors).bytes,
    ]) { try ModelStore().adapters(at: $0) }
  }

  private static let gated = [
    ("whisper_adapter.fc_1.weight", [160, 48]), ("whisper_adapter.fc_2.weight", [160, 48]),
    ("whisper_adapter.proj.weight", [64, 160]),
  ]

  @Test func anAdapterMayBeOneMatrix() throws {
    let model = try adapters([("whisper_adapter.weight", [64, 48]), ("whisper_adapter.bias", [64])]) {
      $0.replacingOccurrences(of: "asr_adapter: llamamlp", with: "asr_adapter: mlp")
    }
    let adapter = try MiniOmni2Adapter(model, .speech)
    // A row of zeros leaves the bias.
    let rows = try adapter.apply(Matrix(rows: 70, columns: 48))
    #expect((rows.rows, rows.columns) == (70, 64))
    #expect(rows.row(0).contains { $0 != 0 } && Array(rows.row(0)) == Array(rows.row(69)))
    #expect(throws: ModelInputError.self) { try adapter.apply(Matrix(rows: 1, columns: 49)) }
  }

  @Test func aModelWithoutEyesHasNoAdapterForThem() throws {
    let model = try adapters(Self.gated)
    _ = try MiniOmni2Adapter(model, .speech)
    let error = try #require(throws: ModelError.self) { try MiniOmni2Adapter(model, .vision) }
    #expect(error.description.hasSuffix("vision_adapter: missing"))
  }

  @Test func missingAndMisshapenAdaptersAreNamed() throws {
    for (index, tensor) in Self.gated.enumerated() {
      var tensors = Self.gated
      tensors[index].1 = [3, 3]
      let misshapen = try #require(throws: ModelError.self) { try adapters(tensors) }
      #expect(misshapen.part == tensor.0)
      tensors.remove(at: index)
      let missing = try #require(throws: ModelError.self) { try adapters(tensors) }
      #expect(missing.part == tensor.0 && missing.reason == .missing)
    }
  }
}
