internal import Tensors

/// Finds CLIP's vision transformer in a file, and checks every shape.
struct ClipReader {
  let file: any Checkpoint

  static let prefix = "visual."
  /// CLIP's head width: the file does not tell the number of heads.
  private static let headWidth = 64
  private static let mostResolution = 4096
  private static let mostLayers = 1024
  /// How much wider than the model its feed-forward layers may be; CLIP's are four times as wide.
  private static let mostExpansion = 16

  private func fault(_ name: String, expected: String, found: Any) -> ModelError {
    ModelError(file: file.file, part: Self.prefix + name, .unexpected(expected: expected, found: "\(found)"))
  }

  private func shape(_ name: String) throws(ModelError) -> [Int] { try file.shape(Self.prefix + name) }

  func configuration() throws(ModelError) -> ClipModel.Configuration {
    let (filter, projection) = (try shape("conv1.weight"), try shape("proj"))
    guard filter.count == 4, filter[1] == 3, filter[2] == filter[3], (1...Self.mostResolution).contains(filter[2])
    else {
      throw fault("conv1.weight", expected: "[width, 3, patch, patch]", found: filter)
    }
    let (width, patch) = (filter[0], filter[2])
    guard (1...Linear.mostInputs / 4).contains(width), width % Self.headWidth == 0 else {
      throw fault(
        "conv1.weight", expected: "a width that is a multiple of \(Self.headWidth), at most \(Linear.mostInputs / 4)",
        found: width)
    }
    guard projection.count == 2, projection[0] == width, (1...Linear.mostInputs).contains(projection[1]) else {
      throw fault("proj", expected: "[\(width), features]", found: projection)
    }
    let positions = try shape("positional_embedding")
    let grid = Int(Double(max(0, (positions.first ?? 0) - 1)).squareRoot())
    guard positions == [grid * grid + 1, width], (1...Self.mostResolution / patch).contains(grid) else {
      throw fault(
        "positional_embedding",
        expected: "[patches of a square of at most \(Self.mostResolution) pixels a side, and one, \(width)]",
        found: positions)
    }
    var layers = 0
    while layers <= Self.mostLayers, file.contains("\(Self.prefix)transformer.resblocks.\(layers).ln_1.weight") {
      layers += 1
    }
    guard (1...Self.mostLayers).contains(layers) else {
      throw fault("transformer.resblocks", expected: "1 to \(Self.mostLayers) layers", found: layers)
    }
    return ClipModel.Configuration(
      resolution: grid * patch, patch: patch, width: width, layers: layers, heads: width / Self.headWidth,
      features: projection[1])
  }

  // MARK: Tensors

  func floats(_ name: String, _ shape: [Int]) throws(ModelError) -> [Float] {
    try file.tensor(Self.prefix + name, shape: shape).floats()
  }

  func norm(_ name: String, _ width: Int) throws(ModelError) -> LayerNorm {
    LayerNorm(weight: try floats("\(name).weight", [width]), bias: try floats("\(name).bias", [width]))
  }

  private func linear(
    _ weight: String, bias: String, _ outputs: Int, _ inputs: Int
  ) throws(ModelError) -> Linear {
    try linear(file.tensor(Self.prefix + weight, shape: [outputs, inputs]), bias: floats(bias, [outputs]))
  }

  private func linear(_ weight: Tensor, bias: [Float]? = nil) throws(ModelError) -> Linear {
    guard let linear = Linear(weight, bias: bias) else {
      throw ModelError(
        file: file.file, part: weight.name,
        .tooLarge(found: UInt64(weight.shape.last ?? 0), most: UInt64(Linear.mostInputs)))
    }
    return linear
  }

  func block(_ name: String, _ width: Int) throws(ModelError) -> EncoderBlock {
    let first = "\(name).mlp.c_fc.weight"
    let inner = try shape(first).first ?? 0
    guard (1...Self.mostExpansion * width).contains(inner) else {
      throw fault(first, expected: "1 to \(Self.mostExpansion * width) rows", found: inner)
    }
    return EncoderBlock(
      attentionNorm: try norm("\(name).ln_1", width),
      attentionInput: [
        try linear("\(name).attn.in_proj_weight", bias: "\(name).attn.in_proj_bias", 3 * width, width)
      ],
      attentionOutput: try linear("\(name).attn.out_proj.weight", bias: "\(name).attn.out_proj.bias", width, width),
      feedForwardNorm: try norm("\(name).ln_2", width),
      feedForwardInput: try linear(first, bias: "\(name).mlp.c_fc.bias", inner, width),
      feedForwardOutput: try linear("\(name).mlp.c_proj.weight", bias: "\(name).mlp.c_proj.bias", width, inner))
  }

  /// The convolution over patches that do not overlap, as one matrix.
  func patches(_ shape: ClipModel.Configuration) throws(ModelError) -> Linear {
    let inputs = 3 * shape.patch * shape.patch
    let weight = try floats("conv1.weight", [shape.width, 3, shape.patch, shape.patch])
    return try linear(
      Tensor(name: "\(Self.prefix)conv1.weight", shape: [shape.width, inputs]) { out in
        for (index, value) in weight.enumerated() { out[index] = value }
      })
  }

  /// The projection, which is stored [width, features].
  func projection(_ shape: ClipModel.Configuration) throws(ModelError) -> Linear {
    let stored = try floats("proj", [shape.width, shape.features])
    return try linear(
      Tensor(name: "\(Self.prefix)proj", shape: [shape.features, shape.width]) { out in
        for row in 0..<shape.features {
          for column in 0..<shape.width { out[row * shape.width + column] = stored[column * shape.features + row] }
        }
      })
  }
}

extension CheckpointNeeds {
  /// CLIP's vision transformer in OpenAI's archive, whose other half reads text.
  package static let clip = CheckpointNeeds(
    kinds: ["vision-encoder"], files: ["ViT-B-32.pt"], formats: [.torchScript, .pyTorch, .safetensors],
    model: "CLIP's vision transformer",
    ignoredPrefixes: [
      "transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_projection", "logit_scale",
      "input_resolution", "context_length", "vocab_size", "CONSTANTS.",
    ]
  ) { checkpoint in
    let shape = try ClipReader(file: checkpoint).configuration()
    let width = shape.width
    var needed: [(name: String, shape: [Int])] = [
      ("conv1.weight", [width, 3, shape.patch, shape.patch]), ("class_embedding", [width]),
      ("positional_embedding", [shape.tokens, width]), ("proj", [width, shape.features]),
    ]
    func norm(_ name: String) { needed += [("\(name).weight", [width]), ("\(name).bias", [width])] }
    norm("ln_pre")
    for layer in 0..<shape.layers {
      let name = "transformer.resblocks.\(layer)"
      let inner = checkpoint.tensors["\(ClipReader.prefix)\(name).mlp.c_fc.weight"]?.shape.first ?? 4 * width
      needed += [
        ("\(name).attn.in_proj_weight", [3 * width, width]), ("\(name).attn.in_proj_bias", [3 * width]),
        ("\(name).attn.out_proj.weight", [width, width]), ("\(name).attn.out_proj.bias", [width]),
        ("\(name).mlp.c_fc.weight", [inner, width]), ("\(name).mlp.c_fc.bias", [inner]),
        ("\(name).mlp.c_proj.weight", [width, inner]), ("\(name).mlp.c_proj.bias", [width]),
      ]
      norm("\(name).ln_1")
      norm("\(name).ln_2")
    }
    norm("ln_post")
    return needed.map { NeededTensor(ClipReader.prefix + $0.name, $0.shape) }
  }
}
