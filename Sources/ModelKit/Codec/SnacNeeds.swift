extension CheckpointNeeds {
  /// SNAC as ``SnacReader`` finds it; the shape is that of the `config.json` beside the weights. Encoder and decoder nodes
  /// load the same model.
  package static let snac = CheckpointNeeds(
    kinds: ["snac-decoder", "snac-encoder"], files: SnacModel.files.compactMap(\.last),
    formats: [.pyTorch, .safetensors], model: "SNAC"
  ) { checkpoint in
    let folder = checkpoint.file.lastIndex(of: "/").map { String(checkpoint.file[..<$0]) } ?? "."
    return snacTensors(try SnacConfiguration(folder: folder), in: checkpoint)
  }

  /// - Parameter checkpoint: decides on the spelling of the weight norm; without any, the newest.
  package static func snacTensors(
    _ shape: SnacConfiguration, in checkpoint: (any Checkpoint)? = nil
  ) -> [NeededTensor] {
    func contains(_ name: String) -> Bool { checkpoint?.contains(name) ?? false }
    var needed: [NeededTensor] = []
    func weight(_ name: String, _ shape: [Int], biases: Int? = nil) {
      let plain = contains("\(name).weight")
      let norm = SnacReader.weightNorms.first { contains("\(name).\($0.0)") }
      if norm == nil, plain {
        needed.append(NeededTensor("\(name).weight", shape))
      } else {
        let (g, v) = norm ?? SnacReader.weightNorms[0]
        needed += [NeededTensor("\(name).\(g)", [shape[0], 1, 1]), NeededTensor("\(name).\(v)", shape)]
      }
      let biases = biases ?? shape[0]
      if biases > 0 { needed.append(NeededTensor("\(name).bias", [biases])) }
    }
    func snake(_ name: String, _ columns: Int) { needed.append(NeededTensor("\(name).alpha", [1, columns, 1])) }
    func units(_ name: String, from first: Int, _ columns: Int) {
      for index in first..<first + SnacConfiguration.dilations.count {
        snake("\(name).\(index).block.0", columns)
        weight("\(name).\(index).block.1", [columns, 1, 7])
        snake("\(name).\(index).block.2", columns)
        weight("\(name).\(index).block.3", [columns, columns, 1])
      }
    }

    weight("encoder.block.0", [shape.encoderWidth, 1, 7])
    var columns = shape.encoderWidth
    for (index, rate) in shape.encoderRates.enumerated() {
      let name = "encoder.block.\(1 + index).block"
      units(name, from: 0, columns)
      snake("\(name).3", columns)
      weight("\(name).4", [2 * columns, columns, 2 * rate])
      columns *= 2
    }
    weight("encoder.block.\(1 + shape.encoderRates.count)", [columns, 1, 7])
    for level in shape.strides.indices {
      let name = "quantizer.quantizers.\(level)"
      weight("\(name).in_proj", [shape.codebookWidth, shape.latentWidth, 1])
      weight("\(name).out_proj", [shape.latentWidth, shape.codebookWidth, 1])
      needed.append(NeededTensor("\(name).codebook.weight", [shape.codebookSize, shape.codebookWidth]))
    }
    weight("decoder.model.0", [shape.latentWidth, 1, 7])
    weight("decoder.model.1", [shape.decoderWidth, shape.latentWidth, 1])
    columns = shape.decoderWidth
    for (index, rate) in shape.decoderRates.enumerated() {
      let name = "decoder.model.\(2 + index).block"
      snake("\(name).0", columns)
      weight("\(name).1", [columns, columns / 2, 2 * rate], biases: columns / 2)
      columns /= 2
      if shape.hasNoise { weight("\(name).2.linear", [columns, columns, 1], biases: 0) }
      units(name, from: shape.hasNoise ? 3 : 2, columns)
    }
    snake("decoder.model.\(2 + shape.decoderRates.count)", columns)
    weight("decoder.model.\(3 + shape.decoderRates.count)", [1, columns, 7])
    return needed
  }
}
