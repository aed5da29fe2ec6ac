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
    guard out.columns == configuration.width, (0..<out.rows).contains(row) else {
      throw .shape(expected: "room for row \(row) of \(configuration.width)", found: "\(out.rows) of \(out.columns)")
    }
    try check(audioCount: audio?.count)
    for token in audio ?? [] { try check(audio: token) }
    try check(text: text)
    out.withMutableFloats { floats in
      guard let start = floats.baseAddress.map({ $0 + row * configuration.width }) else { return }
      guard let audio else { return sum(nil, text, into: start) }
      audio.withUnsafeBufferPointer { sum($0, text, into: start) }
    }
  }

  /// The input of one position, with nothing allocated.
  ///
  /// - Parameters:
  ///   - audio: a token of each audio layer, counted within the layer; nil for pads.
  ///   - out: gets a row.
  /// - Throws: ``ModelInputError`` for a token outside its layer's vocabulary.
  package func embed(
    audio: UnsafeBufferPointer<Int32>?, text: Int32, into out: UnsafeMutablePointer<Float>
  ) throws(ModelInputError) {
    try check(audioCount: audio?.count)
    if let audio { for token in audio { try check(audio: token) } }
    try check(text: text)
    sum(audio, text, into: out)
  }

  /// The mean of eight embeddings whose tokens have been checked.
  private func sum(_ audio: UnsafeBufferPointer<Int32>?, _ text: Int32, into out: UnsafeMutablePointer<Float>) {
    out.update(repeating: 0, count: configuration.width)
    for layer in 0..<MiniOmni2Configuration.audioLayers {
      tensor.addRow(globalID(audio.map { $0[layer] } ?? ids.padAudio, layer: layer), to: out)
    }
    tensor.addRow(Int(text), to: out)
    average(out)
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
        start.update(repeating: 0, count: width)
        for _ in 0..<MiniOmni2Configuration.audioLayers {
          Operations.add(start, values + feature * width, count: width)
        }
        tensor.addRow(Int(text), to: start)
        average(start)
      }
    }
  }

  private func check(audioCount: Int?) throws(ModelInputError) {
    let layers = MiniOmni2Configuration.audioLayers
    guard audioCount == nil || audioCount == layers else {
      throw .shape(expected: "\(layers) audio tokens", found: "\(audioCount ?? 0)")
    }
  }

  private func check(audio: Int32) throws(ModelInputError) {
    guard (0..<Int32(clamping: configuration.audioVocabularySize)).contains(audio) else {
      throw .tokenOutOfRange(audio, vocabulary: configuration.audioVocabularySize)
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

  private func average(_ out: UnsafeMutablePointer<Float>) {
    let factor = 1 / Float(MiniOmni2Configuration.audioLayers + 1)
    for index in 0..<configuration.width { out[index] *= factor }
  }
}
