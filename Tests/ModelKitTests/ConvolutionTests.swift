import Tensors
import Testing

/// The kernels of convolution networks against the plain form in double precision.
@Suite struct ConvolutionTests {
  private func numbers(_ count: Int, _ seed: UInt64, _ range: ClosedRange<Float> = -1...1) -> [Float] {
    var generator = SeededGenerator(seed)
    return (0..<count).map { _ in .random(in: range, using: &generator) }
  }

  /// Shapes that fill tiles and panels, and that leave every kind of rest.
  @Test(arguments: [1, 3, 63, 64, 65, 130], [1, 7, 96])
  func packedProductsAreThoseOfTheMatrix(outputs: Int, inputs: Int) {
    let (weights, bias) = (numbers(outputs * inputs, 1), numbers(outputs, 2))
    let linear = PackedLinear(outputs: outputs, inputs: inputs, bias: bias) { weights[$0 * inputs + $1] }
    let plain = PackedLinear(outputs: outputs, inputs: inputs) { weights[$0 * inputs + $1] }
    var all: [Float] = []
    for rows in [0, 1, 2, 5, 6, 13, 100] {
      // Rows that overlap, and a gap between those of the result.
      let (stride, outStride) = (max(1, inputs / 2), outputs + 3)
      let x = numbers(rows * stride + inputs, 3)
      var y = [Float](repeating: 7, count: rows * outStride + 1)
      var sum = y
      linear.apply(x, rows: rows, stride: stride, into: &y, outStride: outStride)
      plain.apply(x, rows: rows, stride: stride, adding: true, into: &sum, outStride: outStride)
      for row in 0..<rows {
        for output in 0..<outStride {
          guard output < outputs else {
            #expect(y[row * outStride + output] == 7 && sum[row * outStride + output] == 7, "what is between stays")
            continue
          }
          let exact = (0..<inputs).reduce(0.0) {
            $0 + Double(weights[output * inputs + $1]) * Double(x[row * stride + $1])
          }
          #expect(abs(Double(y[row * outStride + output]) - exact - Double(bias[output])) < 1e-5)
          #expect(abs(Double(sum[row * outStride + output]) - exact - 7) < 1e-5)
        }
      }
      // A row's result does not depend on how many there are.
      if rows > 0 { all.append(y[0]) }
    }
    #expect(Set(all).count == 1)
  }

  @Test(arguments: [1, 3, 16, 50])
  func snakeAndDepthwiseAreThePlainForms(columns: Int) {
    let (alpha, bias) = (numbers(columns, 4, 0.2...3), numbers(columns, 5))
    let taps = numbers(columns * 7, 6)
    let snake = Snake(alpha: alpha)
    func exact(_ x: Double, _ column: Int) -> Double {
      let alpha = Double(alpha[column])
      let wave = sine(alpha * x)
      return x + wave * wave / alpha
    }
    let rows = 40
    for dilation in [1, 3] {
      let x = numbers((rows + 6 * dilation) * columns, 7, -20...20)
      let convolution = DepthwiseConvolution(bias: bias, dilation: dilation) { taps[$0 * 7 + $1] }
      #expect(convolution.reach == 6 * dilation)
      var (plain, curved, snaked) = (x, x, x)
      convolution.apply(x, rows: rows, into: &plain)
      convolution.apply(x, rows: rows, snake: snake, into: &curved)
      snake.apply(x, rows: rows, into: &snaked)
      for index in 0..<rows * columns {
        let column = index % columns
        let sum = (0..<7).reduce(Double(bias[column])) {
          $0 + Double(taps[column * 7 + $1]) * Double(x[index + $1 * dilation * columns])
        }
        #expect(abs(Double(plain[index]) - sum) < 1e-4)
        #expect(abs(Double(curved[index]) - exact(sum, column)) < 1e-3)
        #expect(abs(Double(snaked[index]) - exact(Double(x[index]), column)) < 1e-4)
      }
    }
  }

  @Test func snakeStaysBoundedWhereFloatsAreCoarse() {
    for value in [Float(1e6), -3e8, 1e20, -1e30] {
      var x = [value]
      Snake(alpha: [1]).apply([value], rows: 1, into: &x)
      #expect(x[0] >= value && x[0] <= value + 1)
    }
  }

  /// sin x by its series, after taking away whole turns.
  private func sine(_ x: Double) -> Double {
    let rest = x - (x / (2 * .pi)).rounded() * 2 * .pi
    var (term, sum) = (rest, rest)
    for n in 1..<20 {
      term *= -rest * rest / Double(2 * n * (2 * n + 1))
      sum += term
    }
    return sum
  }
}
