import ModelKit

/// What a matrix's weights cost.
struct Format {
  /// Of a weight, scales included.
  var bits: Double
  var arithmetic: Roofline.Arithmetic

  static let f32 = Format(bits: 32, arithmetic: .fp32)
  static let bf16 = Format(bits: 16, arithmetic: .bf16)
  /// No instruction multiplies halves, but with their range given up they are bf16.
  static let f16 = Format(bits: 16, arithmetic: .bf16)
  static let int8 = Format(bits: 8.5, arithmetic: .int8)
  static let int4 = Format(bits: 4.5, arithmetic: .int8)

  init(bits: Double, arithmetic: Roofline.Arithmetic) { (self.bits, self.arithmetic) = (bits, arithmetic) }

  /// - Parameter stored: what the files hold.
  init(_ weights: WeightPrecision, stored: Format) {
    self =
      switch weights.rawValue {
      case "f32": .f32
      case "bf16": .bf16
      case "int8": .int8
      case "int4": .int4
      default: stored
      }
  }
}

/// Counted from the models' dimensions: multiply-adds of matrices and of attention, and bytes of weights, keys and values.
extension StageWork {
  init(multiplyAdds: Double, weights: Double, _ format: Format, otherBytes: Double = 0) {
    self.init(
      operations: 2 * multiplyAdds, bytes: weights * format.bits / 8 + otherBytes, arithmetic: format.arithmetic)
  }

  /// - Parameters:
  ///   - rows: positions that are computed.
  ///   - outputs: of the head, each computed for `headRows`.
  ///   - before: positions that each row looks back on.
  static func language(
    _ shape: MiniOmni2Configuration, rows: Int, outputs: Int, headRows: Int, before: Int, _ format: Format
  ) -> StageWork {
    let (heads, keyHeads) = (shape.heads * shape.headWidth, shape.keyHeads * shape.headWidth)
    let layer = shape.width * (2 * heads + 2 * keyHeads + 3 * shape.feedForwardWidth)
    let (body, head) = (shape.layers * layer, outputs * shape.width)
    let seen = before > 0 ? before : rows / 2
    let attention = 2 * shape.layers * rows * seen * heads
    let remembered = 2 * shape.layers * keyHeads * before * rows * 4
    return StageWork(
      multiplyAdds: Double(rows * body + headRows * head + attention), weights: Double(body + head), format,
      otherBytes: Double(remembered))
  }

  static func whisper(_ shape: WhisperEncoderModel.Configuration, _ format: Format) -> StageWork {
    let convolutions = 3 * shape.width * (2 * shape.melBins + shape.width)
    let blocks = Self.blocks(layers: shape.layers, width: shape.width, rows: shape.context)
    return StageWork(
      multiplyAdds: Double(shape.context * convolutions) + blocks.multiplyAdds, weights: blocks.weights, format)
  }

  static func clip(_ shape: ClipModel.Configuration, _ format: Format) -> StageWork {
    let patches = 3 * shape.patch * shape.patch * shape.width
    let projection = shape.width * shape.features
    let blocks = Self.blocks(layers: shape.layers, width: shape.width, rows: shape.tokens)
    return StageWork(
      multiplyAdds: Double(shape.tokens * (patches + projection)) + blocks.multiplyAdds,
      weights: Double(patches + projection) + blocks.weights, format)
  }

  /// One frame. Its first block alone has more weights than caches hold.
  static func snac(_ shape: SnacConfiguration) -> StageWork {
    var (rows, width) = (shape.frameRows, shape.decoderWidth)
    var (multiplyAdds, weights) = (rows * shape.latentWidth * width, shape.latentWidth * width)
    for rate in shape.decoderRates {
      // The transposed convolution, of which every row out takes two taps; then noise and three residual units.
      let (transposed, half) = (width * width / 2 * 2, width / 2)
      rows *= rate
      let units = half * half * (shape.hasNoise ? 4 : 3)
      multiplyAdds += rows * (transposed + units + 3 * 7 * half)
      weights += transposed * rate + units
      width = half
    }
    multiplyAdds += rows * 7 * width
    return StageWork(multiplyAdds: Double(multiplyAdds), weights: Double(weights), .f32)
  }

  /// Transformer blocks in which all rows see each other.
  private static func blocks(layers: Int, width: Int, rows: Int) -> (multiplyAdds: Double, weights: Double) {
    let weights = layers * 12 * width * width
    return (Double(rows * weights + layers * 2 * rows * rows * width), Double(weights))
  }
}
