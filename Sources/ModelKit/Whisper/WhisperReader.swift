internal import Tensors

/// Finds Whisper's tensors in a CTranslate2 file, and checks every shape.
struct WhisperReader {
  let file: CTranslate2

  private static let mostHeads = 1024
  /// How much wider than the model its feed-forward layers may be; Whisper's are four times as wide.
  private static let mostExpansion = 16

  private func fault(_ part: String, expected: String, found: String) -> ModelError {
    ModelError(file: file.file, part: part, .unexpected(expected: expected, found: found))
  }

  func configuration() throws(ModelError) -> WhisperModel.Configuration {
    guard file.specification == "WhisperSpec" else {
      throw fault("specification", expected: "WhisperSpec", found: file.specification)
    }
    func shape(_ name: String, rank: Int) throws(ModelError) -> [Int] {
      let shape = try file.shape(name)
      guard shape.count == rank, shape.allSatisfy({ $0 > 0 }) else {
        throw fault(name, expected: "\(rank) dimensions", found: "\(shape)")
      }
      return shape
    }
    let convolution = try shape("encoder/conv1/weight", rank: 3)
    let audio = try shape("encoder/position_encodings/encodings", rank: 2)
    let text = try shape("decoder/position_encodings/encodings", rank: 2)
    let vocabulary = try shape("decoder/embeddings/weight", rank: 2)
    func layers(_ part: String) throws(ModelError) -> Int {
      var count = 0
      while file.contains("\(part)/layer_\(count)/ffn/linear_0/weight") { count += 1 }
      guard count > 0 else { throw ModelError(file: file.file, part: "\(part)/layer_0", .missing) }
      return count
    }
    // Sizes that the tensors in the file do not bound by themselves, or bound too late.
    func limit(_ name: String, _ found: Int, to range: ClosedRange<Int>, _ what: String) throws(ModelError) {
      guard range.contains(found) else {
        throw fault(name, expected: "\(range.lowerBound) to \(range.upperBound) \(what)", found: "\(found)")
      }
    }
    let width = convolution[0]
    let positions = "position_encodings/encodings"
    try limit("encoder/\(positions)", audio[0], to: 1...LogMel.windowFrames / 2, "positions")
    try limit("decoder/\(positions)", text[0], to: WhisperDecoder.promptRows + 1...1 << 16, "positions")
    try limit("decoder/embeddings/weight", vocabulary[0], to: 1...1 << 24, "tokens")
    func heads(_ part: String) throws(ModelError) -> Int {
      let heads = try file.setting("\(part)/num_heads")
      guard (1...Self.mostHeads).contains(heads), width % heads == 0 else {
        throw fault("\(part)/num_heads", expected: "a divisor of \(width), at most \(Self.mostHeads)", found: "\(heads)")
      }
      return heads
    }
    // What else CTranslate2 can express but this reader does not compute.
    for (name, expected, assumed) in [
      ("decoder/activation", 3, 0), ("decoder/pre_norm", 1, 1), ("decoder/alibi", 0, 0),
      ("decoder/scale_embeddings", 0, 0), ("decoder/start_from_zero_embedding", 0, 0),
    ] {
      let value = try file.setting(name, default: assumed)
      guard value == expected else { throw fault(name, expected: "\(expected)", found: "\(value)") }
    }
    guard width <= Linear.mostInputs / 4, convolution[2] == 3, convolution[1] <= 1024 else {
      throw fault("encoder/conv1/weight", expected: "three taps", found: "\(convolution)")
    }
    return WhisperModel.Configuration(
      melBins: convolution[1], width: width, encoderLayers: try layers("encoder"), encoderHeads: try heads("encoder"),
      decoderLayers: try layers("decoder"), decoderHeads: try heads("decoder"), audioContext: audio[0],
      textContext: text[0], vocabularySize: vocabulary[0])
  }

  private func linear(
    _ name: String, _ outputs: Int, _ inputs: Int, isBiased: Bool = true
  ) throws(ModelError) -> Linear {
    let weight = try file.tensor("\(name)/weight", shape: [outputs, inputs])
    let bias = isBiased ? try file.tensor("\(name)/bias", shape: [outputs]).floats() : nil
    guard let linear = Linear(weight, bias: bias) else {
      throw ModelError(file: file.file, part: name, .tooLarge(found: UInt64(inputs), most: UInt64(Linear.mostInputs)))
    }
    return linear
  }

  private func norm(_ name: String, _ width: Int) throws(ModelError) -> WhisperModel.Norm {
    WhisperModel.Norm(
      weight: try file.tensor("\(name)/gamma", shape: [width]).floats(),
      bias: try file.tensor("\(name)/beta", shape: [width]).floats())
  }

  private func block(_ name: String, _ width: Int, hasCross: Bool) throws(ModelError) -> WhisperModel.Block {
    let inner = try file.shape("\(name)/ffn/linear_0/weight").first ?? 0
    guard (1...Self.mostExpansion * width).contains(inner) else {
      throw fault(
        "\(name)/ffn/linear_0/weight", expected: "1 to \(Self.mostExpansion * width) rows", found: "\(inner)")
    }
    var cross: WhisperModel.Cross?
    if hasCross {
      cross = WhisperModel.Cross(
        norm: try norm("\(name)/attention/layer_norm", width),
        query: try linear("\(name)/attention/linear_0", width, width),
        keyValue: try linear("\(name)/attention/linear_1", 2 * width, width),
        output: try linear("\(name)/attention/linear_2", width, width))
    }
    return WhisperModel.Block(
      attentionNorm: try norm("\(name)/self_attention/layer_norm", width),
      attentionInput: try linear("\(name)/self_attention/linear_0", 3 * width, width),
      attentionOutput: try linear("\(name)/self_attention/linear_1", width, width), cross: cross,
      feedForwardNorm: try norm("\(name)/ffn/layer_norm", width),
      feedForwardInput: try linear("\(name)/ffn/linear_0", inner, width),
      feedForwardOutput: try linear("\(name)/ffn/linear_1", width, inner))
  }

  /// A convolution of three taps as three matrices.
  private func taps(_ name: String, _ outputs: Int, _ inputs: Int) throws(ModelError) -> Tensor {
    let weight = try file.tensor(name, shape: [outputs, inputs, 3]).floats()
    return Tensor(name: name, shape: [3, outputs, inputs]) { out in
      for tap in 0..<3 {
        for index in 0..<outputs * inputs { out[tap * outputs * inputs + index] = weight[index * 3 + tap] }
      }
    }
  }

  func encoder(
    _ shape: WhisperModel.Configuration, _ checkCancelled: CancellationCheck
  ) throws -> WhisperModel.Encoder {
    let width = shape.width
    return WhisperModel.Encoder(
      convolution1: try taps("encoder/conv1/weight", width, shape.melBins),
      bias1: try file.tensor("encoder/conv1/bias", shape: [width]).floats(),
      convolution2: try taps("encoder/conv2/weight", width, width),
      bias2: try file.tensor("encoder/conv2/bias", shape: [width]).floats(),
      positions: try file.tensor("encoder/position_encodings/encodings", shape: [shape.audioContext, width]).floats(),
      blocks: try (0..<shape.encoderLayers).map {
        try checkCancelled()
        return try block("encoder/layer_\($0)", width, hasCross: false)
      },
      norm: try norm("encoder/layer_norm", width))
  }

  func decoder(
    _ shape: WhisperModel.Configuration, _ checkCancelled: CancellationCheck
  ) throws -> WhisperModel.Decoder {
    let width = shape.width
    return WhisperModel.Decoder(
      embedding: try file.tensor("decoder/embeddings/weight", shape: [shape.vocabularySize, width]),
      positions: try file.tensor("decoder/position_encodings/encodings", shape: [shape.textContext, width]).floats(),
      blocks: try (0..<shape.decoderLayers).map {
        try checkCancelled()
        return try block("decoder/layer_\($0)", width, hasCross: true)
      },
      norm: try norm("decoder/layer_norm", width),
      projection: try linear("decoder/projection", shape.vocabularySize, width, isBiased: false))
  }
}
