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
public final class MiniOmni2HeadRunner {
  public let head: MiniOmni2Head
  private let scratch = Scratch()
  private let text, audio: Floats

  public init(_ head: MiniOmni2Head) {
    self.head = head
    text = Floats(head.configuration.textVocabularySize)
    audio = Floats(MiniOmni2Configuration.audioLayers * head.configuration.audioVocabularySize)
  }

  /// The text token's logits, which stay until the next call.
  ///
  /// - Parameter row: of `hidden`, [rows, width].
  /// - Throws: ``ModelInputError`` for another width or a row that is not there.
  public func textLogits(_ hidden: Matrix, row: Int) throws(ModelInputError) -> UnsafeBufferPointer<Float> {
    let size = head.configuration.textVocabularySize
    try multiply(hidden, row, 0..<size, into: text)
    return UnsafeBufferPointer(start: text.start, count: size)
  }

  /// The seven audio tokens' logits, one layer behind the other, which stay until the next call.
  ///
  /// - Throws: ``ModelInputError`` for another width or a row that is not there.
  public func audioLogits(_ hidden: Matrix, row: Int) throws(ModelInputError) -> [UnsafeBufferPointer<Float>] {
    let (first, size) = (head.configuration.textVocabularySize, head.configuration.audioVocabularySize)
    try multiply(hidden, row, first..<first + MiniOmni2Configuration.audioLayers * size, into: audio)
    return (0..<MiniOmni2Configuration.audioLayers).map {
      UnsafeBufferPointer(start: audio.start + $0 * size, count: size)
    }
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

  private func multiply(
    _ hidden: Matrix, _ row: Int, _ range: Range<Int>, into out: Floats
  ) throws(ModelInputError) {
    let width = head.configuration.width
    guard hidden.columns == width, (0..<hidden.rows).contains(row) else {
      throw .shape(expected: "row \(row) of hidden states of \(width)", found: "\(hidden.rows) of \(hidden.columns)")
    }
    hidden.values.withUnsafeBufferPointer { values in
      guard let values = values.baseAddress else { return }
      head.linear.apply(values + row * width, rows: 1, range: range, into: out.start, scratch: scratch)
    }
  }
}
