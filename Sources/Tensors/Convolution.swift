internal import CKernels

/// The snake activation of Liu et al. 2020: x + sin²(αx) / α, with an α for each column.
package struct Snake: Sendable {
  let alpha: [Float]
  let inverse: [Float]

  /// - Parameter alpha: one for each column.
  package init(alpha: [Float]) {
    self.alpha = alpha
    inverse = alpha.map { 1 / ($0 + 1e-9) }  // as SNAC guards against 0
  }

  package func apply(_ x: UnsafePointer<Float>, rows: Int, into out: UnsafeMutablePointer<Float>) {
    ck_snake(x, alpha, inverse, rows, alpha.count, out)
  }
}

/// A convolution of 7 taps over the rows, in each column for itself.
package struct DepthwiseConvolution: Sendable {
  package static let taps = 7

  package let dilation: Int
  /// Rows of taps: [taps, columns].
  private let weights: [Float]
  private let bias: [Float]

  /// - Parameter weight: the tap of a column.
  package init(bias: [Float], dilation: Int, weight: (_ column: Int, _ tap: Int) -> Float) {
    self.dilation = dilation
    self.bias = bias
    weights = (0..<Self.taps).flatMap { tap in bias.indices.map { weight($0, tap) } }
  }

  /// Rows beyond those of the output that it reads.
  package var reach: Int { (Self.taps - 1) * dilation }

  /// - Parameters:
  ///   - rows: of the output; `x` holds ``reach`` more.
  ///   - snake: applied to the output.
  package func apply(
    _ x: UnsafePointer<Float>, rows: Int, snake: Snake? = nil, into out: UnsafeMutablePointer<Float>
  ) {
    guard let snake else { return ck_depthwise(x, weights, bias, nil, nil, rows, bias.count, dilation, out) }
    ck_depthwise(x, weights, bias, snake.alpha, snake.inverse, rows, bias.count, dilation, out)
  }
}

extension Operations {
  /// out = x, each row times its factor.
  package static func scaleRows(
    _ x: UnsafePointer<Float>, by factors: UnsafePointer<Float>, rows: Int, columns: Int,
    into out: UnsafeMutablePointer<Float>
  ) {
    ck_scale_rows(x, factors, rows, columns, out)
  }

  package static func tanh(_ x: UnsafeMutablePointer<Float>, count: Int) { ck_tanh(x, count) }

  /// out = w x + bias, one number a row; rows begin every `stride` floats and may overlap.
  package static func dot(
    _ x: UnsafePointer<Float>, rows: Int, stride: Int, _ w: [Float], bias: Float,
    into out: UnsafeMutablePointer<Float>
  ) {
    withUnsafePointer(to: bias) { ck_matvec(Int32(CK_F32), w, 1, w.count, x, stride, rows, $0, out, 1) }
  }
}
