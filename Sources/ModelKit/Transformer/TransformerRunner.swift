package import Tensors

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Darwin)
  internal import Darwin
#endif

/// Which positions' hidden states a call returns.
public enum KeptStates: Sendable { case last, all }

/// Computes with a ``Transformer``; one for each thread that does. Its buffers are allocated once.
package final class TransformerRunner {
  /// Writes the embeddings of some of a call's rows.
  package typealias Embed = (_ rows: Range<Int>, _ out: UnsafeMutablePointer<Float>) -> Void

  private let transformer: Transformer
  private let shape: TransformerConfiguration
  private let scratch = Scratch()
  private var rotary: RotaryTable

  /// Rows that pass through the layers together.
  private static let mostRows = 256
  private let blockRows: Int
  // Activations of a block, [rows, ...].
  private let x, normed, queryKeyValue, mixed, gate, up: Floats
  private var hidden = Matrix(rows: 0, columns: 0)
  private var segments: [Segment] = []

  /// Rows that continue a cache.
  private struct Segment {
    var cache: KVCache
    var rows: Int
  }

  package init(_ transformer: Transformer) {
    self.transformer = transformer
    shape = transformer.configuration
    rotary = RotaryTable(width: shape.headWidth, base: shape.rotaryBase)
    blockRows = min(Self.mostRows, shape.context)
    x = Floats(blockRows * shape.width)
    normed = Floats(blockRows * shape.width)
    queryKeyValue = Floats(blockRows * (transformer.layers.map(\.attentionInput.width).max() ?? 1))
    mixed = Floats(blockRows * max(shape.heads * shape.headWidth, shape.width))
    gate = Floats(blockRows * shape.feedForwardWidth)
    up = Floats(blockRows * shape.feedForwardWidth)
  }

  /// Appends positions to a session.
  ///
  /// - Returns: hidden states after the final norm, [1 or rows, width]: of the last position, or of each.
  /// - Throws: ``ModelInputError``, or what `checkCancelled` throws (polled once a layer); the cache is then as before.
  package func forward(
    rows: Int, cache: KVCache, keep: KeptStates, checkCancelled: CancellationCheck, embed: Embed
  ) throws -> Matrix {
    try check(cache, room: rows)
    prepareHidden(rows: keep == .all ? rows : min(rows, 1))
    let before = cache.count
    do {
      var first = 0
      while first < rows {
        let last = min(first + blockRows, rows)
        embed(first..<last, x.start)
        segments = [Segment(cache: cache, rows: last - first)]
        try runLayers(rows: last - first, separately: false, checkCancelled)
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

  /// Appends one position to each of several sessions, reading the weights once for all of them.
  ///
  /// - Returns: hidden states after the final norm, a row for each cache.
  /// - Throws: ``ModelInputError``, or what `checkCancelled` throws (polled once a layer); the caches are then as before.
  package func step(caches: [KVCache], checkCancelled: CancellationCheck, embed: Embed) throws -> Matrix {
    guard caches.count <= blockRows else {
      throw ModelInputError.shape(expected: "at most \(blockRows) caches", found: "\(caches.count)")
    }
    segments.removeAll(keepingCapacity: true)
    for (index, cache) in caches.enumerated() {
      try check(cache, room: 1)
      guard !caches[..<index].contains(where: { $0 === cache }) else {
        throw ModelInputError.shape(expected: "distinct caches", found: "one twice")
      }
      segments.append(Segment(cache: cache, rows: 1))
    }
    embed(0..<caches.count, x.start)
    try runLayers(rows: caches.count, separately: true, checkCancelled)
    prepareHidden(rows: caches.count)
    keepHidden(from: 0, rows: caches.count, at: 0)
    for cache in caches { cache.advance(1) }
    return hidden
  }

  private func check(_ cache: KVCache, room: Int) throws(ModelInputError) {
    guard cache.layers == shape.layers, cache.keyHeads == shape.keyHeads, cache.headWidth == shape.headWidth else {
      throw .foreign("cache")
    }
    try cache.checkRoom(for: room)
  }

  private func prepareHidden(rows: Int) {
    if hidden.rows != rows || hidden.columns != shape.width { hidden = Matrix(rows: rows, columns: shape.width) }
  }

  private func keepHidden(from row: Int, rows: Int, at target: Int) {
    hidden.withMutableFloats { out in
      guard let out = out.baseAddress else { return }
      Operations.rmsNorm(
        x.start + row * shape.width, transformer.finalNorm, epsilon: shape.epsilon, rows: rows,
        into: out + target * shape.width)
    }
  }

  /// The layers over the rows in `x`: each segment's rows continue its cache, which the caller then advances.
  ///
  /// - Parameter separately: whether each row's result is what it would be alone.
  private func runLayers(rows: Int, separately: Bool, _ checkCancelled: CancellationCheck) throws {
    rotary.reach(segments.reduce(0) { max($0, $1.cache.count + $1.rows) })
    for (index, layer) in transformer.layers.enumerated() {
      try checkCancelled()
      Operations.rmsNorm(x.start, layer.attentionNorm, epsilon: shape.epsilon, rows: rows, into: normed.start)
      let input = layer.attentionInput
      for part in input.parts {
        part.linear.apply(
          normed.start, rows: rows, separately: separately, into: queryKeyValue.start + part.offset,
          outStride: input.width, scratch: scratch)
      }
      var row = 0
      for segment in segments {
        try attend(segment, input, layer: index, at: row)
        row += segment.rows
      }
      layer.attentionOutput.apply(mixed.start, rows: rows, separately: separately, into: normed.start, scratch: scratch)
      Operations.add(x.start, normed.start, count: rows * shape.width)

      Operations.rmsNorm(x.start, layer.feedForwardNorm, epsilon: shape.epsilon, rows: rows, into: normed.start)
      layer.gate.apply(normed.start, rows: rows, separately: separately, into: gate.start, scratch: scratch)
      layer.up.apply(normed.start, rows: rows, separately: separately, into: up.start, scratch: scratch)
      Operations.siluMultiply(gate.start, up.start, count: rows * shape.feedForwardWidth)
      layer.down.apply(gate.start, rows: rows, separately: separately, into: mixed.start, scratch: scratch)
      Operations.add(x.start, mixed.start, count: rows * shape.width)
    }
  }

  /// Turns a segment's queries and keys, stores its keys and values, and mixes what it attends to.
  private func attend(
    _ segment: Segment, _ input: Transformer.AttentionInput, layer: Int, at row: Int
  ) throws {
    let cache = segment.cache
    let start = queryKeyValue.start + row * input.width
    let shared = shape.heads / shape.keyHeads
    for offset in 0..<segment.rows {
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
      headStride: input.keyHeadStride, rows: segment.rows)
    let layout = AttentionLayout(
      heads: shape.heads, keyHeads: shape.keyHeads, headWidth: shape.headWidth, queryStride: input.width,
      outStride: shape.heads * shape.headWidth, queryGroupStride: input.queryGroupStride, keyStride: shape.headWidth,
      keyHeadStride: cache.headStride)
    Attention.run(
      layout, q: start, queries: segment.rows, k: cache.keys(layer), v: cache.values(layer),
      keys: cache.count + segment.rows, causal: true, rounded: transformer.layers[layer].attentionOutput.isReduced,
      out: mixed.start + row * shape.heads * shape.headWidth,
      scratch: scratch)
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
