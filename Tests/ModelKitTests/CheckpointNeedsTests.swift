import Foundation
import ModelKit
import Testing

@Suite struct CheckpointNeedsTests {
  @Test func aWholeModelLacksNothing() throws {
    try Fixtures.withFile(SmallModel.file()) { path in
      let checkpoint = try Checkpoints.open(path)
      let needs = try #require(try CheckpointNeeds.of(kind: "llm-step", for: checkpoint))
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
    for kind in Set(CheckpointNeeds.all.filter { !$0.formats.contains(.pyTorch) }.flatMap(\.kinds))
    where !CheckpointNeeds.all.contains(where: { $0.kinds.contains(kind) && $0.formats.contains(.pyTorch) }) {
      let error = try #require(throws: ModelError.self) { try CheckpointNeeds.of(kind: kind, for: checkpoint) }
      #expect(error.description.contains("found PyTorch archive"))
    }
    #expect(try CheckpointNeeds.of(kind: "speaker", for: checkpoint)?.model == nil)
  }

  @Test func theSameHoldsForWhisper() throws {
    var model = SmallWhisper()
    func differences() throws -> CheckpointNeeds.Differences {
      try Fixtures.withFile(model.weights) {
        let checkpoint = try Checkpoints.open($0)
        return try #require(try CheckpointNeeds.of(kind: "whisper-decoder", for: checkpoint)).differences(checkpoint)
      }
    }
    let whole = try differences()
    #expect(whole == CheckpointNeeds.Differences())
    model.variables.removeAll { $0.name == "decoder/layer_0/attention/linear_1/weight" }
    model.reshape("decoder/layer_norm/beta", [3])
    model.variables.append(SmallWhisper.Variable(name: "decoder/other", shape: [1], bytes: [0, 0, 0, 0]))
    let found = try differences()
    #expect(found.missing == [NeededTensor("decoder/layer_0/attention/linear_1/weight", [16, 8])])
    #expect(found.misshapen.map(\.needed) == [NeededTensor("decoder/layer_norm/beta", [8])])
    #expect(found.unexpected == ["decoder/other"])
    // The other half is nobody's business.
    model.variables.removeAll { $0.name.hasPrefix("encoder/layer") }
    #expect(try differences() == found)
    // Matrices of 8-bit integers need their scales.
    model = SmallWhisper()
    model.variables.append(
      SmallWhisper.Variable(name: "decoder/projection/weight_scale", shape: [1], bytes: [0, 0, 0, 0]))
    let unexpected = try differences().unexpected
    #expect(unexpected == ["decoder/projection/weight_scale"])
  }

  @Test(.needs("whisper-tiny.en"), arguments: ["whisper-encoder", "whisper-decoder"])
  func aFetchedWhisperLacksNothing(kind: String) throws {
    try expectWhole("whisper-tiny.en", for: kind)
  }

  @Test(.needs("smollm2-135m-instruct"), arguments: ["llm-step", "text-head"])
  func aFetchedLanguageModelLacksNothing(kind: String) throws {
    try expectWhole("smollm2-135m-instruct", for: kind)
  }

  private func expectWhole(_ model: String, for kind: String) throws {
    let checkpoint = try Checkpoints.open(ModelFolder.path(model))
    let found = try #require(try CheckpointNeeds.of(kind: kind, for: checkpoint)).differences(checkpoint)
    #expect(found == CheckpointNeeds.Differences())
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
