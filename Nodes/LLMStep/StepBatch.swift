internal import ModelKit
internal import Tensors

/// Positions of several sessions, one of each row, that are computed together: the weights are read once for all.
final class StepBatch {
  private let layers: TransformerRunner
  private let width: Int
  private let input: Floats
  /// A row each.
  private var caches: [KVCache] = []

  init(_ layers: TransformerRunner, width: Int) {
    (self.layers, self.width) = (layers, width)
    input = Floats(TransformerRunner.mostCaches * width)
    caches.reserveCapacity(TransformerRunner.mostCaches)
  }

  var rows: Int { caches.count }

  /// Whether another session's rows can be added.
  var hasRoom: Bool { rows + 2 <= TransformerRunner.mostCaches }

  /// Adds a row.
  ///
  /// - Returns: where its embedding goes.
  func add(_ cache: KVCache) -> UnsafeMutablePointer<Float> {
    caches.append(cache)
    return input.start + (rows - 1) * width
  }

  /// Leaves only the first rows.
  func removeRows(from row: Int) { caches.removeSubrange(row...) }

  /// - Returns: hidden states, [rows, width], which stay until the next step.
  /// - Throws: `ModelInputError`, or what `check` throws; the caches are then as before.
  func step(check: CancellationCheck) throws -> UnsafeBufferPointer<Float> {
    try layers.step(input.start, caches: caches, checkCancelled: check)
  }
}

/// Caches that no row needs at present. Their memory is used again, so that beginning an answer touches none that is new.
final class CachePool {
  private let make: () throws -> KVCache
  private var free: [KVCache] = []

  init(_ make: @escaping () throws -> KVCache) { self.make = make }

  /// An empty cache.
  ///
  /// - Throws: `ModelInputError` when there is no memory for another one.
  func take() throws -> KVCache {
    guard let cache = free.popLast() else { return try make() }
    cache.truncate(to: 0)
    return cache
  }

  func give(_ cache: KVCache) { free.append(cache) }
}
