package import Tensors

/// The tensors of a release's `lit_model.pth`, by litgpt's names; every shape is checked against the configuration.
package struct MiniOmni2Weights {
  package static let file = "lit_model.pth"

  let configuration: MiniOmni2Configuration
  private let checkpoint: any Checkpoint

  /// - Parameter folder: a release's; safetensors in it serve as well, sharded or not.
  /// - Throws: ``ModelError``, or what `checkCancelled` throws.
  package init(folder: String, checkCancelled: CancellationCheck = {}) throws {
    configuration = try MiniOmni2Configuration(folder: folder)
    let path = folder + "/" + Self.file
    checkpoint = try Checkpoints.open(
      ModelFolder.holds(Self.file, in: folder) ? path : folder, checkCancelled: checkCancelled)
  }

  package var path: String { checkpoint.file }

  /// Whether there are tensors whose names begin so.
  func contains(prefix: String) -> Bool { checkpoint.tensors.contains { $0.name.hasPrefix(prefix) } }

  package func linear(
    _ name: String, outputs: Int, inputs: Int, hasBias: Bool = false
  ) throws(ModelError) -> Linear {
    let weight = try checkpoint.tensor("\(name).weight", shape: [outputs, inputs])
    let bias = hasBias ? try checkpoint.tensor("\(name).bias", shape: [outputs]).floats() : nil
    guard let linear = Linear(weight, bias: bias) else {
      throw ModelError(file: path, part: name, .tooLarge(found: UInt64(inputs), most: UInt64(Linear.mostInputs)))
    }
    return linear
  }

  private func norm(_ name: String) throws(ModelError) -> [Float] {
    try checkpoint.tensor("\(name).weight", shape: [configuration.width]).floats()
  }

  func layer(_ index: Int) throws(ModelError) -> Transformer.Layer {
    let (shape, name) = (configuration, "transformer.h.\(index)")
    let input = try linear(
      "\(name).attn.attn", outputs: shape.attentionRows, inputs: shape.width, hasBias: shape.hasAttentionBias)
    return Transformer.Layer(
      attentionNorm: try norm("\(name).norm_1"),
      attentionInput: Transformer.AttentionInput(grouped: input, groups: shape.keyHeads, headWidth: shape.headWidth),
      attentionOutput: try linear(
        "\(name).attn.proj", outputs: shape.width, inputs: shape.heads * shape.headWidth),
      feedForwardNorm: try norm("\(name).norm_2"),
      gate: try linear("\(name).mlp.fc_1", outputs: shape.feedForwardWidth, inputs: shape.width),
      up: try linear("\(name).mlp.fc_2", outputs: shape.feedForwardWidth, inputs: shape.width),
      down: try linear("\(name).mlp.proj", outputs: shape.width, inputs: shape.feedForwardWidth))
  }

  func finalNorm() throws(ModelError) -> [Float] { try norm("transformer.ln_f") }

  func embedding() throws(ModelError) -> Tensor {
    try checkpoint.tensor("transformer.wte.weight", shape: [configuration.vocabularySize, configuration.width])
  }

  /// The head; a checkpoint without one of its own uses the embedding.
  func head() throws(ModelError) -> Linear {
    try linear(headName, outputs: configuration.vocabularySize, inputs: configuration.width)
  }

  private var headName: String { checkpoint.contains("lm_head.weight") ? "lm_head" : "transformer.wte" }

  /// The head's row for one text token less that for another, [width]: what the difference of their logits is made with.
  func headDifference(_ token: Int32, _ other: Int32) throws(ModelError) -> [Float] {
    let (width, name) = (configuration.width, "\(headName).weight")
    let tensor = try checkpoint.tensor(name, shape: [configuration.vocabularySize, width])
    let rows = Floats(2 * width)
    tensor.expandRows(Int(token)..<Int(token) + 1, into: rows.start)
    tensor.expandRows(Int(other)..<Int(other) + 1, into: rows.start + width)
    return (0..<width).map { rows.start[$0] - rows.start[width + $0] }
  }
}

extension CheckpointNeeds {
  /// Mini-Omni2's language model as ``MiniOmni2Weights`` finds it; its configuration lies beside the checkpoint.
  package static let miniOmni2 = CheckpointNeeds(
    kinds: ["llm-step", "omni-prompt", "audio-token-head", "listener-detector"], files: [MiniOmni2Weights.file],
    formats: [.pyTorch, .safetensors],
    model: "Mini-Omni2's language model", ignoredPrefixes: ["whisper_adapter.", "vision_adapter."]
  ) { checkpoint in
    let folder = checkpoint.file.lastIndex(of: "/").map { String(checkpoint.file[..<$0]) } ?? "."
    let shape = try MiniOmni2Configuration(folder: folder)
    let (width, inner) = (shape.width, shape.feedForwardWidth)
    var needed = [
      NeededTensor("transformer.wte.weight", [shape.vocabularySize, width]),
      // Without it the embedding serves as head.
      NeededTensor("lm_head.weight", [shape.vocabularySize, width], isOptional: true),
      NeededTensor("transformer.ln_f.weight", [width]),
    ]
    for layer in 0..<shape.layers {
      let name = "transformer.h.\(layer)"
      for norm in ["norm_1", "norm_2"] { needed.append(NeededTensor("\(name).\(norm).weight", [width])) }
      for (part, rows, columns) in [
        ("attn.attn", shape.attentionRows, width), ("attn.proj", width, shape.heads * shape.headWidth),
        ("mlp.fc_1", inner, width), ("mlp.fc_2", inner, width), ("mlp.proj", width, inner),
      ] { needed.append(NeededTensor("\(name).\(part).weight", [rows, columns])) }
      if shape.hasAttentionBias { needed.append(NeededTensor("\(name).attn.attn.bias", [shape.attentionRows])) }
    }
    return needed
  }
}
