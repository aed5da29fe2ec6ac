import Foundation
import ModelKit
import Tensors

/// Mini-Omni2's language model with random weights, made in memory: for its speed, which does not depend on what they are.
struct RandomOmni {
  private let configuration: MiniOmni2Configuration
  private let precision: WeightPrecision
  /// Numbers that all matrices are cut from.
  private let numbers: [Float]

  /// The shape of the release.
  private static let settings = """
    n_layer: 24
    n_embd: 896
    n_head: 14
    n_query_groups: 2
    head_size: 64
    intermediate_size: 4864
    block_size: 2048
    text_vocab_size: 152000
    audio_vocab_size: 4160
    padded_vocab_size: 181120
    whisper_adapter_dim: 768
    rope_base: 1000000

    """

  /// - Parameter precision: `stored` means bf16.
  init(_ precision: WeightPrecision) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("antiphon-omni-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try Data(Self.settings.utf8).write(to: folder.appendingPathComponent(MiniOmni2Configuration.file))
    configuration = try MiniOmni2Configuration(folder: folder.path)
    self.precision = precision
    var random = SplitMix(state: 3)
    numbers = (0..<1_048_573).map { _ in Float.random(in: -0.04...0.04, using: &random) }
  }

  private func tensor(_ name: String, _ outputs: Int, _ inputs: Int) -> Tensor {
    Tensor(name: name, shape: [outputs, inputs]) { floats in
      numbers.withUnsafeBufferPointer { numbers in
        guard let start = numbers.baseAddress else { return }
        for first in stride(from: 0, to: outputs * inputs, by: numbers.count) {
          (floats + first).update(from: start, count: min(numbers.count, outputs * inputs - first))
        }
      }
    }
  }

  private func linear(_ name: String, _ outputs: Int, _ inputs: Int, hasBias: Bool = false) throws -> Linear {
    let bias = hasBias ? [Float](repeating: 0.01, count: outputs) : nil
    let plain = Linear(tensor(name, outputs, inputs), bias: bias)
    let kept =
      switch precision {
      case .f32: plain
      case .stored, .bf16: plain?.rounded()
      case .int8: plain?.tiled(.bytes)
      case .int4: plain?.tiled(.nibbles)
      }
    guard let kept else { throw ModelInputError.noMemory(bytes: outputs * inputs * 4) }
    return kept
  }

  func model() throws -> MiniOmni2 {
    let shape = configuration
    let norm = [Float](repeating: 1, count: shape.width)
    let layers = try (0..<shape.layers).map { _ in
      let rows = (shape.heads + 2 * shape.keyHeads) * shape.headWidth
      return Transformer.Layer(
        attentionNorm: norm,
        attentionInput: Transformer.AttentionInput(
          grouped: try linear("attention", rows, shape.width, hasBias: true), groups: shape.keyHeads,
          headWidth: shape.headWidth),
        attentionOutput: try linear("projection", shape.width, shape.heads * shape.headWidth), feedForwardNorm: norm,
        gate: try linear("gate", shape.feedForwardWidth, shape.width),
        up: try linear("up", shape.feedForwardWidth, shape.width),
        down: try linear("down", shape.width, shape.feedForwardWidth))
    }
    let transformer = Transformer(
      configuration: TransformerConfiguration(
        layers: shape.layers, width: shape.width, heads: shape.heads, keyHeads: shape.keyHeads,
        headWidth: shape.headWidth, feedForwardWidth: shape.feedForwardWidth, context: shape.context,
        epsilon: shape.epsilon, rotaryBase: shape.rotaryBase, rotaryPairing: .halves),
      layers: layers, finalNorm: norm)
    guard let embedding = tensor("embedding", shape.vocabularySize, shape.width).stored(as: .bf16) else {
      throw ModelInputError.noMemory(bytes: shape.vocabularySize * shape.width * 2)
    }
    return MiniOmni2(embedding: MiniOmni2Embedding(configuration, embedding), transformer: transformer)
  }

  func head() throws -> MiniOmni2Head {
    MiniOmni2Head(configuration, try linear("head", configuration.vocabularySize, configuration.width))
  }
}
