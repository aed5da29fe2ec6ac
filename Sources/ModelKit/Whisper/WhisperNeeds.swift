extension CheckpointNeeds {
  /// Whisper as ``WhisperReader`` finds it in a CTranslate2 file. Encoder and decoder nodes load the same model.
  package static let whisper = CheckpointNeeds(
    kinds: ["whisper-encoder", "whisper-decoder"], formats: [.cTranslate2], model: "Whisper, CTranslate2"
  ) { checkpoint in
    guard let file = checkpoint as? CTranslate2 else {
      throw ModelError(
        file: checkpoint.file, .unexpected(expected: "a CTranslate2 file", found: checkpoint.format.rawValue))
    }
    let shape = try WhisperReader(file: file).configuration()
    let width = shape.width
    var needed: [NeededTensor] = [
      NeededTensor("encoder/conv1/weight", [width, shape.melBins, 3]),
      NeededTensor("encoder/conv1/bias", [width]),
      NeededTensor("encoder/conv2/weight", [width, width, 3]),
      NeededTensor("encoder/conv2/bias", [width]),
      NeededTensor("encoder/position_encodings/encodings", [shape.audioContext, width]),
      NeededTensor("decoder/embeddings/weight", [shape.vocabularySize, width]),
      NeededTensor("decoder/position_encodings/encodings", [shape.textContext, width]),
      NeededTensor("decoder/projection/weight", [shape.vocabularySize, width]),
    ]
    func norm(_ name: String) {
      needed += [NeededTensor("\(name)/gamma", [width]), NeededTensor("\(name)/beta", [width])]
    }
    func linear(_ name: String, _ outputs: Int, _ inputs: Int) {
      needed += [NeededTensor("\(name)/weight", [outputs, inputs]), NeededTensor("\(name)/bias", [outputs])]
    }
    func block(_ name: String, hasCross: Bool) {
      let inner = file.tensors["\(name)/ffn/linear_0/weight"]?.shape.first ?? 4 * width
      norm("\(name)/self_attention/layer_norm")
      linear("\(name)/self_attention/linear_0", 3 * width, width)
      linear("\(name)/self_attention/linear_1", width, width)
      if hasCross {
        norm("\(name)/attention/layer_norm")
        linear("\(name)/attention/linear_0", width, width)
        linear("\(name)/attention/linear_1", 2 * width, width)
        linear("\(name)/attention/linear_2", width, width)
      }
      norm("\(name)/ffn/layer_norm")
      linear("\(name)/ffn/linear_0", inner, width)
      linear("\(name)/ffn/linear_1", width, inner)
    }
    for layer in 0..<shape.encoderLayers { block("encoder/layer_\(layer)", hasCross: false) }
    for layer in 0..<shape.decoderLayers { block("decoder/layer_\(layer)", hasCross: true) }
    norm("encoder/layer_norm")
    norm("decoder/layer_norm")
    // 8-bit weights come with a scale a row.
    needed += needed.compactMap { tensor in
      guard let stored = file.tensors[tensor.name], stored.type == .i8, let rows = stored.shape.first else {
        return nil
      }
      return NeededTensor("\(stored.name)_scale", [rows])
    }
    return needed
  }
}
