internal import CKernels

/// y = W x + b.
package struct Linear: Sendable {
  /// What the weights are and what they are multiplied with.
  private enum Weights: Sendable {
    /// As stored, with x as it is: 32-bit products.
    case exact(Tensor)
    /// bf16, with x rounded to bf16 where the processor has such products.
    case rounded(Tensor)
    /// Quantized, with x quantized row by row.
    case tiled(TiledWeights)
  }
  private let weights: Weights
  package let name: String
  package let bias: [Float]?
  package let outputs: Int
  package let inputs: Int

  /// The widest row that the kernels take.
  package static let mostInputs = 131_072

  private init(_ weights: Weights, name: String, bias: [Float]?, outputs: Int, inputs: Int) {
    (self.weights, self.name, self.bias, self.outputs, self.inputs) = (weights, name, bias, outputs, inputs)
  }

  /// Nil unless the weight is [outputs, inputs] and the bias, if any, [outputs].
  package init?(_ weight: Tensor, bias: [Float]? = nil) {
    guard weight.shape.count == 2, (1...Self.mostInputs).contains(weight.shape[1]) else { return nil }
    guard bias == nil || bias?.count == weight.shape[0] else { return nil }
    self.init(.exact(weight), name: weight.name, bias: bias, outputs: weight.shape[0], inputs: weight.shape[1])
  }

  // MARK: Other forms of the same matrix

  /// With its weights stored as another type.
  ///
  /// - Returns: nil when the system has not that much memory.
  package func stored(as type: ElementType) -> Linear? {
    guard case .exact(let weight) = weights else { return self }
    return weight.stored(as: type).flatMap { Linear($0, bias: bias) }
  }

  /// With weights and inputs rounded to bf16; as it is where its rows have an odd length.
  ///
  /// - Returns: nil when the system has not that much memory.
  package func rounded() -> Linear? {
    guard case .exact(let weight) = weights, inputs % 2 == 0 else { return self }
    return weight.stored(as: .bf16).map {
      Linear(.rounded($0), name: name, bias: bias, outputs: outputs, inputs: inputs)
    }
  }

  /// Whether ``tiled(_:)`` changes anything: the rows fill blocks.
  package var canBeTiled: Bool {
    if case .exact = weights { inputs % TiledWeights.blockCount == 0 } else { false }
  }

  /// With weights and inputs quantized; as it is where its rows do not fill blocks.
  ///
  /// - Returns: nil when the system has not that much memory.
  package func tiled(_ form: TiledWeights.Form) -> Linear? {
    guard canBeTiled, case .exact(let weight) = weights else { return self }
    return TiledWeights(form, weight).flatMap(with)
  }

  /// With the given weights in the place of its own; nil unless they have its shape.
  package func with(_ tiled: TiledWeights) -> Linear? {
    guard tiled.rows == outputs, tiled.columns == inputs else { return nil }
    return Linear(.tiled(tiled), name: name, bias: bias, outputs: outputs, inputs: inputs)
  }

  /// Lets go of memory that weights in a mapped file take.
  package func release() { if case .exact(let weight) = weights { weight.release() } }

  /// Its quantized weights, if they are.
  package var tiledWeights: TiledWeights? { if case .tiled(let weights) = weights { weights } else { nil } }

  /// Whether what goes in is rounded or quantized.
  package var isReduced: Bool { if case .exact = weights { false } else { true } }

  // MARK: Multiplication

  /// Up to this many input rows each is multiplied by itself as the weights pass; beyond, the weights are brought into the
  /// order that suits many, a panel at a time.
  private static let fewRows = 8

  /// Multiplies `rows` rows of `inputs` floats, which begin every `stride` floats and may overlap; `y` gets rows of `range.count` (all outputs by default).
  ///
  /// - Parameter separately: whether each row's result is what it would be alone, to the last bit.
  package func apply(
    _ x: UnsafePointer<Float>, rows: Int, stride: Int? = nil, range: Range<Int>? = nil, separately: Bool = false,
    into y: UnsafeMutablePointer<Float>, outStride: Int? = nil, scratch: Scratch
  ) {
    let range = range ?? 0..<outputs
    guard rows > 0, !range.isEmpty else { return }
    let call = Call(
      x: x, rows: rows, stride: stride ?? inputs, range: range, y: y, outStride: outStride ?? range.count,
      scratch: scratch)
    let isFew = separately || rows <= Self.fewRows
    switch weights {
    case .tiled(let weights): multiply(weights, call)
    case .exact(let weight), .rounded(let weight):
      if isReduced, ck_has_brain_products() != 0 {
        multiplyRounded(weight, call, isFew: isFew)
      } else if isFew {
        multiplyAsStored(weight, call)
      } else {
        multiplyExpanded(weight, call)
      }
    }
  }

  private struct Call {
    var x: UnsafePointer<Float>
    var rows: Int
    var stride: Int
    var range: Range<Int>
    var y: UnsafeMutablePointer<Float>
    var outStride: Int
    var scratch: Scratch
  }

  private func multiplyAsStored(_ weight: Tensor, _ call: Call) {
    withBias(call.range) { bias in
      ck_matvec(
        weight.type.code, weight.rowStart(call.range.lowerBound), call.range.count, inputs, call.x, call.stride,
        call.rows, bias, call.y, call.outStride)
    }
  }

  private func multiply(_ weights: TiledWeights, _ call: Call) {
    let x = call.scratch.quantized(rows: call.rows, columns: inputs)
    ck_quantize_rows(call.x, call.stride, call.rows, inputs, x)
    withBias(call.range) { bias in
      ck_multiply_tiled(
        weights.form.code, weights.start, outputs, inputs, call.range.lowerBound, call.range.count, x, call.rows, bias,
        0, call.y, call.outStride)
    }
  }

  private func multiplyRounded(_ weight: Tensor, _ call: Call, isFew: Bool) {
    let x = call.scratch.rounded(call.rows * inputs)
    ck_round_rows(call.x, call.stride, call.rows, inputs, x)
    withBias(call.range) { bias in
      let start = weight.rowStart(call.range.lowerBound)
      if isFew {
        ck_matvec_brains(start, call.range.count, inputs, x, inputs, call.rows, bias, call.y, call.outStride)
      } else {
        ck_multiply_brains(start, call.range.count, inputs, x, inputs, call.rows, bias, 0, call.y, call.outStride)
      }
    }
  }

  private func multiplyExpanded(_ weight: Tensor, _ call: Call) {
    withBias(call.range) { bias in
      ck_multiply_stored(
        weight.type.code, weight.rowStart(call.range.lowerBound), call.range.count, inputs, call.x, call.stride,
        call.rows, bias, 0, call.y, call.outStride)
    }
  }

  private func withBias(_ range: Range<Int>, _ body: (UnsafePointer<Float>?) -> Void) {
    guard let bias else { return body(nil) }
    bias.withUnsafeBufferPointer { body($0.baseAddress.map { $0 + range.lowerBound }) }
  }
}
