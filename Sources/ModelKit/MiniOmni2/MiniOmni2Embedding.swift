public import Tensors

/// Tokens to Mini-Omni2's inputs: a position's is the mean of eight embeddings, seven of audio tokens and one of a text
/// token (reference: `litgpt/model.py`, `concat_feat` and the sum over layers).
public final class MiniOmni2Embedding: Sendable {
  public let configuration: MiniOmni2Configuration
  public let ids: MiniOmni2IDs
  private let tensor: Tensor

  /// - Parameter tensor: [vocabulary, width].
  package init(_ configuration: MiniOmni2Configuration, _ tensor: Tensor) {
    (self.configuration, ids, self.tensor) = (configuration, MiniOmni2IDs(configuration), tensor)
  }

  /// The input of one position.
  ///
  /// - Parameters:
  ///   - audio: a token of each audio layer, counted within the layer; nil for pads.
  ///   - row: the row of `out` that gets it.
  /// - Throws: ``ModelInputError`` for a token outside its layer's vocabulary.
  public func embed(
    audio: ArraySlice<Int32>?, text: Int32, into out: inout Matrix, row: Int
  ) throws(ModelInputError) {
    let layers = MiniOmni2Configuration.audioLayers
    guard audio == nil || audio?.count == layers else {
      throw .shape(expected: "\(layers) audio tokens", found: "\(audio?.count ?? 0)")
    }
    let limit = Int32(clamping: configuration.audioVocabularySize)
    for token in audio ?? [] where !(0..<limit).contains(token) {
      throw .tokenOutOfRange(token, vocabulary: configuration.audioVocabularySize)
    }
    try check(text: text)
    guard out.columns == configuration.width, (0..<out.rows).contains(row) else {
      throw .shape(expected: "room for row \(row) of \(configuration.width)", found: "\(out.rows) of \(out.columns)")
    }
    out.withMutableFloats { floats in
      guard let start = floats.baseAddress.map({ $0 + row * configuration.width }) else { return }
      withUnsafeTemporaryAllocation(of: Float.self, capacity: configuration.width) { scratch in
        guard let scratch = scratch.baseAddress else { return }
        start.update(repeating: 0, count: configuration.width)
        for layer in 0..<layers {
          let local = audio.map { $0[$0.startIndex + layer] } ?? ids.padAudio
          add(globalID(local, layer: layer), to: start, scratch)
        }
        add(Int(text), to: start, scratch)
        average(start)
      }
    }
  }

  /// A prompt's inputs.
  ///
  /// - Returns: those of all columns but the last, which the rows have in common, and the last column's, a row each.
  /// - Throws: ``ModelInputError`` for a token outside its vocabulary, or features of another width.
  public func embed(_ prompt: MiniOmni2Prompt) throws(ModelInputError) -> (shared: Matrix, last: Matrix) {
    let layers = MiniOmni2Configuration.audioLayers
    let count = prompt.columns
    var shared = Matrix(rows: max(0, count - 1), columns: configuration.width)
    for column in 0..<shared.rows {
      let audio = [Int32](repeating: prompt.audio[column], count: layers)
      try embed(audio: audio[...], text: prompt.text[column], into: &shared, row: column)
    }
    for part in prompt.features {
      guard part.values.columns == configuration.width, part.column >= 0, part.column + part.values.rows <= shared.rows
      else {
        throw .shape(
          expected: "features of \(configuration.width) within \(shared.rows) columns",
          found: "\(part.values.rows) of \(part.values.columns) from column \(part.column)")
      }
      for row in 0..<part.values.rows {
        place(part.values, row, prompt.text[part.column + row], &shared, part.column + row)
      }
    }
    var last = Matrix(rows: prompt.lastAudio.count, columns: configuration.width)
    for (row, local) in prompt.lastAudio.enumerated() {
      let audio = [Int32](repeating: local, count: layers)
      try embed(audio: audio[...], text: prompt.text[count - 1], into: &last, row: row)
    }
    return (shared, last)
  }

  /// A feature stands in for the seven audio embeddings; the text's stays.
  private func place(_ features: Matrix, _ feature: Int, _ text: Int32, _ out: inout Matrix, _ row: Int) {
    let width = configuration.width
    out.withMutableFloats { floats in
      features.values.withUnsafeBufferPointer { values in
        guard let start = floats.baseAddress.map({ $0 + row * width }), let values = values.baseAddress else { return }
        withUnsafeTemporaryAllocation(of: Float.self, capacity: width) { scratch in
          guard let scratch = scratch.baseAddress else { return }
          start.update(repeating: 0, count: width)
          for _ in 0..<MiniOmni2Configuration.audioLayers {
            Operations.add(start, values + feature * width, count: width)
          }
          add(Int(text), to: start, scratch)
          average(start)
        }
      }
    }
  }

  private func check(text: Int32) throws(ModelInputError) {
    guard (0..<Int32(clamping: configuration.textVocabularySize)).contains(text) else {
      throw .tokenOutOfRange(text, vocabulary: configuration.textVocabularySize)
    }
  }

  private func globalID(_ local: Int32, layer: Int) -> Int {
    Int(local) + configuration.textVocabularySize + layer * configuration.audioVocabularySize
  }

  private func add(_ id: Int, to out: UnsafeMutablePointer<Float>, _ scratch: UnsafeMutablePointer<Float>) {
    tensor.expandRows(id..<id + 1, into: scratch)
    Operations.add(out, scratch, count: configuration.width)
  }

  private func average(_ out: UnsafeMutablePointer<Float>) {
    let factor = 1 / Float(MiniOmni2Configuration.audioLayers + 1)
    for index in 0..<configuration.width { out[index] *= factor }
  }
}
