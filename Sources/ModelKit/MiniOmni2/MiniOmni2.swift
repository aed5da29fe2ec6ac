public import Tensors

/// Mini-Omni2's language model (arXiv 2410.11190): a transformer whose every position takes seven audio tokens and one of
/// text, and whose hidden state ``MiniOmni2Head`` turns into as many.
///
/// The model never changes and is shared; a ``MiniOmni2Runner`` computes with it and a ``KVCache`` remembers one row of one
/// session. Loaded from a folder as the hub holds it: `model_config.yaml` and `lit_model.pth` (or safetensors).
public final class MiniOmni2: Sendable {
  public let configuration: MiniOmni2Configuration
  public let embedding: MiniOmni2Embedding
  let transformer: Transformer

  package init(embedding: MiniOmni2Embedding, transformer: Transformer) {
    (configuration, self.embedding, self.transformer) = (embedding.configuration, embedding, transformer)
  }
}

extension MiniOmni2 {
  /// Files of a release's folder, as ``ModelFolder`` looks for them.
  static let files = [MiniOmni2Configuration.file, MiniOmni2Weights.file, "tokenizer.json"]

  /// - Throws: ``ModelError``, `ComputeError` for a wrong `ANTIPHON_CPU`, or what `checkCancelled` throws.
  package convenience init(
    embedding: MiniOmni2Embedding, weights: MiniOmni2Weights, precision: WeightPrecision,
    checkCancelled: CancellationCheck = {}
  ) throws {
    try Compute.check()
    let shape = embedding.configuration
    let keeper = WeightKeeper(precision, file: weights.path, part: "layers")
    let layers = try (0..<shape.layers).map { index in
      try checkCancelled()
      return try weights.layer(index).kept(by: keeper)
    }
    keeper.finish()
    let configuration = TransformerConfiguration(
      layers: shape.layers, width: shape.width, heads: shape.heads, keyHeads: shape.keyHeads,
      headWidth: shape.headWidth, feedForwardWidth: shape.feedForwardWidth, context: shape.context,
      epsilon: shape.epsilon, rotaryBase: shape.rotaryBase, rotaryPairing: .halves)
    self.init(
      embedding: embedding,
      transformer: Transformer(configuration: configuration, layers: layers, finalNorm: try weights.finalNorm()))
  }
}

extension KVCache {
  /// One row's memory.
  ///
  /// - Parameter capacity: positions; the model's whole context by default, never more.
  /// - Throws: ``ModelInputError/noMemory(bytes:)``.
  public convenience init(_ model: MiniOmni2, capacity: Int? = nil) throws(ModelInputError) {
    try self.init(model.transformer.configuration, capacity: capacity)
  }
}

/// Computes with a ``MiniOmni2``; one for each thread that does. Its buffers are allocated once.
public final class MiniOmni2Runner {
  public let model: MiniOmni2
  package let layers: TransformerRunner

  public init(_ model: MiniOmni2) {
    self.model = model
    layers = TransformerRunner(model.transformer)
  }

  /// Appends positions that are given as embeddings to one row.
  ///
  /// - Parameter embeddings: [positions, width], as ``MiniOmni2Embedding`` makes them.
  /// - Returns: hidden states after the final norm: of the last position, or of each.
  /// - Throws: ``ModelInputError``, or what `checkCancelled` throws (polled once a layer); the cache is then as before.
  public func forward(
    _ embeddings: Matrix, cache: KVCache, keep: KeptStates = .last, checkCancelled: CancellationCheck = {}
  ) throws -> Matrix {
    try check(embeddings)
    return try layers.forward(rows: embeddings.rows, cache: cache, keep: keep, checkCancelled: checkCancelled) {
      embeddings.copyRows($0, to: $1)
    }
  }

  /// Appends one position to each of several rows, of one session or many, reading the weights once for all of them.
  ///
  /// - Parameter embeddings: a row for each cache.
  /// - Returns: hidden states after the final norm, a row for each cache.
  /// - Throws: ``ModelInputError``, or what `checkCancelled` throws (polled once a layer); the caches are then as before.
  public func step(
    _ embeddings: Matrix, caches: [KVCache], checkCancelled: CancellationCheck = {}
  ) throws -> Matrix {
    try check(embeddings)
    return try layers.step(embeddings, caches: caches, checkCancelled: checkCancelled)
  }

  /// Begins to append embeddings to one row, layer by layer: ``TransformerRunner/proceed()`` of ``layers`` does the work.
  ///
  /// - Throws: ``ModelInputError``.
  package func begin(_ embeddings: Matrix, cache: KVCache) throws(ModelInputError) {
    try check(embeddings)
    try layers.begin(rows: embeddings.rows, cache: cache, keep: .last) { embeddings.copyRows($0, to: $1) }
  }

  package func check(_ embeddings: Matrix) throws(ModelInputError) {
    guard embeddings.columns == model.configuration.width else {
      throw .shape(expected: "embeddings of \(model.configuration.width)", found: "\(embeddings.columns)")
    }
  }
}
