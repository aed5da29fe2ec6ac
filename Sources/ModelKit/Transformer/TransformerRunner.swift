package import Tensors

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Darwin)
  internal import Darwin
#endif

/// Which positions' hidden states a call returns.
public enum KeptStates: Sendable { case last, all }

/// Computes with a ``Transformer``; one for each thread that does. Its buffers are allocated once.
///
/// Positions of one session go through the layers together with ``forward(rows:cache:keep:checkCancelled:embed:)``, or
/// layer by layer with ``begin(rows:cache:keep:embed:)`` and ``proceed()``; between two layers, as at any time, ``step``
/// may serve other sessions.
package final class TransformerRunner {
  /// Writes the embeddings of some of a call's rows.
  package typealias Embed = (_ rows: Range<Int>, _ out: UnsafeMutablePointer<Float>) -> Void

  /// The most caches that ``step(_:caches:checkCancelled:)`` takes.
  package static let mostCaches = 128
  /// Rows of one session that pass through the layers together.
  private static let blockRows = 256

  private let transformer: Transformer
  private let shape: TransformerConfiguration
  private let scratch = Scratch()
  private var rotary: RotaryTable
  private let passing, stepping: Activations
  /// [caches, width].
  private let stepped: Floats
  private var pass: Pass?

  /// Rows on their way through the layers, [rows, ...] each.
  private struct Activations {
    let x, normed, queryKeyValue, mixed, gate, up: Floats

    init(_ transformer: Transformer, rows: Int) {
      let shape = transformer.configuration
      x = Floats(rows * shape.width)
      normed = Floats(rows * shape.width)
      queryKeyValue = Floats(rows * (transformer.layers.map(\.attentionInput.width).max() ?? 1))
      mixed = Floats(rows * max(shape.heads * shape.headWidth, shape.width))
      gate = Floats(rows * shape.feedForwardWidth)
      up = Floats(rows * shape.feedForwardWidth)
    }
  }

  /// Positions of one session that are being appended.
  private struct Pass {
    let caches: [KVCache]
    let rows: Int
    let keep: KeptStates
    let embed: Embed
    /// Positions that the cache held before.
    let before: Int
    var hidden: Matrix
    /// The block's first row, and the layer that it comes to next.
    var first = 0
    var layer = 0

    var cache: KVCache { caches[0] }
  }

  package init(_ transformer: Transformer) {
    self.transformer = transformer
    shape = transformer.configuration
    rotary = RotaryTable(width: shape.headWidth, base: shape.rotaryBase)
    passing = Activations(transformer, rows: min(Self.blockRows, shape.context))
    stepping = Activations(transformer, rows: Self.mostCaches)
    stepped = Floats(Self.mostCaches * shape.width)
  }

  // MARK: Positions of one session

  /// Appends positions to a session.
  ///
  /// - Returns: hidden states after the final norm, [1 or rows, width]: of the last position, or of each.
  /// - Throws: ``ModelInputError``, or what `checkCancelled` throws (polled once a layer); the cache is then as before.
  package func forward(
    rows: Int, cache: KVCache, keep: KeptStates, checkCancelled: CancellationCheck, embed: Embed
  ) throws -> Matrix {
    try withoutActuallyEscaping(embed) { embed in
      try begin(rows: rows, cache: cache, keep: keep, embed: embed)
      // The closure must not be kept.
      defer { abandon() }
      while true {
        try checkCancelled()
        if let hidden = try proceed() { return hidden }
      }
    }
  }

  /// Begins to append positions to a session; ``proceed()`` does the work. What was begun before is abandoned.
  ///
  /// - Parameter embed: asked for 256 rows at a time at most, as the work proceeds.
  /// - Throws: ``ModelInputError``.
  package func begin(rows: Int, cache: KVCache, keep: KeptStates, embed: @escaping Embed) throws(ModelInputError) {
    abandon()
    try check(cache, room: rows)
    pass = Pass(
      caches: [cache], rows: rows, keep: keep, embed: embed, before: cache.count,
      hidden: Matrix(rows: keep == .all ? rows : min(rows, 1), columns: shape.width))
  }

  /// Carries on what was begun, by one layer over at most 256 positions.
  ///
  /// - Returns: hidden states after the final norm, [1 or rows, width], once all is done; nil while there is more to do,
  ///   and when nothing was begun.
  /// - Throws: ``ModelInputError`` if the cache has been filled otherwise; what was begun is abandoned.
  package func proceed() throws(ModelInputError) -> Matrix? {
    guard var pass = self.pass.take() else { return nil }
    let rows = min(Self.blockRows, shape.context, pass.rows - pass.first)
    if rows > 0 {
      if pass.layer == 0 {
        reach(pass.caches, rows: rows)
        pass.embed(pass.first..<pass.first + rows, passing.x.start)
      }
      if pass.layer < transformer.layers.count {
        do throws(ModelInputError) {
          try run(pass.layer, passing, rows: rows, of: pass.caches, separately: false)
        } catch {
          pass.cache.truncate(to: pass.before)
          throw error
        }
        pass.layer += 1
      }
      if pass.layer == transformer.layers.count { finishBlock(&pass, rows) }
    }
    if pass.first == pass.rows { return pass.hidden }
    self.pass = pass
    return nil
  }

  /// Gives up what was begun and is not done: the cache is as before.
  package func abandon() {
    guard let pass = self.pass.take() else { return }
    pass.cache.truncate(to: pass.before)
  }

  private func finishBlock(_ pass: inout Pass, _ rows: Int) {
    if pass.keep == .all {
      pass.hidden.withMutableFloats { norm(passing.x.start, rows, into: $0.baseAddress, at: pass.first) }
    } else if pass.first + rows == pass.rows {
      pass.hidden.withMutableFloats { norm(passing.x.start + (rows - 1) * shape.width, 1, into: $0.baseAddress, at: 0) }
    }
    pass.cache.advance(rows)
    pass.first += rows
    pass.layer = 0
  }

  // MARK: A position of each of several sessions

  /// Appends one position to each of several sessions, reading the weights once for eight of them. What each gets does not
  /// depend on the others, to the last bit. Nothing is allocated once a cache of this capacity has been seen.
  ///
  /// - Parameters:
  ///   - embeddings: [caches, width].
  ///   - caches: distinct ones, at most ``mostCaches``.
  /// - Returns: hidden states after the final norm, [caches, width], which stay until the next step.
  /// - Throws: ``ModelInputError``, or what `checkCancelled` throws (polled once a layer); the caches are then as before.
  package func step(
    _ embeddings: UnsafePointer<Float>, caches: [KVCache], checkCancelled: CancellationCheck
  ) throws -> UnsafeBufferPointer<Float> {
    guard caches.count <= Self.mostCaches else {
      throw ModelInputError.shape(expected: "at most \(Self.mostCaches) caches", found: "\(caches.count)")
    }
    for (index, cache) in caches.enumerated() {
      try check(cache, room: 1)
      for other in caches[..<index] where other === cache {
        throw ModelInputError.shape(expected: "distinct caches", found: "one twice")
      }
    }
    reach(caches, rows: 1)
    stepping.x.start.update(from: embeddings, count: caches.count * shape.width)
    for layer in transformer.layers.indices {
      try checkCancelled()
      try run(layer, stepping, rows: caches.count, of: caches, separately: true)
    }
    norm(stepping.x.start, caches.count, into: stepped.start, at: 0)
    for cache in caches { cache.advance(1) }
    return UnsafeBufferPointer(start: stepped.start, count: caches.count * shape.width)
  }

  /// The same from and to matrices.
  ///
  /// - Parameter embeddings: a row for each cache.
  /// - Throws: ``ModelInputError``, or what `checkCancelled` throws; the caches are then as before.
  package func step(_ embeddings: Matrix, caches: [KVCache], checkCancelled: CancellationCheck) throws -> Matrix {
    guard embeddings.rows == caches.count, embeddings.columns == shape.width else {
      throw ModelInputError.shape(
        expected: "a row of \(shape.width) for each of \(caches.count) caches",
        found: "\(embeddings.rows) of \(embeddings.columns)")
    }
    let hidden = try step(embeddings.values, caches: caches, checkCancelled: checkCancelled)
    return Matrix(rows: caches.count, columns: shape.width, values: Array(hidden)) ?? embeddings
  }

  // MARK: Layers

  private func check(_ cache: KVCache, room: Int) throws(ModelInputError) {
    guard cache.layers == shape.layers, cache.keyHeads == shape.keyHeads, cache.headWidth == shape.headWidth else {
      throw .foreign("cache")
    }
    try cache.checkRoom(for: room)
  }

  /// Makes sure that nothing need be allocated for these caches' positions.
  private func reach(_ caches: [KVCache], rows: Int) {
    for cache in caches {
      rotary.reach(cache.count + rows, reserving: cache.capacity)
      scratch.reserveScores(shape.heads * cache.capacity)
    }
  }

  private func norm(_ x: UnsafePointer<Float>, _ rows: Int, into out: UnsafeMutablePointer<Float>?, at target: Int) {
    guard let out, rows > 0 else { return }
    Operations.rmsNorm(
      x, transformer.finalNorm, epsilon: shape.epsilon, rows: rows, into: out + target * shape.width)
  }

  /// One layer over the rows in `x`, as many for each cache, which they continue and which the caller then advances.
  ///
  /// - Parameter separately: whether what comes of a row is what it would be alone, to the last bit.
  private func run(
    _ index: Int, _ a: Activations, rows: Int, of caches: [KVCache], separately: Bool
  ) throws(ModelInputError) {
    let layer = transformer.layers[index]
    let input = layer.attentionInput
    Operations.rmsNorm(a.x.start, layer.attentionNorm, epsilon: shape.epsilon, rows: rows, into: a.normed.start)
    for part in input.parts {
      multiply(
        part.linear, a.normed, rows: rows, separately, into: a.queryKeyValue.start + part.offset, stride: input.width)
    }
    let rowsEach = rows / max(1, caches.count)
    for (place, cache) in caches.enumerated() {
      try attend(cache, input, layer: index, a, at: place * rowsEach, rows: rowsEach)
    }
    multiply(layer.attentionOutput, a.mixed, rows: rows, separately, into: a.normed.start)
    Operations.add(a.x.start, a.normed.start, count: rows * shape.width)

    Operations.rmsNorm(a.x.start, layer.feedForwardNorm, epsilon: shape.epsilon, rows: rows, into: a.normed.start)
    multiply(layer.gate, a.normed, rows: rows, separately, into: a.gate.start)
    multiply(layer.up, a.normed, rows: rows, separately, into: a.up.start)
    Operations.siluMultiply(a.gate.start, a.up.start, count: rows * shape.feedForwardWidth)
    multiply(layer.down, a.gate, rows: rows, separately, into: a.mixed.start)
    Operations.add(a.x.start, a.mixed.start, count: rows * shape.width)
  }

  private func multiply(
    _ linear: Linear, _ x: Floats, rows: Int, _ separately: Bool, into out: UnsafeMutablePointer<Float>,
    stride: Int? = nil
  ) {
    linear.apply(x.start, rows: rows, separately: separately, into: out, outStride: stride, scratch: scratch)
  }

  /// Turns the queries and keys of a cache's rows, stores their keys and values, and mixes what they attend to.
  private func attend(
    _ cache: KVCache, _ input: Transformer.AttentionInput, layer: Int, _ a: Activations, at row: Int, rows: Int
  ) throws(ModelInputError) {
    let start = a.queryKeyValue.start + row * input.width
    let shared = shape.heads / shape.keyHeads
    for offset in 0..<rows {
      let position = cache.count + offset
      let place = start + offset * input.width
      for group in 0..<shape.keyHeads {
        rotary.turn(
          place + group * input.queryGroupStride, heads: shared, position: position, shape.rotaryPairing)
        rotary.turn(
          place + input.keyOffset + group * input.keyHeadStride, heads: 1, position: position, shape.rotaryPairing)
      }
    }
    try cache.store(
      layer: layer, keys: start + input.keyOffset, values: start + input.valueOffset, stride: input.width,
      headStride: input.keyHeadStride, rows: rows)
    let layout = AttentionLayout(
      heads: shape.heads, keyHeads: shape.keyHeads, headWidth: shape.headWidth, queryStride: input.width,
      outStride: shape.heads * shape.headWidth, queryGroupStride: input.queryGroupStride, keyStride: shape.headWidth,
      keyHeadStride: cache.headStride)
    Attention.run(
      layout, q: start, queries: rows, k: cache.keys(layer), v: cache.values(layer), keys: cache.count + rows,
      causal: true, rounded: transformer.layers[layer].attentionOutput.isReduced,
      out: a.mixed.start + row * shape.heads * shape.headWidth, scratch: scratch)
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

  /// - Parameter most: positions for which there is to be room, so that nothing need be allocated on the way to them.
  mutating func reach(_ positions: Int, reserving most: Int) {
    guard !frequencies.isEmpty else { return }
    if cosines.capacity < most * frequencies.count {
      cosines.reserveCapacity(most * frequencies.count)
      sines.reserveCapacity(most * frequencies.count)
    }
    for position in cosines.count / frequencies.count..<max(positions, cosines.count / frequencies.count) {
      for frequency in frequencies {
        cosines.append(cosf(Float(position) * frequency))
        sines.append(sinf(Float(position) * frequency))
      }
    }
  }

  func turn(_ row: UnsafeMutablePointer<Float>, heads: Int, position: Int, _ pairing: RotaryPairing) {
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
