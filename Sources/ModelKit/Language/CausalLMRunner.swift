public import Tensors

/// Computes with a ``CausalLM``; one for each thread that does. Its buffers are allocated once.
public final class CausalLMRunner {
  public let model: CausalLM
  package let layers: TransformerRunner
  private let width: Int

  public init(_ model: CausalLM) {
    self.model = model
    layers = TransformerRunner(model.transformer)
    width = model.configuration.width
  }

  /// Appends tokens to a session.
  ///
  /// - Returns: hidden states after the final norm: of the last token, or of each.
  /// - Throws: ``ModelInputError``, or what `checkCancelled` throws (polled once a layer); the cache is then as before.
  public func forward(
    tokens: [Int32], cache: KVCache, keep: KeptStates = .last, checkCancelled: CancellationCheck = {}
  ) throws -> Matrix {
    try check(tokens)
    return try layers.forward(rows: tokens.count, cache: cache, keep: keep, checkCancelled: checkCancelled) {
      embed(tokens[$0], into: $1)
    }
  }

  /// Appends positions that are given as embeddings, a row each.
  ///
  /// - Returns: hidden states after the final norm: of the last position, or of each.
  /// - Throws: ``ModelInputError``, or what `checkCancelled` throws (polled once a layer); the cache is then as before.
  public func forward(
    embeddings: Matrix, cache: KVCache, keep: KeptStates = .last, checkCancelled: CancellationCheck = {}
  ) throws -> Matrix {
    try check(embeddings)
    return try layers.forward(rows: embeddings.rows, cache: cache, keep: keep, checkCancelled: checkCancelled) {
      embeddings.copyRows($0, to: $1)
    }
  }

  /// Appends one position to each of several sessions, reading the weights once for all of them.
  ///
  /// - Parameter embeddings: a row for each cache.
  /// - Returns: hidden states after the final norm, a row for each cache.
  /// - Throws: ``ModelInputError``, or what `checkCancelled` throws (polled once a layer); the caches are then as before.
  public func step(
    embeddings: Matrix, caches: [KVCache], checkCancelled: CancellationCheck = {}
  ) throws -> Matrix {
    try check(embeddings)
    return try layers.step(embeddings, caches: caches, checkCancelled: checkCancelled)
  }

  /// Begins to append tokens to a session, layer by layer: ``TransformerRunner/proceed()`` of ``layers`` does the work.
  ///
  /// - Throws: ``ModelInputError``.
  package func begin(tokens: [Int32], cache: KVCache) throws(ModelInputError) {
    try check(tokens)
    try layers.begin(rows: tokens.count, cache: cache, keep: .last) { [self] in embed(tokens[$0], into: $1) }
  }

  /// Writes the embedding of one token.
  ///
  /// - Throws: ``ModelInputError`` for a token outside the vocabulary.
  package func embed(_ token: Int32, into out: UnsafeMutablePointer<Float>) throws(ModelInputError) {
    guard (0..<Int32(clamping: model.vocabularySize)).contains(token) else {
      throw .tokenOutOfRange(token, vocabulary: model.vocabularySize)
    }
    model.embedding.expandRows(Int(token)..<Int(token) + 1, into: out)
  }

  /// The embeddings of tokens, a row each.
  ///
  /// - Throws: ``ModelInputError`` for a token outside the vocabulary.
  public func embed(_ tokens: [Int32]) throws(ModelInputError) -> Matrix {
    try check(tokens)
    var result = Matrix(rows: tokens.count, columns: width)
    result.withMutableFloats { out in
      if let out = out.baseAddress { embed(tokens[...], into: out) }
    }
    return result
  }

  private func embed(_ tokens: ArraySlice<Int32>, into out: UnsafeMutablePointer<Float>) {
    for (row, token) in tokens.enumerated() {
      model.embedding.expandRows(Int(token)..<Int(token) + 1, into: out + row * width)
    }
  }

  private func check(_ tokens: [Int32]) throws(ModelInputError) {
    for token in tokens where !(0..<Int32(clamping: model.vocabularySize)).contains(token) {
      throw .tokenOutOfRange(token, vocabulary: model.vocabularySize)
    }
  }

  private func check(_ embeddings: Matrix) throws(ModelInputError) {
    guard embeddings.columns == width else {
      throw .shape(expected: "embeddings of \(width)", found: "\(embeddings.columns)")
    }
  }
}
