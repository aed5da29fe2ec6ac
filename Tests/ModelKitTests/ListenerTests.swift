import CAllocations
import Foundation
import ModelKit
import Parity
import Tensors
import Testing

/// The listener's row beside PyTorch's results, on the micro checkpoint; `docs/goldens.md` describes them. Random weights
/// show that numbers agree, not that anything is heard.
@Suite struct ListenerTests {
  private static let codec = SnacGoldens.modelFolder
  private static let configuration = MiniOmni2ListenerConfiguration(
    language: "en", commands: ["stop omni"], threshold: 0.5, average: 2, frames: 24)
  /// At the codec's rate, 80 frames.
  private let samples = Goldens.speech(54, count: 80 * 2048).map { Float($0) / 32768 }
  private let listener: MiniOmni2Listener
  private let runner: MiniOmni2ListenerRunner

  init() throws {
    listener = try ModelStore.shared.miniOmni2Listener(
      at: Goldens.shippedRelease, codec: Self.codec, configuration: Self.configuration)
    runner = try MiniOmni2ListenerRunner(listener)
  }

  /// The probabilities of a sound that comes in pieces of so many samples.
  private func probabilities(
    _ samples: [Float], pieces: Int = 480, _ stream: MiniOmni2ListenerStream? = nil
  ) throws -> [Float] {
    let stream = try stream ?? MiniOmni2ListenerStream(listener)
    var found: [Float] = []
    for start in stride(from: 0, to: samples.count, by: pieces) {
      try samples[start..<min(start + pieces, samples.count)].withUnsafeBufferPointer { piece in
        try runner.push(piece, to: stream) { found.append($0) }
      }
    }
    return found
  }

  private func logOdds(_ probabilities: some Sequence<Float>) -> [Float] {
    probabilities.map { Float(log(Double($0) / (1 - Double($0)))) }
  }

  // MARK: Parity with PyTorch

  @Test func probabilitiesAreThoseOfPyTorch() throws {
    let expected = try Goldens().tensors("listener").floats("probabilities")
    let found = try probabilities(samples)
    // The last frames wait for what follows them.
    #expect(found.count >= expected.count - 3)
    #expect(relativeError(found, expected.prefix(found.count)) <= 1e-4)
    #expect(relativeError(logOdds(found), logOdds(expected.prefix(found.count))) <= 1e-4)
    #expect((found.max() ?? 0) - (found.min() ?? 0) > 0.1, "it says something")
  }

  @Test func codesInSmallStepsAreTheSameAndSooner() throws {
    let expected = try Goldens().tensors("listener").integers("codes")
    let encoder = try SnacEncoder(listener.codec)
    var first: [Bool: Int] = [:]
    for small in [false, true] {
      let stream = SnacEncoderStream(listener.codec, inSmallSteps: small)
      var codes: [Int32] = []
      for start in stride(from: 0, to: samples.count, by: 128) {
        try encoder.push(samples[start..<start + 128], to: stream, into: &codes)
        if !codes.isEmpty, first[small] == nil { first[small] = start + 128 }
      }
      #expect(codes == Array(expected.prefix(codes.count)))
      try encoder.finish(stream, into: &codes)
      #expect(codes == expected)
    }
    // A frame and what the convolutions look ahead, in whole frames and in whole latent rows.
    #expect(first == [false: 4 * 2048, true: 2048 + 10 * 512])
  }

  /// Every frame beside a row of its own that reads what came before it, from the first column on.
  @Test func aRowThatWasBegunAnewSaysWhatAFreshOneDoes() throws {
    let codes = try Goldens().tensors("listener").integers("codes")
    let found = try probabilities(samples)
    let (embedding, model) = (listener.model.embedding, MiniOmni2Runner(listener.model))
    let head = MiniOmni2HeadRunner(try ModelStore.shared.miniOmni2Head(at: Goldens.shippedRelease))
    let ids = embedding.ids
    for frame in [0, 1, 23, 24, 25, 46, 47, 48, 49, 60, 71, 72, 75] {
      let base = max(0, frame / 24 - 1) * 24
      var input = Matrix(rows: frame - base + 2, columns: listener.model.configuration.width)
      try embedding.embed(audio: nil, text: ids.noInterrupt, into: &input, row: 0)
      for place in base...frame {
        try embedding.embed(
          audio: codes[7 * place..<7 * place + 7], text: ids.padText, into: &input, row: place - base + 1)
      }
      let hidden = try model.forward(input, cache: KVCache(listener.model))
      let logits = try head.textLogits(hidden, row: 0)
      let odds = logits[Int(ids.interrupt)] - logits[Int(ids.noInterrupt)]
      #expect(abs(found[frame] - 1 / (1 + exp(-odds))) < 1e-5, "frame \(frame)")
    }
  }

  // MARK: Streams

  @Test(arguments: [1, 7, 333, 5_000, 200_000]) func piecesDoNotMatter(count: Int) throws {
    #expect(try probabilities(samples, pieces: count) == probabilities(samples))
  }

  @Test func streamsDoNotMixAndAreAsNewAfterAReset() throws {
    let other = Array(samples.reversed())
    let streams = try (0..<2).map { _ in try MiniOmni2ListenerStream(listener) }
    var found: [[Float]] = [[], []]
    for start in stride(from: 0, to: samples.count, by: 2_000) {
      for (index, sound) in [samples, other].enumerated() {
        try sound[start..<min(start + 2_000, sound.count)].withUnsafeBufferPointer { piece in
          try runner.push(piece, to: streams[index]) { found[index].append($0) }
        }
      }
    }
    #expect(try found[0] == probabilities(samples))
    #expect(try found[1] == probabilities(other))
    #expect(found[0] != found[1])
    streams[0].reset()
    #expect(try probabilities(other, streams[0]) == found[1])
    #expect(streams[0].samples == samples.count && streams[0].frames == found[1].count)
  }

  @Test func whatWasSaidIsFoundByItsLoudness() throws {
    // A second of near silence, half a second of sound, and silence again.
    var sound = [Float](repeating: 1e-4, count: 3 * 24_000)
    for index in 24_000..<36_000 { sound[index] = samples[index] * 0.5 + (index % 2 == 0 ? 0.1 : -0.1) }
    let stream = try MiniOmni2ListenerStream(listener)
    #expect(stream.extent().isEmpty)
    _ = try probabilities(Array(sound[..<48_000]), stream)
    let extent = stream.extent()
    #expect(abs(extent.lowerBound - 24_000) < 1_000 && abs(extent.upperBound - 36_000) < 1_000, "\(extent)")
  }

  @Test func anySoundGivesProbabilities() throws {
    for sound in [[Float](repeating: 0, count: 30_000), (0..<30_000).map { $0 % 2 == 0 ? 1 : -1 }] {
      let found = try probabilities(sound)
      #expect(found.count > 10 && found.allSatisfy { (0...1).contains($0) })
    }
    let other = try MiniOmni2ListenerStream(
      ModelStore().miniOmni2Listener(
        at: Goldens.shippedRelease, codec: Self.codec, configuration: Self.configuration))
    #expect(throws: ModelInputError.foreign("stream")) { try probabilities(samples, other) }
  }

  @Test(.enabled(if: allocations_are_counted() != 0, "counting needs glibc's malloc and no sanitizer"))
  func listeningAllocatesNothing() throws {
    let stream = try MiniOmni2ListenerStream(listener)
    var decision = KeywordDecision(wanted: [0], threshold: 0.99, average: 2, refractory: 7)
    var (count, hits) = (0, 0)
    func push(_ range: Range<Int>) throws {
      try samples.withUnsafeBufferPointer { samples in
        try runner.push(UnsafeBufferPointer(rebasing: samples[range]), to: stream) { probability in
          count += 1
          if decision.feed(probability) != nil { hits += 1 }
        }
      }
    }
    try push(0..<40_000)
    let (before, read) = (allocations_of_this_thread(), count)
    try push(40_000..<samples.count)
    #expect(allocations_of_this_thread() - before == 0)
    #expect(count - read > 50 && hits == 0)
  }

  // MARK: Files

  private static let file = """
    {"format": "antiphon-listener-1", "language": "en", "commands": ["stop", "stop omni"], "threshold": 0.75,
     "average": 2, "frames": 24, "trained": "for 3 minutes"}
    """

  /// What the header of a model says whose `listener.json` is this.
  private func header(_ text: String?, codec: String = codec) throws -> MiniOmni2ListenerConfiguration {
    let path = Goldens.shippedRelease + "/model_config.yaml"
    var files = ["model_config.yaml": [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))]
    files["listener.json"] = text.map { Array($0.utf8) }
    return try withFolder(files) { try ModelHeader.listener($0, codec: codec) }
  }

  @Test func theFileIsRead() throws {
    let found = try header(Self.file)
    #expect(
      found
        == MiniOmni2ListenerConfiguration(
          language: "en", commands: ["stop", "stop omni"], threshold: 0.75, average: 2, frames: 24))
    #expect(found.unknown(of: ["Stop!", "halt", "wait"]) == "halt")
    #expect(found.unknown(of: ["Stop, Omni"]) == nil)
    #expect(found.missing(in: ["STOP OMNI"]) == "stop")
  }

  @Test(arguments: [
    ("antiphon-listener-1", "antiphon-listener-7", "format: expected antiphon-listener-1, found 'antiphon-listener-7'"),
    ("\"average\": 2", "\"average\": 0", "average: expected a whole number from 1 to 12, found 0"),
    ("\"average\": 2,", "", "average: missing"), ("0.75", "7.5", "threshold: expected a number from 0.01 to 1.0"),
    ("0.75", "\"high\"", "threshold: expected a number"),
    ("[\"stop\", \"stop omni\"]", "[]", "commands: expected 1 to 32"),
    ("\"stop\",", "7,", "commands: expected 1 to 32 texts"), ("\"en\"", "\"\"", "language: expected a text"),
    ("\"frames\": 24", "\"frames\": 128", "frames: expected fewer than half of block_size, 256, found 128"),
    ("{", "[", "byte"),
  ])
  func whatDoesNotFitIsNamed(_ old: String, _ new: String, _ message: String) throws {
    let error = try #require(throws: ModelError.self) {
      try header(Self.file.replacingOccurrences(of: old, with: new))
    }
    #expect(error.description.contains("listener.json: \(message)"), "\(error)")
  }

  @Test func aModelThatWasNotTaughtToListenSaysHowToGetOne() throws {
    let error = try #require(throws: ModelError.self) { try header(nil) }
    #expect(error.description.contains("listener.json: missing: this model was not taught to hear commands"))
    #expect(error.description.contains("tools/train/omni"))
    let long = Self.file + String(repeating: " ", count: 1 << 16)
    let tooLong = try #require(throws: ModelError.self) { try header(long) }
    #expect(tooLong.description.contains("is more than the 65536 that are accepted"))
  }

  @Test func aCodecOfAnotherSizeIsNamed() throws {
    let text = try String(contentsOfFile: Self.codec + "/config.json", encoding: .utf8)
      .replacingOccurrences(of: "\"codebook_size\": 64", with: "\"codebook_size\": 65")
    try withFolder(["config.json": Array(text.utf8)]) { folder in
      let error = try #require(throws: ModelError.self) { try header(Self.file, codec: folder) }
      #expect(error.description.contains("\(folder): expected a codec of 7 codes a frame, of 64"), "\(error)")
      #expect(error.description.hasSuffix("found 7, of 65"))
    }
  }
}
