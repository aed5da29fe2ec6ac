internal import Tensors

/// Keys and values of one session's past, layer by layer.
///
/// Memory for the whole capacity is reserved but only touched as positions fill.
public final class KVCache {
  /// Positions that can be held.
  public let capacity: Int
  /// Positions held.
  public private(set) var count = 0

  let layers: Int
  let keyHeads: Int
  let headWidth: Int
  /// [layer, key or value, head, position, component].
  private let floats: Floats

  /// - Parameter capacity: positions; the model's whole context by default, never more.
  /// - Throws: ``ModelInputError/noMemory(bytes:)``.
  public convenience init(_ model: CausalLM, capacity: Int? = nil) throws(ModelInputError) {
    try self.init(model.configuration, capacity: capacity)
  }

  convenience init(_ shape: TransformerConfiguration, capacity: Int? = nil) throws(ModelInputError) {
    try self.init(
      layers: shape.layers, keyHeads: shape.keyHeads, headWidth: shape.headWidth,
      capacity: min(max(1, capacity ?? shape.context), shape.context))
  }

  init(layers: Int, keyHeads: Int, headWidth: Int, capacity: Int) throws(ModelInputError) {
    (self.layers, self.keyHeads, self.headWidth, self.capacity) = (layers, keyHeads, headWidth, capacity)
    guard let floats = Floats(reserving: layers * 2 * keyHeads * capacity * headWidth) else {
      throw .noMemory(bytes: layers * 2 * keyHeads * capacity * headWidth * 4)
    }
    self.floats = floats
  }

  /// Floats from one head to the next.
  var headStride: Int { capacity * headWidth }

  func keys(_ layer: Int) -> UnsafeMutablePointer<Float> { floats.start + layer * 2 * keyHeads * headStride }
  func values(_ layer: Int) -> UnsafeMutablePointer<Float> { keys(layer) + keyHeads * headStride }

  /// Checks that so many positions more can be held.
  ///
  /// - Throws: ``ModelInputError/contextFull(needed:capacity:)``.
  func checkRoom(for rows: Int) throws(ModelInputError) {
    guard rows <= capacity - count else { throw .contextFull(needed: count + rows, capacity: capacity) }
  }

  /// Copies rows of all heads to positions from ``count`` on.
  ///
  /// - Parameters:
  ///   - stride: floats from one row to the next.
  ///   - headStride: floats from one head to the next; nil for heads side by side.
  /// - Throws: ``ModelInputError/contextFull(needed:capacity:)``; nothing is written then.
  func store(
    layer: Int, keys newKeys: UnsafePointer<Float>, values newValues: UnsafePointer<Float>, stride: Int,
    headStride: Int? = nil,
    rows: Int
  ) throws(ModelInputError) {
    try checkRoom(for: rows)
    for head in 0..<keyHeads {
      for row in 0..<rows {
        let place = head * self.headStride + (count + row) * headWidth
        let source = row * stride + head * (headStride ?? headWidth)
        (keys(layer) + place).update(from: newKeys + source, count: headWidth)
        (values(layer) + place).update(from: newValues + source, count: headWidth)
      }
    }
  }

  func advance(_ rows: Int) { count += rows }

  /// Forgets the positions from `position` on; a longer `position` changes nothing.
  public func truncate(to position: Int) { count = min(count, max(0, position)) }

  /// A copy that goes its own way.
  ///
  /// - Throws: ``ModelInputError/noMemory(bytes:)``.
  public func fork() throws(ModelInputError) -> KVCache {
    let copy = try KVCache(layers: layers, keyHeads: keyHeads, headWidth: headWidth, capacity: capacity)
    try copy.copy(self)
    return copy
  }

  /// Becomes a copy of another cache, whose positions alone are copied; memory that was touched before is used again.
  ///
  /// - Throws: ``ModelInputError`` for a cache of another shape, or one that holds more than there is room for.
  public func copy(_ other: KVCache) throws(ModelInputError) {
    guard (layers, keyHeads, headWidth) == (other.layers, other.keyHeads, other.headWidth) else {
      throw .foreign("cache")
    }
    guard other.count <= capacity else { throw .contextFull(needed: other.count, capacity: capacity) }
    for part in 0..<layers * 2 * keyHeads {
      (floats.start + part * headStride).update(
        from: other.floats.start + part * other.headStride, count: other.count * headWidth)
    }
    count = other.count
  }
}
