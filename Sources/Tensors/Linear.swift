internal import CKernels
internal import COpenBLAS

/// Memory that operations borrow while they run; one for each runner.
package final class Scratch {
  /// Weights expanded for OpenBLAS, a panel of rows at a time: small enough to stay in cache.
  let panel = Floats(1 << 19)
  private(set) var scores = Floats(1)
  var heads: [ck_head] = []

  package init() {}

  /// At least `count` floats for attention scores.
  func scores(_ count: Int) -> UnsafeMutablePointer<Float> {
    if scores.count < count { scores = Floats(count) }
    return scores.start
  }
}

/// y = W x + b with weights as stored.
package struct Linear: Sendable {
  package let weight: Tensor
  package let bias: [Float]?
  package let outputs: Int
  package let inputs: Int

  /// The widest row that the kernels take.
  package static let mostInputs = 131_072

  /// Nil unless the weight is [outputs, inputs] and the bias, if any, [outputs].
  package init?(_ weight: Tensor, bias: [Float]? = nil) {
    guard weight.shape.count == 2, (1...Self.mostInputs).contains(weight.shape[1]) else { return nil }
    guard bias == nil || bias?.count == weight.shape[0] else { return nil }
    (self.weight, self.bias) = (weight, bias)
    (outputs, inputs) = (weight.shape[0], weight.shape[1])
  }

  /// The same with its weights stored as another type.
  ///
  /// - Returns: nil when the system has not that much memory.
  package func stored(as type: ElementType) -> Linear? {
    weight.stored(as: type).flatMap { Linear($0, bias: bias) }
  }

  /// Up to this many input rows the weights are read as stored; beyond, they are expanded and multiplied by OpenBLAS.
  private static let fewRows = 8

  /// Multiplies `rows` rows of `inputs` floats; `y` gets rows of `range.count` (all outputs by default).
  package func apply(
    _ x: UnsafePointer<Float>, rows: Int, stride: Int? = nil, range: Range<Int>? = nil,
    into y: UnsafeMutablePointer<Float>, outStride: Int? = nil, scratch: Scratch
  ) {
    let range = range ?? 0..<outputs
    let outStride = outStride ?? range.count
    guard rows > 0, !range.isEmpty else { return }
    if rows <= Self.fewRows {
      withBias(range) { bias in
        ck_matvec(
          weight.type.code, weight.rowStart(range.lowerBound), range.count, inputs, x, stride ?? inputs, rows, bias, y,
          outStride)
      }
      return
    }
    let isPlain = weight.type == .f32 && Int(bitPattern: weight.start) % 4 == 0
    let panelRows = isPlain ? range.count : max(1, scratch.panel.count / inputs)
    var first = range.lowerBound
    while first < range.upperBound {
      let last = min(first + panelRows, range.upperBound)
      let panel: UnsafePointer<Float>
      if isPlain {
        panel = weight.rowStart(first).assumingMemoryBound(to: Float.self)
      } else {
        weight.expandRows(first..<last, into: scratch.panel.start)
        panel = UnsafePointer(scratch.panel.start)
      }
      cblas_sgemm(
        CblasRowMajor, CblasNoTrans, CblasTrans, Int32(rows), Int32(last - first), Int32(inputs), 1, x,
        Int32(stride ?? inputs), panel, Int32(inputs), 0, y + (first - range.lowerBound), Int32(outStride))
      first = last
    }
    withBias(range) { bias in ck_add_bias(y, bias, rows, range.count, outStride) }
  }

  private func withBias(_ range: Range<Int>, _ body: (UnsafePointer<Float>?) -> Void) {
    guard let bias else { return body(nil) }
    bias.withUnsafeBufferPointer { body($0.baseAddress.map { $0 + range.lowerBound }) }
  }
}
