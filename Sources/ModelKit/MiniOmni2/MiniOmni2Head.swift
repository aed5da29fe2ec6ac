public import Tensors

/// Mini-Omni2's last matrix: a hidden state to the logits of the text token and of seven audio tokens.
public final class MiniOmni2Head: Sendable {
  public let configuration: MiniOmni2Configuration
  public let ids: MiniOmni2IDs
  let linear: Linear

  package init(_ configuration: MiniOmni2Configuration, _ linear: Linear) {
    (self.configuration, ids, self.linear) = (configuration, MiniOmni2IDs(configuration), linear)
  }
}

/// Computes logits; one for each thread that does. Its buffers are allocated once.
///
/// Several answers' logits are computed together, which reads the weights once: ``MiniOmni2Answer/ask(_:rows:_:)`` adds
/// what an answer needs, ``compute()`` computes, and ``MiniOmni2Answer/choose(_:_:)`` looks at the result.
public final class MiniOmni2HeadRunner {
  public let head: MiniOmni2Head
  private let scratch = Scratch()
  private let text, audio: HeadRows
  private let textRange, audioRange: Range<Int>

  public init(_ head: MiniOmni2Head) {
    self.head = head
    let shape = head.configuration
    textRange = 0..<shape.textVocabularySize
    let audioSize = MiniOmni2Configuration.audioLayers * shape.audioVocabularySize
    audioRange = textRange.upperBound..<textRange.upperBound + audioSize
    text = HeadRows(width: shape.width, outputs: textRange.count)
    audio = HeadRows(width: shape.width, outputs: audioRange.count)
  }

  // MARK: One hidden state

  /// The text token's logits, which stay until the next call.
  ///
  /// - Parameter row: of `hidden`, [rows, width].
  /// - Throws: ``ModelInputError`` for another width or a row that is not there.
  public func textLogits(_ hidden: Matrix, row: Int) throws(ModelInputError) -> UnsafeBufferPointer<Float> {
    removeAll()
    try add(hidden, row, to: text)
    compute()
    return textLogits(0)
  }

  /// The seven audio tokens' logits, one layer behind the other, which stay until the next call.
  ///
  /// - Throws: ``ModelInputError`` for another width or a row that is not there.
  public func audioLogits(_ hidden: Matrix, row: Int) throws(ModelInputError) -> [UnsafeBufferPointer<Float>] {
    removeAll()
    try add(hidden, row, to: audio)
    compute()
    return (0..<MiniOmni2Configuration.audioLayers).map { audioLogits(0, layer: $0) }
  }

  private func add(_ hidden: Matrix, _ row: Int, to rows: HeadRows) throws(ModelInputError) {
    guard hidden.columns == head.configuration.width, (0..<hidden.rows).contains(row) else {
      throw .shape(
        expected: "row \(row) of hidden states of \(head.configuration.width)",
        found: "\(hidden.rows) of \(hidden.columns)")
    }
    hidden.values.withUnsafeBufferPointer { values in
      if let start = values.baseAddress { _ = rows.add(start + row * hidden.columns) }
    }
  }

  // MARK: Several

  /// Forgets what was added.
  package func removeAll() {
    text.removeAll()
    audio.removeAll()
  }

  /// Whether another answer's needs can be added.
  package var hasRoom: Bool { max(text.count, audio.count) < HeadRows.most }

  func addText(_ state: UnsafePointer<Float>) -> Int { text.add(state) }
  func addAudio(_ state: UnsafePointer<Float>) -> Int { audio.add(state) }

  /// Computes the logits of all that was added.
  package func compute() {
    text.multiply(head.linear, range: textRange, scratch: scratch)
    audio.multiply(head.linear, range: audioRange, scratch: scratch)
  }

  func textLogits(_ place: Int) -> UnsafeBufferPointer<Float> { UnsafeBufferPointer(text[place]) }

  func audioLogits(_ place: Int, layer: Int) -> UnsafeBufferPointer<Float> {
    let size = head.configuration.audioVocabularySize
    return UnsafeBufferPointer(rebasing: audio[place][layer * size..<(layer + 1) * size])
  }

  /// All logits of every row, as a model computes them whose rows do not share the work: what benchmarks compare.
  ///
  /// - Parameter out: [rows of `hidden`, vocabulary].
  /// - Throws: ``ModelInputError`` for other shapes.
  package func logits(_ hidden: Matrix, into out: inout Matrix) throws(ModelInputError) {
    let configuration = head.configuration
    guard hidden.columns == configuration.width, out.rows == hidden.rows, out.columns == configuration.vocabularySize
    else {
      throw .shape(
        expected: "hidden states of \(configuration.width), and as many rows of \(configuration.vocabularySize)",
        found: "\(hidden.rows) of \(hidden.columns), and \(out.rows) of \(out.columns)")
    }
    hidden.values.withUnsafeBufferPointer { values in
      out.withMutableFloats { out in
        guard let values = values.baseAddress, let out = out.baseAddress else { return }
        head.linear.apply(values, rows: hidden.rows, into: out, scratch: scratch)
      }
    }
  }
}
