import Foundation
import ModelKit
import Testing

@Suite struct CheckpointNeedsTests {
  @Test func aWholeModelLacksNothing() throws {
    try Fixtures.withFile(SmallModel.file()) { path in
      let checkpoint = try Checkpoints.open(path)
      let needs = try #require(CheckpointNeeds.of(kind: "llm-step"))
      #expect(try needs.differences(checkpoint) == CheckpointNeeds.Differences())
      // The declaration names what the loader reads: without any one of them the model does not load.
      for tensor in try needs.tensors(checkpoint) where checkpoint.contains(tensor.name) && !tensor.isOptional {
        let renamed = SmallModel.file().replacing(Array(tensor.name.utf8), with: Array(tensor.name.utf8.reversed()))
        _ = try Fixtures.withFile(renamed) { path in
          #expect(throws: ModelError.self, "\(tensor.name)") { try ModelStore().causalLM(at: path) }
        }
      }
    }
  }

  @Test func whatIsMissingMisshapenOrUnexpectedIsNamed() throws {
    var file = SmallModel.file().replacing(
      Array("blk.1.ffn_down.weight".utf8), with: Array("blk.1.ffn_dowm.weight".utf8))
    // The name, then its rank and its first dimension: 258 becomes 256.
    let name = Array("blk.0.attn_q.weight".utf8)
    let start = try #require(file.firstRange(of: name)?.upperBound)
    file[start + 4] = 32
    try Fixtures.withFile(file) { path in
      let checkpoint = try Checkpoints.open(path)
      let found = try CheckpointNeeds.causalLM.differences(checkpoint)
      #expect(found.missing == [NeededTensor("blk.1.ffn_down.weight", [64, 96])])
      #expect(found.misshapen.map(\.needed) == [NeededTensor("blk.0.attn_q.weight", [64, 64])])
      #expect(found.misshapen.first?.found == [64, 32])
      #expect(found.unexpected == ["blk.1.ffn_dowm.weight"])
      #expect(!found.isLoadable)
      var report = CheckpointReport(checkpoint)
      try report.compare(checkpoint, with: .causalLM, kind: "text-head")
      #expect(report.text.contains("blk.1.ffn_down.weight: missing; expected shape [64, 96]"))
      #expect(report.text.contains("blk.0.attn_q.weight: expected shape [64, 64], found [64, 32]"))
      #expect(report.text.contains("blk.1.ffn_dowm.weight: unexpected"))
    }
  }

  @Test func anotherFormatIsNamed() throws {
    let checkpoint = try Checkpoints.open(CheckpointFileTests.path("nested.pt"))
    for needs in CheckpointNeeds.all {
      let error = try #require(throws: ModelError.self) { try needs.differences(checkpoint) }
      #expect(error.description.contains("found PyTorch archive"))
    }
  }

  /// A CTranslate2 file with no more than what says how large the model is.
  @Test func aWhisperOfWhichMostIsMissingIsDescribed() throws {
    var file = ByteWriter()
    func name(_ text: String) {
      file.put(UInt16(text.utf8.count + 1))
      file.bytes += Array(text.utf8) + [0]
    }
    let tensors: [(String, [Int])] = [
      ("encoder/conv1/weight", [8, 4, 3]), ("encoder/position_encodings/encodings", [6, 8]),
      ("decoder/position_encodings/encodings", [5, 8]), ("decoder/embeddings/weight", [10, 8]),
      ("encoder/layer_0/ffn/linear_0/weight", [12, 8]), ("decoder/layer_0/ffn/linear_0/weight", [12, 8]),
      ("decoder/other", [1]),
    ]
    let settings: [(String, UInt8)] = [
      ("encoder/num_heads", 2), ("decoder/num_heads", 2), ("decoder/activation", 3),
    ]
    file.put(UInt32(6))
    name("WhisperSpec")
    file.put(UInt32(3))
    file.put(UInt32(tensors.count + settings.count))
    for (text, shape) in tensors {
      name(text)
      file.put(UInt8(shape.count))
      for dimension in shape { file.put(UInt32(dimension)) }
      file.put(UInt8(0))
      file.put(UInt32(shape.reduce(4, *)))
      file.bytes += [UInt8](repeating: 0, count: shape.reduce(4, *))
    }
    for (text, value) in settings {
      name(text)
      for byte in [0, 1, 1, 0, 0, 0, value] as [UInt8] { file.put(byte) }
    }
    file.put(UInt32(0))
    try Fixtures.withFile(file.bytes) { path in
      let checkpoint = try Checkpoints.open(path)
      let found = try CheckpointNeeds.whisper.differences(checkpoint)
      #expect(found.missing.contains(NeededTensor("encoder/layer_0/ffn/linear_1/weight", [8, 12])))
      #expect(found.missing.contains(NeededTensor("decoder/layer_0/attention/linear_1/weight", [16, 8])))
      #expect(found.missing.contains(NeededTensor("decoder/projection/weight", [10, 8])))
      #expect(found.misshapen.isEmpty)
      #expect(found.unexpected == ["decoder/other"])
    }
  }

  @Test func fetchedModelsLackNothing() throws {
    for (model, kinds) in [
      ("whisper-tiny.en", ["whisper-encoder", "whisper-decoder"]), ("whisper-base", ["whisper-encoder"]),
      ("smollm2-135m-instruct", ["llm-step", "text-head"]),
    ] where Fixtures.has(model) {
      let checkpoint = try Checkpoints.open(ModelFolder.path(model))
      for kind in kinds {
        let needs = try #require(CheckpointNeeds.of(kind: kind))
        #expect(try needs.differences(checkpoint) == CheckpointNeeds.Differences(), "\(model) for \(kind)")
      }
    }
  }

  @Test func aReportSaysTheSameAsTextAndAsJSON() throws {
    let report = CheckpointReport(try Checkpoints.open(CheckpointFileTests.path("nested.pt")))
    #expect(report.text.contains("nested.pt: PyTorch archive, 16 tensors (F16)"), "\(report.text)")
    #expect(report.text.contains("dims.n_mels = 80"))
    #expect(report.text.contains("visual.conv1.weight"))
    struct Decoded: Decodable {
      struct Entry: Decodable {
        var name: String
        var type: String
        var shape: [Int]
      }
      var tensors: [Entry]
      var settings: [String: String]
    }
    let decoded = try JSONDecoder().decode(Decoded.self, from: JSONEncoder().encode(report))
    #expect(decoded.tensors.map(\.name).contains("visual.conv1.weight"))
    #expect(decoded.settings["dims.n_mels"] == "80")
  }
}
