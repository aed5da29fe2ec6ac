internal import CKernels

/// y = W x + b with weights laid out once, when they are loaded, in the order in which the kernel reads them.
///
/// For the matrices of convolution networks: a few to thousands of rows at a time, 32-bit floats. A row of y does not
/// depend on how many there are, nor on the number of threads, down to the last bit.
package struct PackedLinear: Sendable {
  package let outputs: Int
  package let inputs: Int
  private let weights: Bytes
  /// An entry for each output of the panels, the filling included.
  private let bias: [Float]?

  private static let panel = Int(CK_PANEL)

  /// - Parameters:
  ///   - bias: as many as outputs, if any.
  ///   - weight: the weight by which an output takes an input.
  package init(outputs: Int, inputs: Int, bias: [Float]? = nil, weight: (_ output: Int, _ input: Int) -> Float) {
    (self.outputs, self.inputs) = (outputs, inputs)
    let panels = (outputs + Self.panel - 1) / Self.panel
    weights = Bytes(floats: panels * Self.panel * inputs) { packed in
      for output in 0..<outputs {
        let column = packed + output / Self.panel * Self.panel * inputs + output % Self.panel
        for input in 0..<inputs { column[input * Self.panel] = weight(output, input) }
      }
    }
    self.bias = bias.map { bias in
      (0..<panels * Self.panel).map { $0 < outputs && $0 < bias.count ? bias[$0] : 0 }
    }
  }

  /// Multiplies `rows` rows, which begin every `stride` floats and may overlap.
  ///
  /// - Parameter adding: whether y is added to what `y` holds.
  package func apply(
    _ x: UnsafePointer<Float>, rows: Int, stride: Int? = nil, adding: Bool = false,
    into y: UnsafeMutablePointer<Float>, outStride: Int? = nil
  ) {
    let start = weights.start.assumingMemoryBound(to: Float.self)
    let (stride, outStride) = (stride ?? inputs, outStride ?? outputs)
    guard let bias else {
      return ck_multiply(start, outputs, inputs, x, stride, rows, nil, adding ? 1 : 0, y, outStride)
    }
    ck_multiply(start, outputs, inputs, x, stride, rows, bias, adding ? 1 : 0, y, outStride)
  }
}
