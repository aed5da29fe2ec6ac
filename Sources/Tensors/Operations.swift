internal import CKernels
internal import COpenBLAS

/// Operations over rows of floats, in place or from one buffer to another.
package enum Operations {
  package static func rmsNorm(
    _ x: UnsafePointer<Float>, _ weight: [Float], epsilon: Float, rows: Int, into out: UnsafeMutablePointer<Float>
  ) {
    ck_rms_norm(x, weight, epsilon, rows, weight.count, out)
  }

  package static func layerNorm(
    _ x: UnsafePointer<Float>, _ weight: [Float], _ bias: [Float], epsilon: Float, rows: Int,
    into out: UnsafeMutablePointer<Float>
  ) {
    ck_layer_norm(x, weight, bias, epsilon, rows, weight.count, out)
  }

  /// x += y.
  package static func add(_ x: UnsafeMutablePointer<Float>, _ y: UnsafePointer<Float>, count: Int) {
    ck_add(x, y, count)
  }

  /// Every row of x += bias.
  package static func addBias(_ x: UnsafeMutablePointer<Float>, _ bias: [Float], rows: Int) {
    ck_add_bias(x, bias, rows, bias.count, bias.count)
  }

  package static func gelu(_ x: UnsafeMutablePointer<Float>, count: Int) { ck_gelu(x, count) }

  /// x = x sigmoid(1.702 x).
  package static func quickGelu(_ x: UnsafeMutablePointer<Float>, count: Int) { ck_quick_gelu(x, count) }

  /// x = silu(x) * y.
  package static func siluMultiply(_ x: UnsafeMutablePointer<Float>, _ y: UnsafePointer<Float>, count: Int) {
    ck_silu_multiply(x, y, count)
  }

  /// out = x w in double precision; [rows, columns] times [columns, outputs].
  package static func multiply(
    _ x: UnsafePointer<Double>, rows: Int, columns: Int, by w: UnsafePointer<Double>, outputs: Int,
    into out: UnsafeMutablePointer<Double>
  ) {
    cblas_dgemm(
      CblasRowMajor, CblasNoTrans, CblasNoTrans, Int32(rows), Int32(outputs), Int32(columns), 1, x, Int32(columns), w,
      Int32(outputs), 0, out, Int32(outputs))
  }
}

extension Scratch {
  /// Makes room for so many attention scores, so that none need be made in the middle of an answer.
  package func reserveScores(_ count: Int) { _ = scores(count) }
}
