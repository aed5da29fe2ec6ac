internal import Tensors

/// The last rows that a layer has seen and needs again for those to come.
///
/// A layer works on a *window*: the rows kept here, and behind them the new ones. What it will need again it keeps.
final class RowHistory {
  let columns: Int
  /// Rows of zeros before the first.
  private let padding: Int
  private let floats: Floats
  private(set) var rows: Int

  /// - Parameter most: rows that are ever kept.
  init(columns: Int, most: Int, padding: Int = 0) {
    (self.columns, self.padding) = (columns, padding)
    rows = padding
    floats = Floats(max(most, padding) * columns)
    reset()
  }

  /// Forgets everything.
  func reset() {
    rows = padding
    floats.start.update(repeating: 0, count: padding * columns)
  }

  /// Begins a window.
  ///
  /// - Returns: where new rows go.
  func open(_ window: UnsafeMutablePointer<Float>) -> UnsafeMutablePointer<Float> {
    window.update(from: floats.start, count: rows * columns)
    return window + rows * columns
  }

  /// Keeps some of a window's rows.
  func keep(_ window: UnsafePointer<Float>, _ range: Range<Int>) {
    rows = range.count
    floats.start.update(from: window + range.lowerBound * columns, count: rows * columns)
  }

  /// Keeps what another one of the same shape keeps.
  func copy(_ other: RowHistory) {
    rows = other.rows
    floats.start.update(from: other.floats.start, count: rows * columns)
  }
}

/// What a block's residual units keep: each its input, and together the rows to which not all of them have added.
final class ResidualHistory {
  let inputs: [RowHistory]
  let waiting: RowHistory
  /// How many of the waiting rows each unit has added to.
  var done: [Int]

  init(_ units: [SnacModel.ResidualUnit], columns: Int) {
    inputs = units.map {
      RowHistory(columns: columns, most: $0.depthwise.reach, padding: $0.depthwise.reach / 2)
    }
    waiting = RowHistory(columns: columns, most: units.reduce(0) { $0 + $1.depthwise.reach / 2 })
    done = units.map { _ in 0 }
  }

  func reset() {
    for history in inputs { history.reset() }
    waiting.reset()
    for index in done.indices { done[index] = 0 }
  }

  func copy(_ other: ResidualHistory) {
    for (history, others) in zip(inputs, other.inputs) { history.copy(others) }
    waiting.copy(other.waiting)
    for index in done.indices { done[index] = other.done[index] }
  }
}

/// Memory that layers work in; one for each runner.
struct SnacScratch {
  /// Windows of a block's rows, those of one block and the next by turns.
  private(set) var blocks: (Floats, Floats)
  /// Windows of a layer's input.
  let window: Floats
  /// What goes from one layer to the next.
  let mixed: Floats

  /// - Parameter floats: of each.
  init(floats: Int) throws(ModelInputError) {
    guard let first = Floats(reserving: floats), let second = Floats(reserving: floats),
      let window = Floats(reserving: floats), let mixed = Floats(reserving: floats)
    else { throw .noMemory(bytes: 4 * 4 * floats) }
    (blocks, self.window, self.mixed) = ((first, second), window, mixed)
  }

  /// The next block's window.
  mutating func nextBlock() -> UnsafeMutablePointer<Float> {
    swap(&blocks.0, &blocks.1)
    return blocks.0.start
  }

  /// Sends a block's rows through its residual units, in place.
  ///
  /// - Parameters:
  ///   - x: the rows that waited, and behind them the fresh ones.
  ///   - isLast: whether nothing follows.
  /// - Returns: how many rows are done, at the front. The others are kept.
  func runUnits(
    _ units: [SnacModel.ResidualUnit], _ history: ResidualHistory, _ x: UnsafeMutablePointer<Float>, fresh: Int,
    isLast: Bool
  ) -> Int {
    let columns = history.waiting.columns
    let rows = history.waiting.rows + fresh
    var (seen, ready) = (history.waiting.rows, rows)
    for (index, unit) in units.enumerated() {
      let (input, reach) = (history.inputs[index], unit.depthwise.reach)
      let target = input.open(window.start)
      unit.before.apply(x + seen * columns, rows: ready - seen, into: target)
      var total = input.rows + ready - seen
      if isLast { total += zeros(reach / 2, columns, at: window.start + total * columns) }
      let count = max(0, total - reach)
      unit.depthwise.apply(window.start, rows: count, snake: unit.between, into: mixed.start)
      unit.pointwise.apply(mixed.start, rows: count, adding: true, into: x + history.done[index] * columns)
      input.keep(window.start, count..<total)
      seen = history.done[index]
      history.done[index] += count
      ready = history.done[index]
    }
    history.waiting.keep(x, ready..<rows)
    for index in history.done.indices { history.done[index] -= ready }
    return ready
  }

  /// Writes rows of zeros.
  func zeros(_ rows: Int, _ columns: Int, at target: UnsafeMutablePointer<Float>) -> Int {
    target.update(repeating: 0, count: rows * columns)
    return rows
  }

  /// Floats that ``runUnits(_:_:_:fresh:isLast:)`` needs.
  static func floats(_ units: [SnacModel.ResidualUnit], columns: Int, fresh: Int) -> Int {
    let ahead = units.reduce(0) { $0 + $1.depthwise.reach / 2 }
    return (fresh + ahead + 2 * (units.map(\.depthwise.reach).max() ?? 0)) * columns
  }
}
