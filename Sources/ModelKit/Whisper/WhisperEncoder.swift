public import Tensors

/// Turns a window's log-mel frames into features; one for each thread that does. Its buffers are allocated once.
public final class WhisperEncoder {
  public let model: WhisperEncoderModel
  private let shape: WhisperEncoderModel.Configuration
  private let stack: EncoderStack
  // The frames and the first convolution's output have a row of zeros before and after.
  private let frames, stretched: Floats
  private var features: Matrix

  public init(_ model: WhisperEncoderModel) {
    self.model = model
    shape = model.configuration
    let positions = shape.context
    frames = Floats((2 * positions + 2) * shape.melBins)
    stretched = Floats((2 * positions + 2) * shape.width)
    stack = EncoderStack(
      model.blocks, width: shape.width, heads: shape.heads, rows: positions, activation: .gelu)
    features = Matrix(rows: 0, columns: 0)
  }

  /// - Parameter mel: frames in rows, as ``LogMel`` makes them; all 3000 of a window, or for other uses an even number
  ///   below (which is not what the model was trained on).
  /// - Returns: a row for every second frame: 1500 of a window.
  /// - Throws: ``ModelInputError``, or what `checkCancelled` throws (polled once a layer).
  public func encode(_ mel: Matrix, checkCancelled: CancellationCheck = {}) throws -> Matrix {
    guard mel.columns == shape.melBins, mel.rows > 0, mel.rows % 2 == 0, mel.rows <= 2 * shape.context else {
      throw ModelInputError.shape(
        expected: "up to \(2 * shape.context) frames, an even number, of \(shape.melBins) bins",
        found: "\(mel.rows) of \(mel.columns)")
    }
    try checkCancelled()
    let rows = mel.rows / 2
    convolve(mel)
    try stack.run(rows: rows, checkCancelled: checkCancelled)
    if features.rows != rows { features = Matrix(rows: rows, columns: shape.width) }
    features.withMutableFloats { out in
      guard let out = out.baseAddress else { return }
      Operations.layerNorm(
        stack.x.start, model.norm.weight, model.norm.bias, epsilon: EncoderStack.epsilon, rows: rows, into: out)
    }
    return features
  }

  /// Two convolutions of three taps, the second with stride 2, each a product with overlapping rows.
  private func convolve(_ mel: Matrix) {
    let (bins, width, x) = (shape.melBins, shape.width, stack.x)
    mel.values.withUnsafeBufferPointer { values in
      guard let values = values.baseAddress else { return }
      (frames.start + bins).update(from: values, count: mel.rows * bins)
    }
    frames.start.update(repeating: 0, count: bins)
    (frames.start + (mel.rows + 1) * bins).update(repeating: 0, count: bins)
    model.convolution1.apply(
      frames.start, rows: mel.rows, stride: bins, into: stretched.start + width, scratch: stack.scratch)
    Operations.gelu(stretched.start + width, count: mel.rows * width)
    stretched.start.update(repeating: 0, count: width)
    (stretched.start + (mel.rows + 1) * width).update(repeating: 0, count: width)
    model.convolution2.apply(
      stretched.start, rows: mel.rows / 2, stride: 2 * width, into: x.start, scratch: stack.scratch)
    Operations.gelu(x.start, count: mel.rows / 2 * width)
    Operations.add(x.start, model.positions, count: mel.rows / 2 * width)
  }
}
