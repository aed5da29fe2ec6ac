internal import CKernels

/// A matrix of quantized weights in the order in which the kernels for integer products read them: groups of 16 rows,
/// blocks of 32 columns with a scale for each row.
package struct TiledWeights: Sendable {
  /// How a weight is stored.
  package enum Form: String, Sendable, CaseIterable {
    /// 8 bits and a half of a scale for 32: 8.5 bits.
    case bytes = "T8"
    /// 4 bits and a half of a scale for 32: 4.5 bits.
    case nibbles = "T4"

    var code: Int32 { self == .bytes ? Int32(CK_TILED_Q8) : Int32(CK_TILED_Q4) }
  }

  package let form: Form
  package let rows: Int
  package let columns: Int
  private let bytes: Bytes
  private let offset: Int

  /// Columns are a multiple of this.
  package static let blockCount = 32

  /// Bytes that they take; nil when rows or columns do not fit the form or the size overflows.
  package static func byteCount(_ form: Form, rows: Int, columns: Int) -> Int? {
    guard (1...1 << 32).contains(rows), (1...Linear.mostInputs).contains(columns), columns % blockCount == 0 else {
      return nil
    }
    return ck_tiled_bytes(form.code, rows, columns)
  }

  /// Weights that lie in a file. Nil when they are not within `bytes`.
  package init?(_ form: Form, rows: Int, columns: Int, bytes: Bytes, offset: Int) {
    guard let size = Self.byteCount(form, rows: rows, columns: columns) else { return nil }
    guard offset >= 0, offset <= bytes.count, size <= bytes.count - offset else { return nil }
    (self.form, self.rows, self.columns, self.bytes, self.offset) = (form, rows, columns, bytes, offset)
  }

  /// Quantizes a matrix, [rows, columns], a panel of rows at a time.
  ///
  /// - Returns: nil when the columns do not fill blocks, or the system has not that much memory.
  package init?(_ form: Form, _ tensor: Tensor) {
    guard tensor.shape.count == 2 else { return nil }
    let (rows, columns) = (tensor.shape[0], tensor.shape[1])
    guard let size = Self.byteCount(form, rows: rows, columns: columns) else { return nil }
    let panelRows = max(16, (1 << 20) / columns / 16 * 16)
    guard let panel = Floats(reserving: min(rows, panelRows) * columns) else { return nil }
    let bytes = Bytes(reserving: size) { out in
      for first in stride(from: 0, to: rows, by: panelRows) {
        let last = min(first + panelRows, rows)
        tensor.expandRows(first..<last, into: panel.start)
        ck_tile(form.code, panel.start, first, last - first, rows, columns, out)
      }
    }
    guard let bytes else { return nil }
    self.init(form, rows: rows, columns: columns, bytes: bytes, offset: 0)
  }

  package var start: UnsafeRawPointer { bytes.start + offset }

  /// Bytes from ``start`` on.
  package var byteCount: Int { ck_tiled_bytes(form.code, rows, columns) }

  /// Some rows as floats, [count, columns].
  package func floats(_ range: Range<Int>) -> [Float] {
    [Float](unsafeUninitializedCapacity: range.count * columns) { buffer, initialized in
      if let base = buffer.baseAddress {
        ck_untile(form.code, start, rows, columns, range.lowerBound, range.count, base)
      }
      initialized = range.count * columns
    }
  }
}
