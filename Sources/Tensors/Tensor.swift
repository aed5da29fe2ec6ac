internal import CKernels

/// How a tensor's numbers are stored.
public enum ElementType: String, Sendable, CaseIterable {
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  /// Blocks of 32 with a scale; 4 bits each.
  case q40 = "Q4_0"
  /// Blocks of 32 with a scale and a minimum; 4 bits each.
  case q41 = "Q4_1"
  /// Blocks of 32 with a scale; 8 bits each.
  case q80 = "Q8_0"

  /// Numbers in a block; 1 for the unquantized types.
  package var blockCount: Int {
    switch self {
    case .f32, .f16, .bf16: 1
    case .q40, .q41, .q80: 32
    }
  }

  /// Bytes of a block.
  package var blockBytes: Int {
    switch self {
    case .f32: 4
    case .f16, .bf16: 2
    case .q40: 18
    case .q41: 20
    case .q80: 34
    }
  }

  var code: Int32 {
    switch self {
    case .f32: Int32(CK_F32)
    case .f16: Int32(CK_F16)
    case .bf16: Int32(CK_BF16)
    case .q40: Int32(CK_Q4_0)
    case .q41: Int32(CK_Q4_1)
    case .q80: Int32(CK_Q8_0)
    }
  }

  /// Bytes of `count` numbers; nil when they do not fill blocks or the size overflows.
  package func byteCount(_ count: Int) -> Int? {
    guard count >= 0, count % blockCount == 0 else { return nil }
    let (bytes, overflow) = (count / blockCount).multipliedReportingOverflow(by: blockBytes)
    return overflow ? nil : bytes
  }
}

/// A named array of weights inside a file or an allocation; sizes were checked when it was made.
package struct Tensor: Sendable {
  package let name: String
  /// Outermost dimension first; the last one is contiguous.
  package let shape: [Int]
  package let type: ElementType
  private let bytes: Bytes
  private let offset: Int

  /// Nil when the numbers do not lie within `bytes`.
  package init?(name: String, shape: [Int], type: ElementType, bytes: Bytes, offset: Int) {
    var count = 1
    for dimension in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
      guard dimension >= 0, !overflow else { return nil }
      count = product
    }
    guard (shape.last ?? 1) % type.blockCount == 0, let size = type.byteCount(count) else { return nil }
    guard offset >= 0, offset <= bytes.count, size <= bytes.count - offset else { return nil }
    (self.name, self.shape, self.type, self.bytes, self.offset) = (name, shape, type, bytes, offset)
  }

  /// Computed at load time.
  package init(name: String, shape: [Int], fill: (UnsafeMutablePointer<Float>) -> Void) {
    (self.name, self.shape, type, offset) = (name, shape, .f32, 0)
    bytes = Bytes(floats: shape.reduce(1, *), fill: fill)
  }

  package var count: Int { shape.reduce(1, *) }

  package var start: UnsafeRawPointer { bytes.start + offset }

  /// Lets go of memory that a mapped file's numbers take; they are read again when they are needed.
  func release() { bytes.release(offset..<offset + (type.byteCount(count) ?? 0)) }

  /// The numbers as floats.
  package func floats() -> [Float] {
    [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
      if let base = buffer.baseAddress, count > 0 { ck_dequantize(type.code, start, count, base) }
      initialized = count
    }
  }

  /// Expands some rows (of the last dimension) to floats.
  package func expandRows(_ rows: Range<Int>, into out: UnsafeMutablePointer<Float>) {
    let columns = shape.last ?? 1
    ck_dequantize(type.code, rowStart(rows.lowerBound), rows.count * columns, out)
  }

  /// Adds a row (of the last dimension) to floats.
  package func addRow(_ row: Int, to out: UnsafeMutablePointer<Float>) {
    let columns = shape.last ?? 1
    // So few at a time that they fit the stack.
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 256) { piece in
      guard let piece = piece.baseAddress else { return }
      for first in stride(from: 0, to: columns, by: 256) {
        let count = min(256, columns - first)
        ck_dequantize(type.code, rowStart(row) + first / type.blockCount * type.blockBytes, count, piece)
        ck_add(out + first, piece, count)
      }
    }
  }

  /// The tensor with its numbers stored as another type; itself where they are already, or where its rows do not fill
  /// that type's blocks.
  ///
  /// - Parameter type: a type that numbers can be rounded to: F32, F16, BF16 or Q8_0.
  /// - Returns: nil when the system has not that much memory.
  package func stored(as type: ElementType) -> Tensor? {
    guard type != self.type, count > 0, (shape.last ?? 1) % type.blockCount == 0 else { return self }
    guard [.f32, .f16, .bf16, .q80].contains(type), let size = type.byteCount(count) else { return self }
    let (columns, rows) = (shape.last ?? 1, count / (shape.last ?? 1))
    // A panel of rows at a time: the whole tensor as floats would be several times what is kept.
    let panelRows = max(1, (1 << 20) / columns)
    guard let panel = Floats(reserving: min(rows, panelRows) * columns) else { return nil }
    let bytes = Bytes(reserving: size) { out in
      for first in stride(from: 0, to: rows, by: panelRows) {
        let last = min(first + panelRows, rows)
        expandRows(first..<last, into: panel.start)
        ck_quantize(
          type.code, panel.start, (last - first) * columns, out + first * (columns / type.blockCount) * type.blockBytes)
      }
    }
    return bytes.flatMap { Tensor(name: name, shape: shape, type: type, bytes: $0, offset: 0) }
  }

  func rowStart(_ row: Int) -> UnsafeRawPointer {
    start + row * ((shape.last ?? 1) / type.blockCount) * type.blockBytes
  }
}
