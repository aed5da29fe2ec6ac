internal import Tensors

/// Hidden states that are multiplied with a head together, so that its weights are read once for all of them. What each
/// gets does not depend on the others, to the last bit.
package final class HeadRows {
  /// The most at once: as few as the kernels themselves take, whose sums do not depend on how many there are.
  package static let most = 8

  private let width: Int
  private let outputs: Int
  private let states: Floats
  private let logits: Floats
  package private(set) var count = 0

  /// - Parameters:
  ///   - width: floats of a hidden state.
  ///   - outputs: logits of each.
  init(width: Int, outputs: Int) {
    (self.width, self.outputs) = (width, outputs)
    states = Floats(Self.most * width)
    logits = Floats(Self.most * outputs)
  }

  package func removeAll() { count = 0 }

  /// Adds a hidden state; there must be room.
  ///
  /// - Returns: its place.
  @discardableResult
  package func add(_ state: UnsafePointer<Float>) -> Int {
    (states.start + count * width).update(from: state, count: width)
    count += 1
    return count - 1
  }

  /// - Parameter range: of the matrix's outputs, as many as there are logits.
  func multiply(_ linear: Linear, range: Range<Int>, scratch: Scratch) {
    linear.apply(states.start, rows: count, range: range, separately: true, into: logits.start, scratch: scratch)
  }

  /// The logits of the state at a place, which stay until the next multiplication.
  package subscript(_ place: Int) -> UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(start: logits.start + place * outputs, count: outputs)
  }
}
