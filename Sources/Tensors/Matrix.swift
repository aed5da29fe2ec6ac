/// Floats in rows: log-mel frames, encoder features, hidden states. What passes between nodes.
public struct Matrix: Sendable, Equatable {
  public let rows: Int
  public let columns: Int
  /// Row after row, `rows * columns` of them.
  public private(set) var values: [Float]

  /// A matrix of zeros.
  public init(rows: Int, columns: Int) {
    self.rows = max(0, rows)
    self.columns = max(0, columns)
    values = [Float](repeating: 0, count: self.rows * self.columns)
  }

  /// Nil when the values do not fill the rows exactly.
  public init?(rows: Int, columns: Int, values: [Float]) {
    let (count, overflow) = rows.multipliedReportingOverflow(by: columns)
    guard rows >= 0, columns >= 0, !overflow, count == values.count else { return nil }
    self.rows = rows
    self.columns = columns
    self.values = values
  }

  /// Matrices one below the other; nil when there are none, or they differ in width.
  public init?(joining parts: [Matrix]) {
    guard let columns = parts.first?.columns, parts.allSatisfy({ $0.columns == columns }) else { return nil }
    self.init(rows: parts.reduce(0) { $0 + $1.rows }, columns: columns, values: parts.flatMap(\.values))
  }

  /// One row; `index` must be below ``rows``.
  public func row(_ index: Int) -> ArraySlice<Float> { values[index * columns..<(index + 1) * columns] }

  /// The first rows, at most as many as there are.
  public func prefix(_ count: Int) -> Matrix {
    let kept = min(max(0, count), rows)
    return Matrix(rows: kept, columns: columns, values: Array(values[..<(kept * columns)])) ?? self
  }

  /// Copies rows, which must be there, to memory that has room for them.
  package func copyRows(_ rows: Range<Int>, to out: UnsafeMutablePointer<Float>) {
    values.withUnsafeBufferPointer { values in
      guard let base = values.baseAddress else { return }
      out.update(from: base + rows.lowerBound * columns, count: rows.count * columns)
    }
  }

  /// Writes to the values in place: no allocation while nobody else holds a copy.
  package mutating func withMutableFloats<Result>(
    _ body: (UnsafeMutableBufferPointer<Float>) throws -> Result
  ) rethrows -> Result {
    try values.withUnsafeMutableBufferPointer { try body($0) }
  }
}
