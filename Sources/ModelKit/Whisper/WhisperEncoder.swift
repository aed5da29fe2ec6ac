public import Tensors

/// Turns a window's log-mel frames into features; one for each thread that does. Its buffers are allocated once.
public final class WhisperEncoder {
  public let model: WhisperModel
  private let shape: WhisperModel.Configuration
  private let scratch = Scratch()
  // Activations; the frames and the first convolution's output have a row of zeros before and after.
  private let frames, stretched, x, normed, queryKeyValue, mixed: Floats
  private let inner: Floats
  private var features: Matrix

  public init(_ model: WhisperModel) {
    self.model = model
    shape = model.configuration
    let positions = shape.audioContext
    frames = Floats((2 * positions + 2) * shape.melBins)
    stretched = Floats((2 * positions + 2) * shape.width)
    x = Floats(positions * shape.width)
    normed = Floats(positions * shape.width)
    queryKeyValue = Floats(positions * 3 * shape.width)
    mixed = Floats(positions * shape.width)
    inner = Floats(positions * (model.encoder.blocks.map(\.feedForwardInput.outputs).max() ?? 1))
    features = Matrix(rows: 0, columns: 0)
  }

  /// - Parameter mel: frames in rows, as ``LogMel`` makes them; all 3000 of a window, or for other uses an even number
  ///   below (which is not what the model was trained on).
  /// - Returns: a row for every second frame: 1500 of a window.
  /// - Throws: ``ModelInputError``, or what `checkCancelled` throws (polled once a layer).
  public func encode(_ mel: Matrix, checkCancelled: CancellationCheck = {}) throws -> Matrix {
    guard mel.columns == shape.melBins, mel.rows > 0, mel.rows % 2 == 0, mel.rows <= 2 * shape.audioContext else {
      throw ModelInputError.shape(
        expected: "up to \(2 * shape.audioContext) frames, an even number, of \(shape.melBins) bins",
        found: "\(mel.rows) of \(mel.columns)")
    }
    try checkCancelled()
    let rows = mel.rows / 2
    convolve(mel)
    for block in model.encoder.blocks {
      try checkCancelled()
      attend(block, rows)
      feedForward(block, rows)
    }
    if features.rows != rows { features = Matrix(rows: rows, columns: shape.width) }
    let norm = model.encoder.norm
    features.withMutableFloats { out in
      guard let out = out.baseAddress else { return }
      Operations.layerNorm(x.start, norm.weight, norm.bias, epsilon: whisperEpsilon, rows: rows, into: out)
    }
    return features
  }

  /// Two convolutions of three taps, the second with stride 2, each a sum of three products with shifted rows.
  private func convolve(_ mel: Matrix) {
    let (bins, width, encoder) = (shape.melBins, shape.width, model.encoder)
    mel.values.withUnsafeBufferPointer { values in
      guard let values = values.baseAddress else { return }
      (frames.start + bins).update(from: values, count: mel.rows * bins)
    }
    frames.start.update(repeating: 0, count: bins)
    (frames.start + (mel.rows + 1) * bins).update(repeating: 0, count: bins)
    let first = encoder.convolution1.start.assumingMemoryBound(to: Float.self)
    for tap in 0..<3 {
      Operations.multiply(
        frames.start + tap * bins, rows: mel.rows, columns: bins, stride: bins, by: first + tap * width * bins,
        outputs: width, adding: tap > 0, into: stretched.start + width)
    }
    Operations.addBias(stretched.start + width, encoder.bias1, rows: mel.rows)
    Operations.gelu(stretched.start + width, count: mel.rows * width)
    stretched.start.update(repeating: 0, count: width)
    (stretched.start + (mel.rows + 1) * width).update(repeating: 0, count: width)
    let second = encoder.convolution2.start.assumingMemoryBound(to: Float.self)
    for tap in 0..<3 {
      Operations.multiply(
        stretched.start + tap * width, rows: mel.rows / 2, columns: width, stride: 2 * width,
        by: second + tap * width * width, outputs: width, adding: tap > 0, into: x.start)
    }
    Operations.addBias(x.start, encoder.bias2, rows: mel.rows / 2)
    Operations.gelu(x.start, count: mel.rows / 2 * width)
    Operations.add(x.start, encoder.positions, count: mel.rows / 2 * width)
  }

  private func attend(_ block: WhisperModel.Block, _ rows: Int) {
    let width = shape.width
    let norm = block.attentionNorm
    Operations.layerNorm(
      x.start, norm.weight, norm.bias, epsilon: whisperEpsilon, rows: rows, into: normed.start)
    block.attentionInput.apply(normed.start, rows: rows, into: queryKeyValue.start, scratch: scratch)
    let headWidth = width / shape.encoderHeads
    let layout = AttentionLayout(
      heads: shape.encoderHeads, keyHeads: shape.encoderHeads, headWidth: headWidth, queryStride: 3 * width,
      outStride: width, keyStride: 3 * width, keyHeadStride: headWidth)
    Attention.run(
      layout, q: queryKeyValue.start, queries: rows, k: queryKeyValue.start + width,
      v: queryKeyValue.start + 2 * width, keys: rows, causal: false, out: mixed.start, scratch: scratch)
    block.attentionOutput.apply(mixed.start, rows: rows, into: normed.start, scratch: scratch)
    Operations.add(x.start, normed.start, count: rows * width)
  }

  private func feedForward(_ block: WhisperModel.Block, _ rows: Int) {
    let norm = block.feedForwardNorm
    Operations.layerNorm(
      x.start, norm.weight, norm.bias, epsilon: whisperEpsilon, rows: rows, into: normed.start)
    block.feedForwardInput.apply(normed.start, rows: rows, into: inner.start, scratch: scratch)
    Operations.gelu(inner.start, count: rows * block.feedForwardInput.outputs)
    block.feedForwardOutput.apply(inner.start, rows: rows, into: normed.start, scratch: scratch)
    Operations.add(x.start, normed.start, count: rows * shape.width)
  }
}

/// What every layer norm of Whisper adds to the variance.
let whisperEpsilon: Float = 1e-5
