internal import Tensors

extension CausalLM {
  /// Reads a GGUF file of the `llama` or `qwen2` architecture.
  ///
  /// - Throws: ``ModelError``, `ComputeError` for a wrong `ANTIPHON_CPU`, or what `checkCancelled` throws.
  package convenience init(
    gguf path: String, precision: WeightPrecision = .stored, checkCancelled: CancellationCheck = {}
  ) throws {
    try Compute.check()
    let file = try GGUF(path: path, checkCancelled: checkCancelled)
    let (shape, vocabularySize) = try Self.configuration(file)
    let embedding = try file.tensor("token_embd.weight", shape: [vocabularySize, shape.width])

    let keeper = WeightKeeper(precision, file: path)
    func linear(_ name: String, _ outputs: Int, _ inputs: Int, biased: Bool = false) throws(ModelError) -> Linear {
      let weight = try file.tensor("\(name).weight", shape: [outputs, inputs])
      let hasBias = biased && file.tensors["\(name).bias"] != nil
      let bias = hasBias ? try file.tensor("\(name).bias", shape: [outputs]).floats() : nil
      guard let linear = Linear(weight, bias: bias) else {
        throw ModelError(
          file: path, part: name, .tooLarge(found: UInt64(inputs), most: UInt64(Linear.mostInputs)))
      }
      return try keeper.keep(linear)
    }
    func norm(_ name: String) throws(ModelError) -> [Float] {
      try file.tensor("\(name).weight", shape: [shape.width]).floats()
    }
    let (queryWidth, keyWidth) = (shape.heads * shape.headWidth, shape.keyHeads * shape.headWidth)
    var layers: [Transformer.Layer] = []
    for index in 0..<shape.layers {
      try checkCancelled()
      let name = "blk.\(index)"
      layers.append(
        Transformer.Layer(
          attentionNorm: try norm("\(name).attn_norm"),
          attentionInput: Transformer.AttentionInput(
            query: try linear("\(name).attn_q", queryWidth, shape.width, biased: true),
            key: try linear("\(name).attn_k", keyWidth, shape.width, biased: true),
            value: try linear("\(name).attn_v", keyWidth, shape.width, biased: true), keyHeads: shape.keyHeads),
          attentionOutput: try linear("\(name).attn_output", shape.width, queryWidth),
          feedForwardNorm: try norm("\(name).ffn_norm"),
          gate: try linear("\(name).ffn_gate", shape.feedForwardWidth, shape.width),
          up: try linear("\(name).ffn_up", shape.feedForwardWidth, shape.width),
          down: try linear("\(name).ffn_down", shape.width, shape.feedForwardWidth)))
    }
    let isTied = file.tensors["output.weight"] == nil
    let head = try linear(isTied ? "token_embd" : "output", vocabularySize, shape.width)
    keeper.finish()
    let tokenizer = try Tokenizer(gguf: file, checkCancelled: checkCancelled)
    guard tokenizer.vocabularySize <= vocabularySize else {
      throw ModelError(
        file: path, part: "tokenizer.ggml.tokens",
        .unexpected(expected: "at most \(vocabularySize) tokens", found: "\(tokenizer.vocabularySize)"))
    }
    var ends = Set(["<|im_end|>", "<|endoftext|>"].compactMap(tokenizer.token(named:)))
    if let end = try? file.integer("tokenizer.ggml.eos_token_id", in: 0...vocabularySize - 1) {
      ends.insert(Int32(end))
    }
    self.init(
      transformer: Transformer(configuration: shape, layers: layers, finalNorm: try norm("output_norm")),
      embedding: embedding, head: LanguageHead(head), tokenizer: tokenizer, endTokens: ends)
  }

  static func configuration(
    _ file: GGUF
  ) throws(ModelError) -> (shape: TransformerConfiguration, vocabularySize: Int) {
    let architecture = try file.string("general.architecture")
    guard ["llama", "qwen2"].contains(architecture) else {
      throw ModelError(
        file: file.file, part: "general.architecture", .unexpected(expected: "llama or qwen2", found: architecture))
    }
    func integer(_ key: String, in range: ClosedRange<Int>, default fallback: Int? = nil) throws(ModelError) -> Int {
      try file.integer("\(architecture).\(key)", in: range, default: fallback)
    }
    // Rotary positions that are stretched beyond the trained context would need another table.
    for key in ["rope.scaling.type", "rope.scaling.factor"] where file.settings["\(architecture).\(key)"] != nil {
      throw ModelError(
        file: file.file, part: "\(architecture).\(key)", .invalid("scaled rotary positions are not read"))
    }
    guard file.tensors["rope_freqs.weight"] == nil else {
      throw ModelError(file: file.file, part: "rope_freqs.weight", .invalid("scaled rotary positions are not read"))
    }
    let width = try integer("embedding_length", in: 1...Linear.mostInputs)
    let heads = try integer("attention.head_count", in: 1...1024)
    let keyHeads = try integer("attention.head_count_kv", in: 1...heads, default: heads)
    let headWidth = try integer("attention.key_length", in: 2...1024, default: width / heads)
    guard heads % keyHeads == 0, headWidth >= 2, headWidth % 2 == 0, heads * headWidth <= Linear.mostInputs else {
      throw ModelError(
        file: file.file, part: "\(architecture).attention",
        .invalid("\(heads) heads of \(headWidth) over \(keyHeads) key heads do not divide"))
    }
    _ = try integer("attention.value_length", in: headWidth...headWidth, default: headWidth)
    _ = try integer("rope.dimension_count", in: headWidth...headWidth, default: headWidth)
    guard let vocabulary = file.tensors["token_embd.weight"]?.shape.first, (1...1 << 24).contains(vocabulary) else {
      throw ModelError(file: file.file, part: "token_embd.weight", .missing)
    }
    let epsilon = try file.real("\(architecture).attention.layer_norm_rms_epsilon", default: 1e-5)
    let base = try file.real("\(architecture).rope.freq_base", default: 10_000)
    guard epsilon >= 0, epsilon < 1, base > 1 else {
      throw ModelError(file: file.file, part: architecture, .invalid("epsilon \(epsilon) or rope base \(base)"))
    }
    let shape = TransformerConfiguration(
      layers: try integer("block_count", in: 1...1024), width: width, heads: heads, keyHeads: keyHeads,
      headWidth: headWidth, feedForwardWidth: try integer("feed_forward_length", in: 1...Linear.mostInputs),
      context: try integer("context_length", in: 1...1 << 20), epsilon: Float(epsilon), rotaryBase: Float(base),
      rotaryPairing: architecture == "llama" ? .neighbours : .halves)
    return (shape, vocabulary)
  }
}
