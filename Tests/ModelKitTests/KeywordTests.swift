import CAllocations
import Foundation
import ModelKit
import Parity
import Testing

/// The built-in keyword network beside PyTorch's results for it, which `tools/train/keyword goldens` wrote.
struct KeywordGoldens {
  static let file = URL(fileURLWithPath: Goldens.shippedFolder).deletingLastPathComponent()
    .appendingPathComponent("keyword/commands.safetensors").path
  /// The built-in model as a file.
  static let modelFile = URL(fileURLWithPath: Goldens.shippedFolder).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Graphs/models/keyword-en.safetensors").path

  /// Each command once, 0.7 s apart.
  let samples: [Float]
  let features: [Float]
  let probabilities: [Float]

  init() throws {
    let file = try Checkpoints.open(Self.file)
    samples = try file.integers("samples").map { Float($0) / 32_768 }
    features = try file.floats("features")
    probabilities = try file.floats("probabilities")
  }
}

@Suite struct KeywordTests {
  private let goldens: KeywordGoldens
  private let model: KeywordModel

  init() throws {
    goldens = try KeywordGoldens()
    model = try ModelStore.shared.keyword(KeywordModel.builtInName)
  }

  /// The probabilities of a sound that comes in chunks of so many samples.
  private func rows(_ samples: [Float], chunk: Int, _ stream: KeywordStream? = nil) -> [Float] {
    let stream = stream ?? KeywordStream(model)
    var rows: [Float] = []
    for start in stride(from: 0, to: samples.count, by: chunk) {
      samples[start..<min(start + chunk, samples.count)].withUnsafeBufferPointer { piece in
        stream.push(piece) { rows += $0 }
      }
    }
    return rows
  }

  @Test func probabilitiesEqualPyTorchs() {
    let found = rows(goldens.samples, chunk: 320)
    // PyTorch pads the last frames; here they have not come.
    #expect(found.count > goldens.probabilities.count - 20)
    let worst = zip(found, goldens.probabilities).map { abs($0 - $1) }.max() ?? 1
    #expect(worst < 1e-4)
    #expect(goldens.probabilities.max() ?? 0 > 0.9, "something is heard")
  }

  @Test func bandsEqualPyTorchs() {
    let (stream, bands) = (KeywordStream(model), model.configuration.bands)
    var worst: Float = 0
    for sample in goldens.samples.indices {
      let before = stream.frames
      goldens.samples[sample...sample].withUnsafeBufferPointer { stream.push($0) { _ in } }
      guard stream.frames > before else { continue }
      let expected = goldens.features[before * bands..<(before + 1) * bands]
      for (a, b) in zip(stream.lastBands, expected) { worst = max(worst, abs(a - b)) }
    }
    #expect(stream.frames * bands == goldens.features.count)
    #expect(worst < 1e-4)
  }

  @Test(arguments: [1, 7, 160, 333, 16_000]) func chunksDoNotMatter(chunk: Int) {
    #expect(rows(goldens.samples, chunk: chunk) == rows(goldens.samples, chunk: 320))
  }

  @Test func anySoundGivesProbabilities() {
    var generator = SeededGenerator(5)
    let extremes: [Float] = [
      .nan, .infinity, -.infinity, .greatestFiniteMagnitude, .leastNonzeroMagnitude, 0, 1, -1,
    ]
    let sounds: [[Float]] = [
      [Float](repeating: 0, count: 32_000), [Float](repeating: .nan, count: 16_000),
      (0..<32_000).map { _ in extremes[Int.random(in: 0..<extremes.count, using: &generator)] },
    ]
    let stream = KeywordStream(model)
    for sound in sounds {
      for row in rows(sound, chunk: 1_000, stream).chunked(4) {
        #expect(row.allSatisfy { (0...1).contains($0) } && abs(row.reduce(0, +) - 1) < 1e-4)
      }
    }
    // And it hears as before afterwards.
    _ = rows([Float](repeating: 0, count: 64_000), chunk: 1_000, stream)
    #expect(rows(goldens.samples, chunk: 320, stream).chunked(4).contains { ($0.first ?? 1) < 0.1 })
  }

  @Test(.enabled(if: allocations_are_counted() != 0, "counting needs glibc's malloc and no sanitizer"))
  func hearingAllocatesNothing() {
    let stream = KeywordStream(model)
    var decision = KeywordDecision(wanted: [1, 2, 3], threshold: 0.9, average: 3, refractory: 30)
    var hits = 0
    let before = allocations_of_this_thread()
    goldens.samples.withUnsafeBufferPointer { samples in
      stream.push(samples) { row in if decision.feed(row) != nil { hits += 1 } }
    }
    #expect(allocations_of_this_thread() - before == 0)
    #expect(hits == 3)
  }

  @Test func aCommandIsFoundOnceAndAgainWhenSaidAgain() {
    func row(_ probability: Float) -> [Float] { [1 - probability, probability] }
    var decision = KeywordDecision(wanted: [1], threshold: 0.8, average: 2, refractory: 10)
    func found(_ probabilities: [Float]) -> [Int] {
      probabilities.enumerated().compactMap { index, probability in
        row(probability).withUnsafeBufferPointer { decision.feed($0) } == nil ? nil : index
      }
    }
    let quiet = [Float](repeating: 0, count: 12)
    #expect(found([0.9, 0, 0]) == [], "one row alone is no command")
    #expect(found([0.9, 0.9, 0.9, 0.9]) == [1])
    #expect(found(quiet + [0.9, 0.9, 0.9]) == [13])
    #expect(found([0, 0, 0.9, 0.9]) == [], "too soon after the last")
    #expect(found([Float](repeating: 0.9, count: 50)) == [], "still the same")
  }

  // MARK: Files

  @Test func theBuiltInModelIsTheFile() throws {
    let file = try KeywordModel(path: KeywordGoldens.modelFile)
    #expect(file.configuration == model.configuration)
    let header = try ModelHeader.keyword(KeywordGoldens.modelFile)
    #expect(file.configuration == header)
    #expect(model.configuration.commands == CommandSet.defaults["en"])
    #expect(model.configuration.index(of: "Stop, Omni!") == 2)
    #expect(model.configuration.index(of: "stop it") == nil)
  }

  @Test func changedFilesAreReadOrRefused() throws {
    let file = [UInt8](try Data(contentsOf: URL(fileURLWithPath: KeywordGoldens.modelFile)))
    // Its head is where shapes and settings stand.
    let header = 8 + Int(file.prefix(2).enumerated().reduce(0) { $0 + Int($1.element) << (8 * $1.offset) })
    var generator = SeededGenerator(9)
    for _ in 0..<300 {
      var changed = file
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        changed[Int.random(in: 8..<header, using: &generator)] = UInt8.random(in: 32...126, using: &generator)
      }
      try Fixtures.withFile(changed) { path in
        do {
          let model = try KeywordModel(path: path)
          let found = rows([Float](repeating: 0.1, count: 2_000), chunk: 500, KeywordStream(model))
          #expect(found.allSatisfy { $0.isFinite })
        } catch is ModelError {}
      }
    }
  }

  @Test(arguments: [
    ("\"rate\":\"16000\"", "\"rate\":\"44100\"", "rate"), ("\"fft\":\"512\"", "\"fft\":\"500\"", "fft"),
    ("antiphon-keyword-1", "antiphon-keyword-9", "format"), ("\"channels\":\"80\"", "\"channels\":\"81\"", "shape"),
    ("\"bands\":\"32\"", "\"bands\":\"99\"", "shape"), ("\"average\":\"3\"", "\"average\":\"0\"", "average"),
  ])
  func whatDoesNotFitIsNamed(_ old: String, _ new: String, _ named: String) throws {
    let file = [UInt8](try Data(contentsOf: URL(fileURLWithPath: KeywordGoldens.modelFile)))
    let place = try #require(file.firstRange(of: Array(old.utf8)))
    var changed = file
    changed.replaceSubrange(place, with: Array(new.utf8))
    try Fixtures.withFile(changed) { path in
      let error = try #require(throws: ModelError.self) { try KeywordModel(path: path) }
      #expect(error.description.contains(named))
    }
  }
}

extension Array {
  fileprivate func chunked(_ count: Int) -> [ArraySlice<Element>] {
    stride(from: 0, to: self.count, by: count).map { self[$0..<Swift.min($0 + count, self.count)] }
  }
}
