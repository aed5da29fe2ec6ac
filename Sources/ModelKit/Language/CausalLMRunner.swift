public import Tensors

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Darwin)
  internal import Darwin
#endif

/// Computes with a ``CausalLM``; one for each thread that does. Its buffers are allocated once.
public final class CausalLMRunner {
  /// Which positions' hidden states a call returns.
  public enum Kept: Sendable { case last, all }

  public let model: CausalLM
  private let shape: CausalLM.Configuration
  private let scratch = Scratch()
  private var rotary: RotaryTable

  /// Rows that pass through the layers together.
  private static let block = 256
  // Activations of a block, [rows, ...].
  private let x, normed, query, key, value, mixed, gate, up: Floats
  private var hidden = Matrix(rows: 0, columns: 0)

  public init(_ model: CausalLM) {
    self.model = model
    shape = model.configuration
    rotary = RotaryTable(width: shape.headWidth, base: shape.rotaryBase)
    let rows = min(Self.block, shape.context)
    x = Floats(rows * shape.width)
    normed = Floats(rows * shape.width)
    query = Floats(rows * shape.heads * shape.headWidth)
    key = Floats(rows * shape.keyHeads * shape.headWidth)
    value = Floats(rows * shape.keyHeads * shape.headWidth)
    mixed = Floats(rows * max(shape.heads * shape.headWidth, shape.width))
    gate = Floats(rows * shape.feedForwardWidth)
    up = Floats(rows * shape.feedForwardWidth)
  }

  /// Appends tokens to a session.
  ///
  /// - Returns: hidden states after the final norm: of the last token, or of each.
  /// - Throws: ``ModelInputError``, or what `checkCancelled` throws (polled once a layer); the cache is then as before.
  public func forward(
    tokens: [Int32], cache: KVCache, keep: Kept = .last, checkCancelled: CancellationCheck = {}
  ) throws -> Matrix {
    try check(tokens)
    return try forward(rows: tokens.count, cache: cache, keep: keep, checkCancelled) { range, out in
      for (row, token) in tokens[range].enumerated() {
        model.embedding.expandRows(Int(token)..<Int(token) + 1, into: out + row * shape.width)
      }
    }
  }

  /// Appends positions that are given as embeddings, a row each.
  ///
  /// - Returns: hidden states after the final norm: of the last position, or of each.
  /// - Throws: ``ModelInputError``, or what `checkCancelled` throws (polled once a layer); the cache is then as before.
  public func forward(
    embeddings: Matrix, cache: KVCache, keep: Kept = .last, checkCancelled: CancellationCheck = {}
  ) throws -> Matrix {
    try check(embeddings)
    return try forward(rows: embeddings.rows, cache: cache, keep: keep, checkCancelled) { range, out in
      copy(embeddings, range, to: out)
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
    guard embeddings.rows == caches.count, caches.count <= min(Self.block, shape.context) else {
      throw ModelInputError.shape(expected: "a row for each of \(caches.count) caches", found: "\(embeddings.rows)")
    }
    guard Set(caches.map(ObjectIdentifier.init)).count == caches.count else {
      throw ModelInputError.shape(expected: "distinct caches", found: "one twice")
    }
    for cache in caches { try check(cache, room: 1) }
    copy(embeddings, 0..<embeddings.rows, to: x.start)
    try runLayers(rows: caches.count, segments: caches.map { ($0, 1) }, checkCancelled)
    prepareHidden(rows: caches.count)
    keepHidden(from: 0, rows: caches.count, at: 0)
    for cache in caches { cache.advance(1) }
    return hidden
  }

  /// The embeddings of tokens, a row each.
  ///
  /// - Throws: ``ModelInputError`` for a token outside the vocabulary.
  public func embed(_ tokens: [Int32]) throws(ModelInputError) -> Matrix {
    try check(tokens)
    var result = Matrix(rows: tokens.count, columns: shape.width)
    result.withMutableFloats { out in
      guard let out = out.baseAddress else { return }
      for (row, token) in tokens.enumerated() {
        model.embedding.expandRows(Int(token)..<Int(token) + 1, into: out + row * shape.width)
      }
    }
    return result
  }

  // MARK: Checks

  private func check(_ tokens: [Int32]) throws(ModelInputError) {
    for token in tokens where !(0..<Int32(clamping: shape.vocabularySize)).contains(token) {
      throw .tokenOutOfRange(token, vocabulary: shape.vocabularySize)
    }
  }

  private func check(_ embeddings: Matrix) throws(ModelInputError) {
    guard embeddings.columns == shape.width else {
      throw .shape(expected: "embeddings of \(shape.width)", found: "\(embeddings.columns)")
    }
  }

  private func check(_ cache: KVCache, room: Int) throws(ModelInputError) {
    guard cache.layers == shape.layers, cache.keyHeads == shape.keyHeads, cache.headWidth == shape.headWidth else {
      throw .foreign("cache")
    }
    try cache.checkRoom(for: room)
  }

  // MARK: Forward

  private func copy(_ embeddings: Matrix, _ rows: Range<Int>, to out: UnsafeMutablePointer<Float>) {
    embeddings.values.withUnsafeBufferPointer { values in
      guard let base = values.baseAddress else { return }
      out.update(from: base + rows.lowerBound * shape.width, count: rows.count * shape.width)
    }
  }

  private func forward(
    rows: Int, cache: KVCache, keep: Kept, _ checkCancelled: CancellationCheck,
    input: (Range<Int>, UnsafeMutablePointer<Float>) -> Void
  ) throws -> Matrix {
    try check(cache, room: rows)
    prepareHidden(rows: keep == .all ? rows : min(rows, 1))
    let before = cache.count
    do {
      var first = 0
      while first < rows {
        let last = min(first + min(Self.block, shape.context), rows)
        input(first..<last, x.start)
        try runLayers(rows: last - first, segments: [(cache, last - first)], checkCancelled)
        if keep == .all {
          keepHidden(from: 0, rows: last - first, at: first)
        } else if last == rows {
          keepHidden(from: last - first - 1, rows: 1, at: 0)
        }
        cache.advance(last - first)
        first = last
      }
    } catch {
      cache.truncate(to: before)
      throw error
    }
    return hidden
  }

  private func prepareHidden(rows: Int) {
    if hidden.rows != rows || hidden.columns != shape.width { hidden = Matrix(rows: rows, columns: shape.width) }
  }

  private func keepHidden(from row: Int, rows: Int, at target: Int) {
    hidden.withMutableFloats { out in
      guard let out = out.baseAddress else { return }
      Operations.rmsNorm(
        x.start + row * shape.width, model.finalNorm, epsilon: shape.epsilon, rows: rows,
        into: out + target * shape.width)
    }
  }

  /// The layers over the rows in `x`: each segment's rows continue its cache, which the caller then advances.
  private func runLayers(
    rows: Int, segments: [(cache: KVCache, rows: Int)], _ checkCancelled: CancellationCheck
  ) throws {
    rotary.reach(segments.map { $0.cache.count + $0.rows }.max() ?? 0)
    let queryWidth = shape.heads * shape.headWidth
    let keyWidth = shape.keyHeads * shape.headWidth
    for (index, layer) in model.layers.enumerated() {
      try checkCancelled()
      Operations.rmsNorm(x.start, layer.attentionNorm, epsilon: shape.epsilon, rows: rows, into: normed.start)
      layer.query.apply(normed.start, rows: rows, into: query.start, scratch: scratch)
      layer.key.apply(normed.start, rows: rows, into: key.start, scratch: scratch)
      layer.value.apply(normed.start, rows: rows, into: value.start, scratch: scratch)
      var row = 0
      for segment in segments {
        let cache = segment.cache
        for offset in 0..<segment.rows {
          let position = cache.count + offset
          rotary.turn(
            query.start + (row + offset) * queryWidth, heads: shape.heads, position: position, shape.rotaryPairing)
          rotary.turn(
            key.start + (row + offset) * keyWidth, heads: shape.keyHeads, position: position, shape.rotaryPairing)
        }
        try cache.store(
          layer: index, keys: key.start + row * keyWidth, values: value.start + row * keyWidth, stride: keyWidth,
          rows: segment.rows)
        let layout = AttentionLayout(
          heads: shape.heads, keyHeads: shape.keyHeads, headWidth: shape.headWidth, queryStride: queryWidth,
          outStride: queryWidth, keyStride: shape.headWidth, keyHeadStride: cache.headStride)
        Attention.run(
          layout, q: query.start + row * queryWidth, queries: segment.rows, k: cache.keys(index),
          v: cache.values(index), keys: cache.count + segment.rows, causal: true,
          out: mixed.start + row * queryWidth, scratch: scratch)
        row += segment.rows
      }
      layer.output.apply(mixed.start, rows: rows, into: normed.start, scratch: scratch)
      Operations.add(x.start, normed.start, count: rows * shape.width)

      Operations.rmsNorm(x.start, layer.feedForwardNorm, epsilon: shape.epsilon, rows: rows, into: normed.start)
      layer.gate.apply(normed.start, rows: rows, into: gate.start, scratch: scratch)
      layer.up.apply(normed.start, rows: rows, into: up.start, scratch: scratch)
      Operations.siluMultiply(gate.start, up.start, count: rows * shape.feedForwardWidth)
      layer.down.apply(gate.start, rows: rows, into: mixed.start, scratch: scratch)
      Operations.add(x.start, mixed.start, count: rows * shape.width)
    }
  }
}

/// Cosines and sines of rotary positions, computed as far as they are needed.
private struct RotaryTable {
  private let frequencies: [Float]
  private var cosines: [Float] = []
  private var sines: [Float] = []

  init(width: Int, base: Float) {
    // Single precision throughout, as the models were trained.
    frequencies = (0..<width / 2).map { 1 / powf(base, Float(2 * $0) / Float(width)) }
  }

  mutating func reach(_ positions: Int) {
    guard !frequencies.isEmpty else { return }
    for position in cosines.count / frequencies.count..<max(positions, cosines.count / frequencies.count) {
      for frequency in frequencies {
        cosines.append(cosf(Float(position) * frequency))
        sines.append(sinf(Float(position) * frequency))
      }
    }
  }

  func turn(_ row: UnsafeMutablePointer<Float>, heads: Int, position: Int, _ pairing: CausalLM.RotaryPairing) {
    let half = frequencies.count
    let (step, distance) = pairing == .neighbours ? (2, 1) : (1, half)
    cosines.withUnsafeBufferPointer { cosines in
      sines.withUnsafeBufferPointer { sines in
        for head in 0..<heads {
          for index in 0..<half {
            let (c, s) = (cosines[position * half + index], sines[position * half + index])
            let place = row + head * 2 * half + index * step
            let (a, b) = (place[0], place[distance])
            place[0] = a * c - b * s
            place[distance] = b * c + a * s
          }
        }
      }
    }
  }
}
