internal import Tensors

/// Finds SNAC's tensors in a checkpoint, checks every shape, and folds the weight norm into the weights.
struct SnacReader {
  let file: any Checkpoint
  let shape: SnacConfiguration

  /// The names under which a weight-normed matrix is found (g, v), the first that is there counts; without any, the
  /// weight itself.
  static let weightNorms = [
    ("parametrizations.weight.original0", "parametrizations.weight.original1"), ("weight_g", "weight_v"),
  ]

  /// Numbers, and the strides of their dimensions.
  private struct Weight {
    let values: [Float]
    let shape: [Int]

    func callAsFunction(_ i: Int, _ j: Int, _ k: Int) -> Float { values[(i * shape[1] + j) * shape[2] + k] }
  }

  private func floats(_ name: String, _ shape: [Int]) throws(ModelError) -> [Float] {
    try file.tensor(name, shape: shape).floats()
  }

  /// w = g v / |v|, the length being that of all that belongs to one index of the first dimension.
  private func weight(_ name: String, _ shape: [Int]) throws(ModelError) -> Weight {
    for (g, v) in Self.weightNorms where file.contains("\(name).\(g)") {
      let lengths = try floats("\(name).\(g)", [shape[0], 1, 1])
      var values = try floats("\(name).\(v)", shape)
      let count = shape[1] * shape[2]
      for row in 0..<shape[0] {
        let range = row * count..<(row + 1) * count
        let norm = range.reduce(0.0) { $0 + Double(values[$1]) * Double(values[$1]) }.squareRoot()
        let factor = norm > 0 ? Float(Double(lengths[row]) / norm) : 0
        for index in range { values[index] *= factor }
      }
      return Weight(values: values, shape: shape)
    }
    return Weight(values: try floats("\(name).weight", shape), shape: shape)
  }

  private func bias(_ name: String, _ count: Int) throws(ModelError) -> [Float] {
    try floats("\(name).bias", [count])
  }

  private func snake(_ name: String, _ columns: Int) throws(ModelError) -> Snake {
    Snake(alpha: try floats("\(name).alpha", [1, columns, 1]))
  }

  /// A convolution of one tap.
  private func pointwise(
    _ name: String, _ outputs: Int, _ inputs: Int, isBiased: Bool = true
  ) throws(ModelError) -> PackedLinear {
    let weight = try weight(name, [outputs, inputs, 1])
    return PackedLinear(outputs: outputs, inputs: inputs, bias: isBiased ? try bias(name, outputs) : nil) {
      weight($0, $1, 0)
    }
  }

  private func depthwise(
    _ name: String, _ columns: Int, dilation: Int = 1
  ) throws(ModelError) -> DepthwiseConvolution {
    let weight = try weight(name, [columns, 1, DepthwiseConvolution.taps])
    return DepthwiseConvolution(bias: try bias(name, columns), dilation: dilation) { weight($0, 0, $1) }
  }

  private func units(_ name: String, from first: Int, _ columns: Int) throws(ModelError) -> [SnacModel.ResidualUnit] {
    var units: [SnacModel.ResidualUnit] = []
    for (index, dilation) in SnacConfiguration.dilations.enumerated() {
      let name = "\(name).\(first + index).block"
      units.append(
        SnacModel.ResidualUnit(
          before: try snake("\(name).0", columns),
          depthwise: try depthwise("\(name).1", columns, dilation: dilation),
          between: try snake("\(name).2", columns), pointwise: try pointwise("\(name).3", columns, columns)))
    }
    return units
  }

  func quantizer(_ checkCancelled: CancellationCheck) throws -> [SnacModel.Level] {
    let (size, width) = (shape.codebookSize, shape.codebookWidth)
    return try shape.strides.enumerated().map { index, stride in
      try checkCancelled()
      let name = "quantizer.quantizers.\(index)"
      let codebook = try floats("\(name).codebook.weight", [size, width])
      let lengths = (0..<size).map { code in
        let entry = codebook[code * width..<(code + 1) * width]
        return max(entry.reduce(0) { $0 + $1 * $1 }.squareRoot(), 1e-12)
      }
      return SnacModel.Level(
        stride: stride, codebook: codebook,
        directions: PackedLinear(outputs: size, inputs: width) { codebook[$0 * width + $1] / lengths[$0] },
        input: try pointwise("\(name).in_proj", width, shape.latentWidth),
        output: try pointwise("\(name).out_proj", shape.latentWidth, width))
    }
  }

  func decoder(_ checkCancelled: CancellationCheck) throws -> SnacModel.Decoder {
    let depthwise = try depthwise("decoder.model.0", shape.latentWidth)
    let pointwise = try pointwise("decoder.model.1", shape.decoderWidth, shape.latentWidth)
    var columns = shape.decoderWidth
    var blocks: [SnacModel.DecoderBlock] = []
    for (index, rate) in shape.decoderRates.enumerated() {
      try checkCancelled()
      blocks.append(try decoderBlock("decoder.model.\(2 + index).block", inputs: columns, rate: rate))
      columns /= 2
    }
    let last = 2 + blocks.count
    let taps = DepthwiseConvolution.taps
    let output = try weight("decoder.model.\(last + 1)", [1, columns, taps])
    return SnacModel.Decoder(
      depthwise: depthwise, pointwise: pointwise, blocks: blocks,
      snake: try snake("decoder.model.\(last)", columns),
      output: (0..<taps * columns).map { output(0, $0 % columns, $0 / columns) },
      outputBias: try bias("decoder.model.\(last + 1)", 1)[0])
  }

  private func decoderBlock(_ name: String, inputs: Int, rate: Int) throws(ModelError) -> SnacModel.DecoderBlock {
    let columns = inputs / 2
    // Each input row gives 2 · rate output rows that begin rate after those of the row before. So rate output rows are
    // the sum of the later half of what the row before gives and the earlier half of what this row gives.
    let weight = try weight("\(name).1", [inputs, columns, 2 * rate])
    let bias = try bias("\(name).1", columns)
    let transposed = PackedLinear(
      outputs: rate * columns, inputs: 2 * inputs, bias: (0..<rate * columns).map { bias[$0 % columns] }
    ) { output, input in
      let tap = output / columns
      return input < inputs
        ? weight(input, output % columns, tap + rate) : weight(input - inputs, output % columns, tap)
    }
    return SnacModel.DecoderBlock(
      rate: rate, columns: columns, snake: try snake("\(name).0", inputs), transposed: transposed,
      noise: shape.hasNoise ? try pointwise("\(name).2.linear", columns, columns, isBiased: false) : nil,
      units: try units(name, from: shape.hasNoise ? 3 : 2, columns))
  }

  func encoder(_ checkCancelled: CancellationCheck) throws -> SnacModel.Encoder {
    var columns = shape.encoderWidth
    let taps = DepthwiseConvolution.taps
    let first = try weight("encoder.block.0", [columns, 1, taps])
    let input = PackedLinear(outputs: columns, inputs: taps, bias: try bias("encoder.block.0", columns)) {
      first($0, 0, $1)
    }
    var blocks: [SnacModel.EncoderBlock] = []
    for (index, rate) in shape.encoderRates.enumerated() {
      try checkCancelled()
      let name = "encoder.block.\(1 + index).block"
      let weight = try weight("\(name).4", [2 * columns, columns, 2 * rate])
      let width = columns
      blocks.append(
        SnacModel.EncoderBlock(
          rate: rate, columns: columns, units: try units(name, from: 0, columns),
          snake: try snake("\(name).3", columns),
          strided: PackedLinear(
            outputs: 2 * columns, inputs: 2 * rate * columns, bias: try bias("\(name).4", 2 * columns)
          ) { weight($0, $1 % width, $1 / width) }))
      columns *= 2
    }
    return SnacModel.Encoder(
      input: input, blocks: blocks, depthwise: try depthwise("encoder.block.\(1 + blocks.count)", columns))
  }
}
