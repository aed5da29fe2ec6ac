import ArgumentParser
import Foundation
import ModelKit
import Testing

@testable import AntiphonBench

/// The table of stages: how it is asked for, and what it makes of what was measured.
@Suite struct StagesTests {
  @Test func measuresTheStagesThatAreNamed() throws {
    let command = try #require(
      try StagesCommand.parseAsRoot(["--only", "clip", "llm-step", "--rounds", "3"]) as? StagesCommand)
    #expect(command.only == [.clip, .step])
    #expect(command.rounds == 3)
  }

  @Test func refusesAStageThatIsNone() throws {
    let error = try #require(throws: (any Error).self) { try StagesCommand.parse(["--only", "whisper-large"]) }
    let message = StagesCommand.message(for: error)
    #expect(message.contains("whisper-large"))
    #expect(message.contains("whisper-small"), "the stages that there are: \(message)")
  }

  @Test(arguments: [["--rounds", "0"], ["--threads", "0"], ["--threads", "65"]])
  func refusesNumbersOutOfRange(_ arguments: [String]) throws {
    let error = try #require(throws: (any Error).self) { try StagesCommand.parse(arguments) }
    #expect(StagesCommand.message(for: error).contains("must be from 1 to"))
  }

  @Test func saysThatNoPeersAreInstalled() throws {
    let error = try #require(throws: BenchError.self) {
      try PeerWorker(Peer.torch("clip")[0], threads: 1, python: "/nowhere/python", scripts: "/nowhere")
    }
    #expect(error.description == "/nowhere/python is not there; run: tools/bench peers")
  }

  @Test func saysThatAPeerEndedWithoutAnAnswer() throws {
    let error = try #require(throws: BenchError.self) {
      try PeerWorker(Peer.torch("clip")[0], threads: 1, python: "/bin/true", scripts: "/nowhere")
    }
    #expect(error.description == "PyTorch fp32 ended without an answer")
  }

  // MARK: Figures

  @Test func tellsTheMiddleAndTheSpread() {
    let samples = Self.samples(5, 1, 3)
    #expect(samples.median == 3)
    #expect(samples.least == 1)
    #expect(samples.most == 5)
  }

  @Test func boundsWorkByWhatTakesLonger() {
    var roofline = Roofline(threads: 2)
    (roofline.read, roofline.operations) = (10, ["bf16": 100])
    #expect(roofline.bound(StageWork(operations: 50, bytes: 20, arithmetic: .bf16)) == 2)
    #expect(roofline.bound(StageWork(operations: 500, bytes: 20, arithmetic: .bf16)) == 5)
    // Without such an instruction, memory alone is a bound.
    #expect(roofline.bound(StageWork(operations: 500, bytes: 20, arithmetic: .int8)) == 2)
  }

  /// The published sizes: 358 M weights and a head of 162 M; 344 GFLOP; 8.8 GFLOP; 4.85 GMAC a second of sound.
  @Test func countsTheReleasesWork() throws {
    let language = try Self.configuration()
    let step = StageWork.language(language, rows: 2, outputs: 181_120, headRows: 2, before: 300, .int8)
    #expect(Self.isNear(step.bytes, 0.553e9 + 2 * 24 * 128 * 300 * 2 * 4, 0.002))
    let prompt = StageWork.language(language, rows: 155, outputs: 0, headRows: 0, before: 0, .bf16)
    #expect(Self.isNear(prompt.operations, 111e9, 0.02))
    let whisper = WhisperEncoderModel.Configuration(melBins: 80, width: 768, layers: 12, heads: 12, context: 1500)
    #expect(Self.isNear(StageWork.whisper(whisper, .bf16).operations, 344e9, 0.01))
    let clip = ClipModel.Configuration(resolution: 224, patch: 32, width: 768, layers: 12, heads: 12, features: 512)
    #expect(Self.isNear(StageWork.clip(clip, .bf16).operations, 8.8e9, 0.02))
    let snac = SnacConfiguration(
      sampleRate: 24_000, encoderWidth: 48, encoderRates: [2, 4, 8, 8], decoderWidth: 1024, decoderRates: [8, 8, 4, 2],
      codebookSize: 4096, codebookWidth: 8, strides: [4, 2, 1], hasNoise: true)
    #expect(Self.isNear(StageWork.snac(snac).operations, 2 * 4.85e9 * 2048 / 24_000, 0.03))
  }

  @Test func judgesByTargets() {
    let result = Self.result
    let verdicts = result.judged()
    #expect(
      verdicts == [
        .init(name: "bf16", goal: "at most 1250 ms", found: "1000", isMet: true),
        .init(name: "bf16", goal: "1 x as fast as PyTorch bf16", found: "1.50", isMet: true),
        .init(name: "bf16", goal: "2.5 x as fast as whisper.cpp f16", found: "2.00", isMet: false),
      ])
  }

  @Test func judgesALateStepByTheStepOfTwoRows() {
    var result = StageReport.Result(stage: .lateStep, unit: .milliseconds)
    result.entries = [Self.entry("int8", 13), Self.entry(Stage.twoRows(.int8), 20)]
    #expect(
      result.judged() == [.init(name: "int8", goal: "at most 65 % of int8, two rows", found: "65 %", isMet: true)])
  }

  @Test func judgesTheFastestWhereATargetNamesNone() {
    var result = StageReport.Result(stage: .clip, unit: .milliseconds)
    result.entries = [Self.entry("f32", 70), Self.entry("int8", 50), Self.entry("PyTorch bf16", 30, isOurs: false)]
    #expect(result.judged() == [.init(name: "int8", goal: "at most 60 ms", found: "50.0", isMet: true)])
  }

  @Test func printsEveryWayAndEveryPeer() {
    let lines = Self.result.description.split(separator: "\n")
    #expect(lines[0] == "Whisper-small, a padded window of 30 s")
    #expect(lines[1].contains("x PyTorch bf16") && lines[1].contains("x whisper.cpp f16, native"))
    #expect(lines[2].hasPrefix("bf16") && lines[2].contains("1000") && lines[2].contains("90 %"))
    #expect(lines[2].contains("1.50") && lines[2].contains("2.00"))
  }

  @Test func keepsEverythingAsJSON() throws {
    var roofline = Roofline(threads: 2)
    roofline.operations = ["fp32": 1e11]
    let report = StageReport(
      machine: .current(), kernels: "portable", threads: 2, rounds: 1, roofline: roofline, results: [Self.result],
      missing: ["llama.cpp BF16: it was not built"])
    let read = try JSONDecoder().decode(StageReport.self, from: Data(try report.json().utf8))
    #expect(read.results.map(\.stage) == [.whisperSmall])
    #expect(read.results[0].entries.map(\.values.median) == [1000, 1500, 3000, 2000])
    #expect(read.results[0].verdicts == Self.result.verdicts)
    #expect(read.missing == report.missing)
  }

  /// The dimensions of Mini-Omni2's language model.
  private static func configuration() throws -> MiniOmni2Configuration {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("antiphon-stages-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let text = """
      {n_layer: 24, n_embd: 896, n_head: 14, n_query_groups: 2, head_size: 64, intermediate_size: 4864,
       block_size: 2048, padded_vocab_size: 181120, text_vocab_size: 152000, audio_vocab_size: 4160,
       whisper_adapter_dim: 768}
      """
    try Data(text.utf8).write(to: folder.appendingPathComponent("model_config.yaml"))
    return try MiniOmni2Configuration(folder: folder.path)
  }

  private static func samples(_ values: Double...) -> Samples {
    values.reduce(into: Samples()) { $0.add($1) }
  }

  private static func entry(_ name: String, _ value: Double, isOurs: Bool = true) -> StageReport.Entry {
    StageReport.Entry(
      name: name, weights: isOurs ? name : nil, isOurs: isOurs, values: samples(value),
      bound: isOurs ? value * 0.9 : nil)
  }

  private static var result: StageReport.Result {
    var result = StageReport.Result(stage: .whisperSmall, unit: .milliseconds)
    result.entries = [
      entry("bf16", 1000), entry("PyTorch bf16", 1500, isOurs: false),
      entry("whisper.cpp f16, wheel", 3000, isOurs: false), entry("whisper.cpp f16, native", 2000, isOurs: false),
    ]
    result.verdicts = result.judged()
    return result
  }

  private static func isNear(_ value: Double, _ expected: Double, _ tolerance: Double) -> Bool {
    abs(value - expected) <= expected * tolerance
  }
}
