internal import Tensors

/// What the parts of Whisper's encoder are called in a file.
struct WhisperNames: Sendable {
  var convolution1, convolution2, positions, norm: String
  /// What stands before a layer's number.
  var layer: String
  /// Settings; a file that does not count its layers has as many as there are.
  var heads: String
  var layers: String?
  // Behind a layer's name; those of the text decoder's layers are the same.
  var attentionNorm, attentionOutput, feedForwardNorm, feedForwardInput, feedForwardOutput: String
  /// Query, key and value.
  var attentionInput: [String]
  /// The one of them that has no bias.
  var unbiased: String?
  // Behind the name of a matrix or a norm.
  var weight, bias, normWeight, normBias: String

  static let cTranslate2 = WhisperNames(
    convolution1: "encoder/conv1", convolution2: "encoder/conv2", positions: "encoder/position_encodings/encodings",
    norm: "encoder/layer_norm", layer: "encoder/layer_", heads: "encoder/num_heads",
    attentionNorm: "/self_attention/layer_norm", attentionOutput: "/self_attention/linear_1",
    feedForwardNorm: "/ffn/layer_norm", feedForwardInput: "/ffn/linear_0", feedForwardOutput: "/ffn/linear_1",
    attentionInput: ["/self_attention/linear_0"], weight: "/weight", bias: "/bias", normWeight: "/gamma",
    normBias: "/beta")

  /// The checkpoints of openai-whisper: `{dims, model_state_dict}`.
  static let openAI = WhisperNames(
    convolution1: "encoder.conv1", convolution2: "encoder.conv2", positions: "encoder.positional_embedding",
    norm: "encoder.ln_post", layer: "encoder.blocks.", heads: "dims.n_audio_head", layers: "dims.n_audio_layer",
    attentionNorm: ".attn_ln", attentionOutput: ".attn.out", feedForwardNorm: ".mlp_ln", feedForwardInput: ".mlp.0",
    feedForwardOutput: ".mlp.2", attentionInput: [".attn.query", ".attn.key", ".attn.value"], unbiased: ".attn.key",
    weight: ".weight", bias: ".bias", normWeight: ".weight", normBias: ".bias")
}

/// Finds Whisper's tensors in a file of either layout, and checks every shape.
struct WhisperReader {
  let file: any Checkpoint
  let names: WhisperNames

  private static let mostHeads = 1024
  /// How much wider than the model its feed-forward layers may be; Whisper's are four times as wide.
  private static let mostExpansion = 16

  /// - Throws: ``ModelError`` for a file that holds no Whisper.
  init(_ file: any Checkpoint) throws(ModelError) {
    self.file = file
    if let file = file as? CTranslate2 {
      names = .cTranslate2
      guard file.specification == "WhisperSpec" else {
        throw fault("specification", expected: "WhisperSpec", found: file.specification)
      }
    } else {
      names = .openAI
      let first = "\(names.convolution1)\(names.weight)"
      guard file.format == .pyTorch, file.contains(first) else {
        throw ModelError(
          file: file.file,
          .unexpected(
            expected: "Whisper as CTranslate2 or openai-whisper writes it",
            found: file.format.rawValue + (file.format == .pyTorch ? " without \(first)" : "")))
      }
    }
  }

  func fault(_ part: String, expected: String, found: String) -> ModelError {
    ModelError(file: file.file, part: part, .unexpected(expected: expected, found: found))
  }

  // MARK: Dimensions

  /// Of a tensor without empty dimensions.
  func shape(_ name: String, rank: Int) throws(ModelError) -> [Int] {
    let shape = try file.shape(name)
    guard shape.count == rank, shape.allSatisfy({ $0 > 0 }) else {
      throw fault(name, expected: "\(rank) dimensions", found: "\(shape)")
    }
    return shape
  }

  /// A size that the tensors in the file do not bound by themselves, or bound too late.
  func limit(_ name: String, _ found: Int, to range: ClosedRange<Int>, _ what: String) throws(ModelError) {
    guard range.contains(found) else {
      throw fault(name, expected: "\(range.lowerBound) to \(range.upperBound) \(what)", found: "\(found)")
    }
  }

  func heads(_ name: String, width: Int) throws(ModelError) -> Int {
    let heads = try file.integer(name, in: 1...Self.mostHeads)
    guard width % heads == 0 else {
      throw fault(name, expected: "a divisor of \(width), at most \(Self.mostHeads)", found: "\(heads)")
    }
    return heads
  }

  /// Layers that are there, by their first feed-forward matrix.
  func count(_ layer: String) throws(ModelError) -> Int {
    var count = 0
    while file.contains("\(layer)\(count)\(names.feedForwardInput)\(names.weight)") { count += 1 }
    guard count > 0 else { throw ModelError(file: file.file, part: "\(layer)0", .missing) }
    return count
  }

  func encoderConfiguration() throws(ModelError) -> WhisperEncoderModel.Configuration {
    let first = "\(names.convolution1)\(names.weight)"
    let convolution = try shape(first, rank: 3)
    let width = convolution[0]
    let context = try shape(names.positions, rank: 2)[0]
    try limit(names.positions, context, to: 1...LogMel.windowFrames / 2, "positions")
    let heads = try heads(names.heads, width: width)
    guard width <= Linear.mostInputs / 4, convolution[2] == 3, convolution[1] <= 1024 else {
      throw fault(first, expected: "three taps", found: "\(convolution)")
    }
    var layers = 0
    if let setting = names.layers {
      layers = try file.integer(setting, in: 1...1024)
    } else {
      layers = try count(names.layer)
    }
    return WhisperEncoderModel.Configuration(
      melBins: convolution[1], width: width, layers: layers, heads: heads, context: context)
  }

  // MARK: Tensors

  func floats(_ name: String, _ shape: [Int]) throws(ModelError) -> [Float] {
    try file.tensor(name, shape: shape).floats()
  }

  func linear(
    _ name: String, _ outputs: Int, _ inputs: Int, isBiased: Bool = true
  ) throws(ModelError) -> Linear {
    let weight = try file.tensor("\(name)\(names.weight)", shape: [outputs, inputs])
    let bias = isBiased ? try floats("\(name)\(names.bias)", [outputs]) : nil
    guard let linear = Linear(weight, bias: bias) else {
      throw ModelError(file: file.file, part: name, .tooLarge(found: UInt64(inputs), most: UInt64(Linear.mostInputs)))
    }
    return linear
  }

  func norm(_ name: String, _ width: Int) throws(ModelError) -> LayerNorm {
    LayerNorm(
      weight: try floats("\(name)\(names.normWeight)", [width]), bias: try floats("\(name)\(names.normBias)", [width]))
  }

  /// A layer without what looks at another sequence.
  func block(_ name: String, _ width: Int) throws(ModelError) -> EncoderBlock {
    let first = "\(name)\(names.feedForwardInput)\(names.weight)"
    let inner = try file.shape(first).first ?? 0
    guard (1...Self.mostExpansion * width).contains(inner) else {
      throw fault(first, expected: "1 to \(Self.mostExpansion * width) rows", found: "\(inner)")
    }
    var parts: [Linear] = []
    for part in names.attentionInput {
      let outputs = 3 / names.attentionInput.count * width
      parts.append(try linear("\(name)\(part)", outputs, width, isBiased: part != names.unbiased))
    }
    return EncoderBlock(
      attentionNorm: try norm("\(name)\(names.attentionNorm)", width), attentionInput: parts,
      attentionOutput: try linear("\(name)\(names.attentionOutput)", width, width),
      feedForwardNorm: try norm("\(name)\(names.feedForwardNorm)", width),
      feedForwardInput: try linear("\(name)\(names.feedForwardInput)", inner, width),
      feedForwardOutput: try linear("\(name)\(names.feedForwardOutput)", width, inner))
  }

  /// A convolution of three taps as one matrix, [outputs, 3 * inputs]: a row of it multiplies three frames one behind the
  /// other.
  func convolution(_ name: String, _ outputs: Int, _ inputs: Int) throws(ModelError) -> Linear {
    let weight = try floats("\(name)\(names.weight)", [outputs, inputs, 3])
    let matrix = Tensor(name: name, shape: [outputs, 3 * inputs]) { out in
      for output in 0..<outputs {
        let (row, taps) = (out + output * 3 * inputs, output * inputs * 3)
        for tap in 0..<3 { for input in 0..<inputs { row[tap * inputs + input] = weight[taps + input * 3 + tap] } }
      }
    }
    guard let linear = Linear(matrix, bias: try floats("\(name)\(names.bias)", [outputs])) else {
      throw ModelError(
        file: file.file, part: name, .tooLarge(found: UInt64(3 * inputs), most: UInt64(Linear.mostInputs)))
    }
    return linear
  }
}

// MARK: The text decoder

extension WhisperReader {
  func decoderConfiguration(_ file: CTranslate2) throws(ModelError) -> WhisperDecoderModel.Configuration {
    let text = "decoder/position_encodings/encodings"
    let embedding = "decoder/embeddings/weight"
    let (audio, context) = (try shape(names.positions, rank: 2), try shape(text, rank: 2))
    let vocabulary = try shape(embedding, rank: 2)
    let width = audio[1]
    try limit(names.positions, audio[0], to: 1...LogMel.windowFrames / 2, "positions")
    try limit(names.positions, width, to: 1...Linear.mostInputs / 4, "floats")
    try limit(text, context[0], to: WhisperDecoder.promptRows + 1...1 << 16, "positions")
    try limit(embedding, vocabulary[0], to: 1...1 << 24, "tokens")
    // What else CTranslate2 can express but this reader does not compute.
    for (name, expected, assumed) in [
      ("decoder/activation", 3, 0), ("decoder/pre_norm", 1, 1), ("decoder/alibi", 0, 0),
      ("decoder/scale_embeddings", 0, 0), ("decoder/start_from_zero_embedding", 0, 0),
    ] {
      let value = try file.setting(name, default: assumed)
      guard value == expected else { throw fault(name, expected: "\(expected)", found: "\(value)") }
    }
    return WhisperDecoderModel.Configuration(
      width: width, layers: try count("decoder/layer_"), heads: try heads("decoder/num_heads", width: width),
      audioContext: audio[0], textContext: context[0], vocabularySize: vocabulary[0])
  }

  func decoderBlock(_ name: String, _ width: Int) throws(ModelError) -> WhisperDecoderModel.Block {
    WhisperDecoderModel.Block(
      own: try block(name, width), crossNorm: try norm("\(name)/attention/layer_norm", width),
      crossQuery: try linear("\(name)/attention/linear_0", width, width),
      crossKeyValue: try linear("\(name)/attention/linear_1", 2 * width, width),
      crossOutput: try linear("\(name)/attention/linear_2", width, width))
  }
}
