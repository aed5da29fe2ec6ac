internal import Tensors

/// The half of CLIP that sees: a vision transformer of any size. It never changes and is shared; ``ClipEncoder``
/// computes with it.
///
/// Radford et al., *Learning Transferable Visual Models From Natural Language Supervision* (2021), section 2.4.
public final class ClipModel: Sendable {
  /// Every dimension, as the tensors in the file have it.
  public struct Configuration: Sendable, Equatable {
    /// Pixels of a side of the square that it looks at.
    public var resolution: Int
    /// Pixels of a side of a patch, each of which becomes a token.
    public var patch: Int
    /// Floats of a hidden state.
    public var width: Int
    public var layers: Int
    public var heads: Int
    /// Floats of a feature.
    public var features: Int

    /// Patches along a side.
    public var grid: Int { resolution / patch }
    /// Features of a picture: the class token's, then one for each patch.
    public var tokens: Int { grid * grid + 1 }
  }

  public let configuration: Configuration

  /// [width, 3 * patch * patch]
  let patches: Linear
  let classToken: [Float]
  /// [tokens, width]
  let positions: [Float]
  let normBefore: LayerNorm
  let blocks: [EncoderBlock]
  let normAfter: LayerNorm
  /// [features, width]
  let projection: Linear

  /// Reads `ViT-B-32.pt` or another of OpenAI's files of this kind.
  ///
  /// - Throws: ``ModelError``, `ComputeError` for a wrong `ANTIPHON_CPU`, or what `checkCancelled` throws.
  package init(
    file path: String, precision: WeightPrecision = .stored, checkCancelled: CancellationCheck = {}
  ) throws {
    try Compute.check()
    let reader = ClipReader(file: try Checkpoints.open(path, checkCancelled: checkCancelled))
    let shape = try reader.configuration()
    configuration = shape
    patches = try reader.patches(shape)
    classToken = try reader.floats("class_embedding", [shape.width])
    positions = try reader.floats("positional_embedding", [shape.tokens, shape.width])
    normBefore = try reader.norm("ln_pre", shape.width)
    let keeper = WeightKeeper(precision, file: path)
    blocks = try (0..<shape.layers).map {
      try checkCancelled()
      return try reader.block("transformer.resblocks.\($0)", shape.width).kept(by: keeper)
    }
    keeper.finish()
    normAfter = try reader.norm("ln_post", shape.width)
    projection = try reader.projection(shape)
  }
}
