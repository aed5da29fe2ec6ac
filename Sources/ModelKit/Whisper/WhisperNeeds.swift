extension CheckpointNeeds {
  /// Whisper's encoder as ``WhisperReader`` finds it in either layout.
  package static let whisperEncoder = CheckpointNeeds(
    kinds: ["whisper-encoder"], files: ["model.bin", "small.pt"], formats: [.cTranslate2, .pyTorch],
    model: "Whisper's encoder, CTranslate2 or openai-whisper", ignoredPrefixes: ["decoder/", "decoder."]
  ) { checkpoint in
    let reader = try WhisperReader(checkpoint)
    let (shape, names) = (try reader.encoderConfiguration(), reader.names)
    var needed = [
      NeededTensor("\(names.convolution1)\(names.weight)", [shape.width, shape.melBins, 3]),
      NeededTensor("\(names.convolution1)\(names.bias)", [shape.width]),
      NeededTensor("\(names.convolution2)\(names.weight)", [shape.width, shape.width, 3]),
      NeededTensor("\(names.convolution2)\(names.bias)", [shape.width]),
      NeededTensor(names.positions, [shape.context, shape.width]),
    ]
    for layer in 0..<shape.layers { needed += reader.neededBlock("\(names.layer)\(layer)", shape.width) }
    return reader.withScales(needed + reader.neededNorm(names.norm, shape.width))
  }

  /// Whisper's text decoder in a CTranslate2 file.
  package static let whisperDecoder = CheckpointNeeds(
    kinds: ["whisper-decoder"], files: ["model.bin"], formats: [.cTranslate2],
    model: "Whisper's decoder, CTranslate2",
    ignoredPrefixes: ["encoder/"]
  ) { checkpoint in
    guard let file = checkpoint as? CTranslate2 else {
      throw ModelError(
        file: checkpoint.file, .unexpected(expected: "a CTranslate2 file", found: checkpoint.format.rawValue))
    }
    let reader = try WhisperReader(file)
    let shape = try reader.decoderConfiguration(file)
    let width = shape.width
    var needed = [
      NeededTensor(reader.names.positions, [shape.audioContext, width]),
      NeededTensor("decoder/embeddings/weight", [shape.vocabularySize, width]),
      NeededTensor("decoder/position_encodings/encodings", [shape.textContext, width]),
      NeededTensor("decoder/projection/weight", [shape.vocabularySize, width]),
    ]
    for layer in 0..<shape.layers {
      let name = "decoder/layer_\(layer)"
      needed += reader.neededBlock(name, width) + reader.neededNorm("\(name)/attention/layer_norm", width)
      for (part, outputs) in [("linear_0", width), ("linear_1", 2 * width), ("linear_2", width)] {
        needed += reader.neededLinear("\(name)/attention/\(part)", outputs, width)
      }
    }
    return reader.withScales(needed + reader.neededNorm("decoder/layer_norm", width))
  }
}

extension WhisperReader {
  fileprivate func neededNorm(_ name: String, _ width: Int) -> [NeededTensor] {
    [NeededTensor("\(name)\(names.normWeight)", [width]), NeededTensor("\(name)\(names.normBias)", [width])]
  }

  fileprivate func neededLinear(
    _ name: String, _ outputs: Int, _ inputs: Int, isBiased: Bool = true
  ) -> [NeededTensor] {
    let weight = NeededTensor("\(name)\(names.weight)", [outputs, inputs])
    return isBiased ? [weight, NeededTensor("\(name)\(names.bias)", [outputs])] : [weight]
  }

  fileprivate func neededBlock(_ name: String, _ width: Int) -> [NeededTensor] {
    let inner = file.tensors["\(name)\(names.feedForwardInput)\(names.weight)"]?.shape.first ?? 4 * width
    let outputs = 3 / names.attentionInput.count * width
    return neededNorm("\(name)\(names.attentionNorm)", width)
      + names.attentionInput.flatMap {
        neededLinear("\(name)\($0)", outputs, width, isBiased: $0 != names.unbiased)
      }
      + neededLinear("\(name)\(names.attentionOutput)", width, width)
      + neededNorm("\(name)\(names.feedForwardNorm)", width)
      + neededLinear("\(name)\(names.feedForwardInput)", inner, width)
      + neededLinear("\(name)\(names.feedForwardOutput)", width, inner)
  }

  /// CTranslate2's 8-bit weights come with a scale a row.
  fileprivate func withScales(_ needed: [NeededTensor]) -> [NeededTensor] {
    guard file is CTranslate2 else { return needed }
    return needed
      + needed.compactMap { tensor in
        guard let stored = file.tensors[tensor.name], stored.type == .i8, let rows = stored.shape.first else {
          return nil
        }
        return NeededTensor("\(stored.name)_scale", [rows])
      }
  }
}
