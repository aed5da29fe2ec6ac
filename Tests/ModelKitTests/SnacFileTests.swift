import Foundation
import ModelKit
import Parity
import Tensors
import Testing

/// SNAC's files in every form that they come in, and unsound ones.
@Suite struct SnacFileTests {
  /// The micro codec's tensors, to be written otherwise.
  private struct Tensors {
    var tensors: [(name: String, shape: [Int], values: [Float])] = []

    init() throws {
      let file = try Checkpoints.open(SnacGoldens.modelFolder)
      for stored in file.tensors { tensors.append((stored.name, stored.shape, try stored.tensor().floats())) }
    }

    /// A safetensors file.
    var bytes: [UInt8] {
      var (data, entries) = (ByteWriter(), [String]())
      for (name, shape, values) in tensors {
        let start = data.bytes.count
        for value in values { data.put(value) }
        entries.append(
          "\"\(name)\": {\"dtype\": \"F32\", \"shape\": \(shape), \"data_offsets\": [\(start), \(data.bytes.count)]}")
      }
      let header = Array("{\(entries.joined(separator: ", "))}".utf8)
      var file = ByteWriter()
      file.put(UInt64(header.count))
      return file.bytes + header + data.bytes
    }

    mutating func rename(_ change: (String) -> String) {
      for index in tensors.indices { tensors[index].name = change(tensors[index].name) }
    }
  }

  private static var settings: String {
    get throws { try String(contentsOfFile: "\(SnacGoldens.modelFolder)/config.json", encoding: .utf8) }
  }

  private func load(_ tensors: Tensors, settings: String? = nil) throws -> SnacModel {
    let settings = try settings ?? Self.settings
    return try withFolder(["config.json": Array(settings.utf8), "model.safetensors": tensors.bytes]) {
      try ModelStore().snac(at: $0)
    }
  }

  private func wave(_ model: SnacModel) throws -> [Float] {
    let goldens = try SnacGoldens()
    return try SnacDecoder(model).decode(goldens.frames("random"))
  }

  @Test(arguments: ["pytorch_model.bin", "config.json"]) func aSpoiltCodecDoesNoHarm(spoilt: String) throws {
    var files: [String: [UInt8]] = [:]
    for name in ["pytorch_model.bin", "config.json"] {
      files[name] = Array(try Data(contentsOf: URL(fileURLWithPath: "\(SnacGoldens.modelFolder)/\(name)")))
    }
    let whole = try #require(files[spoilt])
    try Fixtures.hostileVariants(of: whole, seed: 24) { bytes in
      files[spoilt] = bytes
      do {
        _ = try withFolder(files) { try SnacDecoder(ModelStore().snac(at: $0)) }
      } catch is ModelError {}
    }
  }

  @Test func everySpellingOfTheWeightNormIsTheSameModel() throws {
    let goldens = try SnacGoldens()
    let expected = try goldens.floats("random.wave")
    var tensors = try Tensors()
    #expect(try relativeError(wave(load(tensors)), expected) <= 1e-4)
    tensors.rename {
      $0.replacing("parametrizations.weight.original0", with: "weight_g")
        .replacing("parametrizations.weight.original1", with: "weight_v")
    }
    #expect(try relativeError(wave(load(tensors)), expected) <= 1e-4)
    // Folded already.
    for index in tensors.tensors.indices where tensors.tensors[index].name.hasSuffix("weight_v") {
      let lengths = tensors.tensors[index - 1].values
      let count = tensors.tensors[index].values.count / lengths.count
      for (row, length) in lengths.enumerated() {
        let range = row * count..<(row + 1) * count
        let norm = tensors.tensors[index].values[range].reduce(0) { $0 + $1 * $1 }.squareRoot()
        for place in range { tensors.tensors[index].values[place] *= length / norm }
      }
    }
    tensors.tensors.removeAll { $0.name.hasSuffix("weight_g") }
    tensors.rename { $0.replacing("weight_v", with: "weight") }
    #expect(try relativeError(wave(load(tensors)), expected) <= 1e-4)
  }

  @Test func theDeclarationNamesWhatIsRead() throws {
    let file = try Checkpoints.open(SnacGoldens.modelFolder)
    let needs = try #require(try CheckpointNeeds.of(kind: "snac-decoder", for: file))
    #expect(try needs.differences(file) == CheckpointNeeds.Differences())
    #expect(try needs.tensors(file).count == file.tensors.count)
    #expect(ModelFolder.missingFiles(at: SnacGoldens.modelFolder).isEmpty)
    let all = try Tensors()
    for index in stride(from: 0, to: all.tensors.count, by: 9) {
      var tensors = all
      let name = tensors.tensors.remove(at: index).name
      let error = try #require(throws: ModelError.self, "\(name)") { try load(tensors) }
      // Without its length a matrix is looked for under its plain name.
      let plain = name.replacing("parametrizations.weight.original0", with: "weight")
      #expect(error.part == name || error.part == plain, "\(name): \(error)")
    }
  }

  @Test func aMisshapenTensorIsNamed() throws {
    var tensors = try Tensors()
    let index = try #require(tensors.tensors.firstIndex { $0.name == "decoder.model.2.block.1.bias" })
    tensors.tensors[index].shape = [tensors.tensors[index].shape[0] / 2]
    tensors.tensors[index].values.removeLast(tensors.tensors[index].values.count / 2)
    let error = try #require(throws: ModelError.self) { try load(tensors) }
    #expect(error.part == "decoder.model.2.block.1.bias")
    #expect("\(error)".contains("expected shape [24], found [12]"), "\(error)")
  }

  @Test(arguments: [
    (#""codebook_size": 64"#, #""codebook_size": 0"#, "codebook_size: expected a whole number from 1 to 1048576"),
    (#""codebook_size": 64"#, #""codebook_size": 65"#, "codebook.weight: expected shape [65, 8], found [64, 8]"),
    (#""codebook_size": 64,"#, "", "codebook_size: missing"),
    (#""decoder_dim": 48"#, #""decoder_dim": "48""#, "decoder_dim: expected a whole number"),
    (#""decoder_dim": 48"#, #""decoder_dim": 47"#, "decoder_dim: expected a multiple of 16, found 47"),
    (#""encoder_dim": 6"#, #""encoder_dim": 1e300"#, "encoder_dim: expected a whole number"),
    (#""attn_window_size": null"#, #""attn_window_size": 32"#, "attn_window_size: expected null: no attention"),
    (#""depthwise": true"#, #""depthwise": false"#, "depthwise: expected true"),
    (#""noise": true"#, #""noise": 1"#, "noise: expected true or false"),
    (#""noise": true"#, #""noise": false"#, "block.2.block.0.alpha: missing"),
    ("{", "[", "byte"),
  ])
  func unsoundSettingsAreNamed(old: String, new: String, message: String) throws {
    let settings = try Self.settings
    let changed = settings.replacing(old, with: new)
    #expect(changed != settings)
    let error = try #require(throws: ModelError.self) { try load(Tensors(), settings: changed) }
    #expect("\(error)".contains(message), "\(error)")
  }

  @Test(arguments: [
    ("vq_strides", "[4, 2, 1]", ["[]", "[4, 3, 1]", "[4, 2]", "[0]", "[64, 1, 1, 1, 1, 1, 1]"]),
    ("decoder_rates", "[8, 8, 4, 2]", ["[8, 8, 4, 4]", "[512]", "[2,2,2,2,2,2,2,2,2]", "8"]),
  ])
  func unsoundListsAreNamed(key: String, old: String, others: [String]) throws {
    let settings = try Self.settings.filter { !$0.isWhitespace }
    for other in others {
      let changed = settings.replacing("\"\(key)\":\(old.filter { $0 != " " })", with: "\"\(key)\":\(other)")
      #expect(changed != settings)
      #expect(throws: ModelError.self, "\(other)") { try load(Tensors(), settings: changed) }
    }
  }

  @Test func noSettingsCrash() throws {
    let file = Array(try Self.settings.utf8)
    try Fixtures.hostileVariants(of: file, seed: 11) { bytes in
      _ = try withFolder(["config.json": bytes]) { folder in try? SnacConfiguration(folder: folder) }
    }
  }
}
