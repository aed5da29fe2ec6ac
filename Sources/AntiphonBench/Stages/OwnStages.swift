import Foundation
import ModelKit
import Tensors

/// One of our stages, in this process.
final class OwnStage: Contestant {
  let name: String
  /// How its weights are kept; nil where there is one way.
  let weights: WeightPrecision?
  let work: StageWork
  private let body: () throws -> Void

  init(_ name: String, _ weights: WeightPrecision?, _ work: StageWork, body: @escaping () throws -> Void) {
    (self.name, self.weights, self.work, self.body) = (name, weights, work, body)
  }

  func run(_ count: Int) throws -> [Double] { try (0..<count).map { _ in try seconds(body) } }
}

/// Makes our stages, each once for every way in which weights can be kept.
struct OwnStages {
  /// Holds `mini-omni2` and `snac_24khz`.
  var folder: String
  /// Whisper-tiny, which no release of Mini-Omni2 holds.
  var whisperTiny = "whisper-tiny.en"

  /// - Throws: what the loaders throw.
  func stages(_ stage: Stage) throws -> [OwnStage] {
    switch stage {
    case .step, .neededStep, .lateStep, .prefill:
      try WeightPrecision.allCases.flatMap { try language(stage, $0) }
    case .whisperSmall: try WeightPrecision.allCases.map { try whisper(folder + "/mini-omni2/small.pt", $0) }
    case .whisperTiny: try WeightPrecision.allCases.map { try whisper(ModelFolder.path(whisperTiny), $0) }
    case .clip: try WeightPrecision.allCases.map(clip)
    case .snac: [try snac()]
    }
  }

  // MARK: The language model

  private func language(_ stage: Stage, _ weights: WeightPrecision) throws -> [OwnStage] {
    let path = folder + "/mini-omni2"
    let runner = MiniOmni2Runner(try ModelStore.shared.miniOmni2(at: path, weights: weights))
    let head = MiniOmni2HeadRunner(try ModelStore.shared.miniOmni2Head(at: path, weights: weights))
    let shape = runner.model.configuration
    func work(rows: Int, outputs: Int, headRows: Int, before: Int = 0) -> StageWork {
      .language(shape, rows: rows, outputs: outputs, headRows: headRows, before: before, Format(weights, stored: .bf16))
    }
    let (position, name) = (Stage.stepPosition, weights.rawValue)
    if stage == .prefill {
      let cache = try KVCache(runner.model, capacity: Stage.promptColumns)
      let shared = Matrix.random(rows: Stage.promptColumns - 1, columns: shape.width)
      let last = Matrix.random(rows: 2, columns: shape.width)
      return [
        OwnStage(name, weights, work(rows: Stage.promptColumns, outputs: shape.vocabularySize, headRows: 1)) {
          _ = try runner.forward(shared, cache: cache)
          let hidden = try runner.step(last, caches: [cache, try cache.fork()])
          _ = try head.audioLogits(hidden, row: 0)
          _ = try head.textLogits(hidden, row: 1)
          cache.truncate(to: 0)
        }
      ]
    }

    let first = try KVCache(runner.model, capacity: position + 1)
    _ = try runner.forward(Matrix.random(rows: position, columns: shape.width), cache: first)
    let both = [first, try first.fork()]
    let (inputs, input) = (Matrix.random(rows: 2, columns: shape.width), Matrix.random(rows: 1, columns: shape.width))
    let audio = MiniOmni2Configuration.audioLayers * shape.audioVocabularySize
    func states(_ inputs: Matrix, _ caches: [KVCache]) throws -> Matrix {
      defer { for cache in caches { cache.truncate(to: position) } }
      return try runner.step(inputs, caches: caches)
    }
    func needed(_ name: String) -> OwnStage {
      OwnStage(name, weights, work(rows: 2, outputs: shape.vocabularySize, headRows: 1, before: position)) {
        let hidden = try states(inputs, both)
        _ = try head.audioLogits(hidden, row: 0)
        _ = try head.textLogits(hidden, row: 1)
      }
    }
    switch stage {
    case .step:
      var logits = Matrix(rows: 2, columns: shape.vocabularySize)
      let all = work(rows: 2, outputs: shape.vocabularySize, headRows: 2, before: position)
      return [OwnStage(name, weights, all) { try head.logits(try states(inputs, both), into: &logits) }]
    case .lateStep:
      let late = OwnStage(name, weights, work(rows: 1, outputs: audio, headRows: 1, before: position)) {
        _ = try head.audioLogits(try states(input, [first]), row: 0)
      }
      return [late, needed(Stage.twoRows(weights))]
    default: return [needed(name)]
    }
  }

  // MARK: The encoders and the codec

  private func whisper(_ path: String, _ weights: WeightPrecision) throws -> OwnStage {
    let encoder = WhisperEncoder(try ModelStore.shared.whisperEncoder(at: path, weights: weights))
    let shape = encoder.model.configuration
    let frames = Matrix.random(rows: 2 * shape.context, columns: shape.melBins)
    return OwnStage(weights.rawValue, weights, .whisper(shape, Format(weights, stored: .f16))) {
      _ = try encoder.encode(frames)
    }
  }

  private func clip(_ weights: WeightPrecision) throws -> OwnStage {
    let encoder = ClipEncoder(try ModelStore.shared.clip(at: folder + "/mini-omni2", weights: weights))
    let shape = encoder.model.configuration
    var random = SplitMix(state: 3)
    let side = shape.resolution
    let pixels = (0..<side * side * 3).map { _ in UInt8.random(in: 0...255, using: &random) }
    return OwnStage(weights.rawValue, weights, .clip(shape, Format(weights, stored: .f16))) {
      try pixels.withUnsafeBufferPointer {
        _ = try encoder.encode(try PixelView($0, width: side, height: side, channels: 3))
      }
    }
  }

  /// A run decodes one frame.
  private func snac() throws -> OwnStage {
    let codec = try ModelStore.shared.snac(at: folder + "/snac_24khz")
    let shape = codec.configuration
    let (decoder, stream) = (try SnacDecoder(codec), SnacStream(codec, noise: .seeded(1)))
    var random = SplitMix(state: 4)
    let codes = (0..<shape.layers).map { _ in Int32.random(in: 0..<Int32(shape.codebookSize), using: &random) }
    var samples: [Float] = []
    return OwnStage("fp32", nil, .snac(shape)) {
      samples.removeAll(keepingCapacity: true)
      try decoder.push(codes[...], to: stream, into: &samples)
    }
  }
}

extension Matrix {
  fileprivate static func random(rows: Int, columns: Int) -> Matrix {
    var random = SplitMix(state: 1)
    let values = (0..<rows * columns).map { _ in Float.random(in: -1...1, using: &random) }
    return Matrix(rows: rows, columns: columns, values: values) ?? Matrix(rows: rows, columns: columns)
  }
}
