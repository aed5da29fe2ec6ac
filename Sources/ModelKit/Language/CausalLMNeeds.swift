extension CheckpointNeeds {
  /// A language model as ``CausalLM`` finds it in a GGUF file.
  package static let causalLM = CheckpointNeeds(
    kinds: ["llm-step", "text-head"], files: CausalLM.files, formats: [.gguf], model: "causal language model, GGUF"
  ) { checkpoint in
    guard let file = checkpoint as? GGUF else {
      throw ModelError(file: checkpoint.file, .unexpected(expected: "a GGUF file", found: checkpoint.format.rawValue))
    }
    let (shape, vocabularySize) = try CausalLM.configuration(file)
    let (queryWidth, keyWidth) = (shape.heads * shape.headWidth, shape.keyHeads * shape.headWidth)
    var needed = [
      NeededTensor("token_embd.weight", [vocabularySize, shape.width]),
      NeededTensor("output_norm.weight", [shape.width]),
      // Without it the embedding serves as head.
      NeededTensor("output.weight", [vocabularySize, shape.width], isOptional: true),
    ]
    for layer in 0..<shape.layers {
      for (name, outputs, inputs) in [
        ("attn_q", queryWidth, shape.width), ("attn_k", keyWidth, shape.width), ("attn_v", keyWidth, shape.width),
        ("attn_output", shape.width, queryWidth), ("ffn_gate", shape.feedForwardWidth, shape.width),
        ("ffn_up", shape.feedForwardWidth, shape.width), ("ffn_down", shape.width, shape.feedForwardWidth),
      ] { needed.append(NeededTensor("blk.\(layer).\(name).weight", [outputs, inputs])) }
      for (name, width) in [("attn_q", queryWidth), ("attn_k", keyWidth), ("attn_v", keyWidth)] {
        needed.append(NeededTensor("blk.\(layer).\(name).bias", [width], isOptional: true))
      }
      for name in ["attn_norm", "ffn_norm"] {
        needed.append(NeededTensor("blk.\(layer).\(name).weight", [shape.width]))
      }
    }
    return needed
  }
}
