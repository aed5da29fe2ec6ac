internal import Tensors

/// Weight and bias of a layer norm.
struct LayerNorm: Sendable {
  var weight: [Float]
  var bias: [Float]
}

/// A transformer block that normalises what goes into attention and into the feed-forward layer: Whisper's and CLIP's.
struct EncoderBlock: Sendable {
  var attentionNorm: LayerNorm
  /// Query, key and value side by side: one matrix, or one for each.
  var attentionInput: [Linear]
  var attentionOutput: Linear
  var feedForwardNorm: LayerNorm
  var feedForwardInput: Linear
  var feedForwardOutput: Linear
}

extension EncoderBlock {
  /// The block with its matrices kept as asked.
  ///
  /// - Throws: ``ModelError`` when the system has not that much memory.
  func kept(by keeper: WeightKeeper) throws(ModelError) -> EncoderBlock {
    var block = self
    for index in attentionInput.indices { block.attentionInput[index] = try keeper.keep(attentionInput[index]) }
    block.attentionOutput = try keeper.keep(attentionOutput)
    block.feedForwardInput = try keeper.keep(feedForwardInput)
    block.feedForwardOutput = try keeper.keep(feedForwardOutput)
    return block
  }
}

/// Runs blocks in which every position sees every other. Its buffers are allocated once.
final class EncoderStack {
  enum Activation {
    case gelu, quickGelu
  }

  /// What goes in and what comes out: [rows, width].
  let x: Floats
  private let blocks: [EncoderBlock]
  private let width: Int
  private let heads: Int
  private let activation: Activation
  let scratch = Scratch()
  private let normed, queryKeyValue, mixed, inner: Floats

  /// What every layer norm of these models adds to the variance.
  static let epsilon: Float = 1e-5

  /// - Parameter rows: as many as ``run(rows:checkCancelled:)`` may be asked for.
  init(_ blocks: [EncoderBlock], width: Int, heads: Int, rows: Int, activation: Activation) {
    (self.blocks, self.width, self.heads, self.activation) = (blocks, width, heads, activation)
    x = Floats(rows * width)
    normed = Floats(rows * width)
    queryKeyValue = Floats(rows * 3 * width)
    mixed = Floats(rows * width)
    inner = Floats(rows * (blocks.map(\.feedForwardInput.outputs).max() ?? 1))
  }

  /// - Throws: what `checkCancelled` throws, which is polled once a layer.
  func run(rows: Int, checkCancelled: CancellationCheck) throws {
    for block in blocks {
      try checkCancelled()
      attend(block, rows)
      feedForward(block, rows)
    }
  }

  private func attend(_ block: EncoderBlock, _ rows: Int) {
    norm(block.attentionNorm, rows)
    block.projectAttention(normed.start, rows: rows, into: queryKeyValue.start, scratch: scratch)
    let headWidth = width / heads
    let layout = AttentionLayout(
      heads: heads, keyHeads: heads, headWidth: headWidth, queryStride: 3 * width, outStride: width,
      keyStride: 3 * width, keyHeadStride: headWidth)
    Attention.run(
      layout, q: queryKeyValue.start, queries: rows, k: queryKeyValue.start + width,
      v: queryKeyValue.start + 2 * width, keys: rows, causal: false, rounded: block.attentionOutput.isReduced,
      out: mixed.start, scratch: scratch)
    block.attentionOutput.apply(mixed.start, rows: rows, into: normed.start, scratch: scratch)
    Operations.add(x.start, normed.start, count: rows * width)
  }

  private func feedForward(_ block: EncoderBlock, _ rows: Int) {
    norm(block.feedForwardNorm, rows)
    block.feedForwardInput.apply(normed.start, rows: rows, into: inner.start, scratch: scratch)
    let count = rows * block.feedForwardInput.outputs
    switch activation {
    case .gelu: Operations.gelu(inner.start, count: count)
    case .quickGelu: Operations.quickGelu(inner.start, count: count)
    }
    block.feedForwardOutput.apply(inner.start, rows: rows, into: normed.start, scratch: scratch)
    Operations.add(x.start, normed.start, count: rows * width)
  }

  private func norm(_ norm: LayerNorm, _ rows: Int) {
    Operations.layerNorm(x.start, norm.weight, norm.bias, epsilon: Self.epsilon, rows: rows, into: normed.start)
  }
}

extension EncoderBlock {
  /// Rows of query, key and value side by side.
  func projectAttention(
    _ x: UnsafePointer<Float>, rows: Int, into out: UnsafeMutablePointer<Float>, scratch: Scratch
  ) {
    let stride = attentionInput.reduce(0) { $0 + $1.outputs }
    var start = out
    for part in attentionInput {
      part.apply(x, rows: rows, into: start, outStride: stride, scratch: scratch)
      start += part.outputs
    }
  }
}
