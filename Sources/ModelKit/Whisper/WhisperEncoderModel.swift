internal import Tensors

/// Whisper's encoder: its weights, from a file of CTranslate2's or of openai-whisper's. It never changes and is shared;
/// ``WhisperEncoder`` computes with it.
public final class WhisperEncoderModel: Sendable {
  /// Every dimension, as the file states it.
  public struct Configuration: Sendable, Equatable {
    public var melBins: Int
    /// Floats of a feature.
    public var width: Int
    public var layers: Int
    public var heads: Int
    /// Features of a window: 1500.
    public var context: Int
  }

  public let configuration: Configuration

  /// Each [width, 3 * input]: three taps side by side.
  let convolution1: Linear
  let convolution2: Linear
  let positions: [Float]
  let blocks: [EncoderBlock]
  let norm: LayerNorm

  /// - Throws: ``ModelError``, `ComputeError` for a wrong `ANTIPHON_CPU`, or what `checkCancelled` throws.
  package init(
    file path: String, precision: WeightPrecision = .stored, checkCancelled: CancellationCheck = {}
  ) throws {
    try Compute.check()
    let reader = try WhisperReader(Checkpoints.open(path, checkCancelled: checkCancelled))
    let (shape, names) = (try reader.encoderConfiguration(), reader.names)
    configuration = shape
    let keeper = WeightKeeper(precision, file: path)
    convolution1 = try keeper.keep(reader.convolution(names.convolution1, shape.width, shape.melBins))
    convolution2 = try keeper.keep(reader.convolution(names.convolution2, shape.width, shape.width))
    positions = try reader.floats(names.positions, [shape.context, shape.width])
    blocks = try (0..<shape.layers).map {
      try checkCancelled()
      return try reader.block("\(names.layer)\($0)", shape.width).kept(by: keeper)
    }
    keeper.finish()
    norm = try reader.norm(names.norm, shape.width)
  }
}
