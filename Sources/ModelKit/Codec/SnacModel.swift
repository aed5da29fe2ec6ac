internal import Tensors

/// SNAC's weights, from a folder with `config.json` and `pytorch_model.bin` or `model.safetensors`, as
/// `hubertsiuzdak/snac_24khz` comes from the hub. It never changes and is shared; ``SnacDecoder`` and ``SnacEncoder``
/// compute with it.
public final class SnacModel: Sendable {
  public let configuration: SnacConfiguration

  let quantizer: [Level]
  let decoder: Decoder
  let encoder: Encoder

  /// One of the quantizer's levels.
  struct Level: Sendable {
    /// Latent rows that a code stands for.
    var stride: Int
    /// [codes, codebook width].
    var codebook: [Float]
    /// Multiplies with every entry of the codebook, each of length 1: the greatest is the nearest.
    var directions: PackedLinear
    /// Latent row to codebook entry, and back.
    var input: PackedLinear
    var output: PackedLinear
  }
  /// x + pointwise(snake(depthwise(snake(x)))).
  struct ResidualUnit: Sendable {
    var before: Snake
    var depthwise: DepthwiseConvolution
    var between: Snake
    var pointwise: PackedLinear
  }
  struct Decoder: Sendable {
    var depthwise: DepthwiseConvolution
    var pointwise: PackedLinear
    var blocks: [DecoderBlock]
    var snake: Snake
    /// The last convolution: [taps, columns], one number each.
    var output: [Float]
    var outputBias: Float
  }
  struct DecoderBlock: Sendable {
    /// Rows that it makes of one.
    var rate: Int
    var columns: Int
    var snake: Snake
    /// The transposed convolution: two rows, one after the other, give `rate` rows.
    var transposed: PackedLinear
    var noise: PackedLinear?
    var units: [ResidualUnit]
    /// Rows of the transposed convolution's output that come before the first that counts.
    var padding: Int { (rate + 1) / 2 }
  }
  struct Encoder: Sendable {
    var input: PackedLinear
    var blocks: [EncoderBlock]
    var depthwise: DepthwiseConvolution
  }
  struct EncoderBlock: Sendable {
    /// Rows of which it makes one.
    var rate: Int
    var columns: Int
    var units: [ResidualUnit]
    var snake: Snake
    /// The convolution with a stride: 2 · rate rows give one, of twice as many columns.
    var strided: PackedLinear
    /// Rows of zeros before the first.
    var padding: Int { (rate + 1) / 2 }
  }

  /// The files of its folder; the weights come under one of two names.
  static let files = [
    [SnacConfiguration.file, "pytorch_model.bin"], [SnacConfiguration.file, "model.safetensors"],
  ]

  /// - Throws: ``ModelError``, `ComputeError` for a wrong `ANTIPHON_CPU`, or what `checkCancelled` throws.
  package init(directory: String, checkCancelled: CancellationCheck = {}) throws {
    try Compute.check()
    configuration = try SnacConfiguration(folder: directory)
    let reader = SnacReader(
      file: try Checkpoints.open(directory, checkCancelled: checkCancelled), shape: configuration)
    quantizer = try reader.quantizer(checkCancelled)
    decoder = try reader.decoder(checkCancelled)
    encoder = try reader.encoder(checkCancelled)
  }
}
