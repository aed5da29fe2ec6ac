internal import CKernels

/// Memory that operations borrow while they run; one for each runner. It grows to what the largest needs and stays.
package final class Scratch {
  private var scoreMemory = Floats(1)
  private var quantizedMemory = Floats(1)
  private var roundedMemory = Floats(1)
  private var attentionMemory = Floats(1)
  var heads: [ck_head] = []

  package init() {}

  /// At least `count` floats for attention scores.
  func scores(_ count: Int) -> UnsafeMutablePointer<Float> { Self.reach(count, &scoreMemory) }

  /// Room for quantized rows.
  func quantized(rows: Int, columns: Int) -> ck_quantized {
    let (count, blocks) = (rows * columns, rows * (columns / TiledWeights.blockCount))
    let start = UnsafeMutableRawPointer(Self.reach(2 * blocks + (count + 3) / 4, &quantizedMemory))
    return ck_quantized(
      values: (start + 8 * blocks).assumingMemoryBound(to: CChar.self),
      scales: start.assumingMemoryBound(to: Float.self),
      sums: (start + 4 * blocks).assumingMemoryBound(to: Int32.self))
  }

  /// Room for numbers rounded to bf16.
  func rounded(_ count: Int) -> UnsafeMutablePointer<UInt16> { Self.halves(count, &roundedMemory) }

  /// Room for the keys and values of all heads, as bf16.
  func packedHeads(_ count: Int) -> UnsafeMutablePointer<UInt16> { Self.halves(count, &attentionMemory) }

  private static func reach(_ count: Int, _ memory: inout Floats) -> UnsafeMutablePointer<Float> {
    if memory.count < count { memory = Floats(count) }
    return memory.start
  }

  private static func halves(_ count: Int, _ memory: inout Floats) -> UnsafeMutablePointer<UInt16> {
    UnsafeMutableRawPointer(reach((count + 1) / 2, &memory)).assumingMemoryBound(to: UInt16.self)
  }
}
