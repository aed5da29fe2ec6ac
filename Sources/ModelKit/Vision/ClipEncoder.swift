public import Tensors

/// Turns a picture into features, one for each token; one for each thread that does. Its buffers are allocated once.
public final class ClipEncoder {
  public let model: ClipModel
  private let shape: ClipModel.Configuration
  private let crop: BicubicCrop
  private let stack: EncoderStack
  private let scratch = Scratch()
  /// The patches' numbers, [tokens - 1, 3 * patch * patch], and their embeddings behind the class token's.
  private let patches, embedded: Floats
  private var features: Matrix

  // CLIP's colours: mean and deviation of red, green and blue.
  private static let means: [Float] = [0.48145466, 0.4578275, 0.40821073]
  private static let deviations: [Float] = [0.26862954, 0.26130258, 0.27577711]

  public init(_ model: ClipModel) {
    self.model = model
    shape = model.configuration
    crop = BicubicCrop(size: shape.resolution)
    stack = EncoderStack(
      model.blocks, width: shape.width, heads: shape.heads, rows: shape.tokens, activation: .quickGelu)
    patches = Floats(3 * shape.resolution * shape.resolution)
    embedded = Floats(shape.tokens * shape.width)
    features = Matrix(rows: shape.tokens, columns: shape.features)
  }

  /// - Parameter picture: of any size; its middle is looked at, where it is not square.
  /// - Returns: [tokens, features]; the class token's first, then the patches', row by row. CLIP itself keeps the first
  ///   alone; Mini-Omni2 takes all of them.
  /// - Throws: what `checkCancelled` throws (polled once a layer).
  public func encode(_ picture: PixelView, checkCancelled: CancellationCheck = {}) throws -> Matrix {
    try checkCancelled()
    return try encode(square: crop.pixels(of: picture), checkCancelled: checkCancelled)
  }

  /// - Parameter square: [resolution, resolution, 3]
  private func encode(square: [UInt8], checkCancelled: CancellationCheck) throws -> Matrix {
    let (width, tokens) = (shape.width, shape.tokens)
    cut(square)
    embedded.start.update(from: model.classToken, count: width)
    model.patches.apply(patches.start, rows: tokens - 1, into: embedded.start + width, scratch: scratch)
    Operations.add(embedded.start, model.positions, count: tokens * width)
    norm(embedded, model.normBefore, into: stack.x)
    try stack.run(rows: tokens, checkCancelled: checkCancelled)
    norm(stack.x, model.normAfter, into: embedded)
    features.withMutableFloats { out in
      guard let out = out.baseAddress else { return }
      model.projection.apply(embedded.start, rows: tokens, into: out, scratch: scratch)
    }
    return features
  }

  /// Brings the pixels into the order of patches, each [channel, row, column], and centres them.
  private func cut(_ square: [UInt8]) {
    let (patch, side) = (shape.patch, shape.resolution)
    var out = patches.start
    for top in stride(from: 0, to: side, by: patch) {
      for left in stride(from: 0, to: side, by: patch) {
        for channel in 0..<3 {
          let (mean, deviation) = (Self.means[channel], Self.deviations[channel])
          for row in top..<top + patch {
            for column in left..<left + patch {
              out.pointee = (Float(square[(row * side + column) * 3 + channel]) / 255 - mean) / deviation
              out += 1
            }
          }
        }
      }
    }
  }

  private func norm(_ x: Floats, _ norm: LayerNorm, into out: Floats) {
    Operations.layerNorm(
      x.start, norm.weight, norm.bias, epsilon: EncoderStack.epsilon, rows: shape.tokens, into: out.start)
  }
}
