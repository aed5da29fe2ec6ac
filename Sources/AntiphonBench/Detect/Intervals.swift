import Foundation

/// What a count says of the rate behind it, at 95 %.
enum Interval {
  /// Wilson's interval of a proportion.
  static func proportion(_ found: Int, of count: Int) -> ClosedRange<Double> {
    guard count > 0 else { return 0...1 }
    let (n, p, z) = (Double(count), Double(found) / Double(count), 1.959_964)
    let middle = p + z * z / (2 * n)
    let half = z * (p * (1 - p) / n + z * z / (4 * n * n)).squareRoot()
    let scale = 1 + z * z / n
    return max(0, (middle - half) / scale)...min(1, (middle + half) / scale)
  }

  /// The exact interval of a Poisson mean (Garwood, 1936).
  static func mean(_ count: Int) -> ClosedRange<Double> {
    let low = count == 0 ? 0 : solved { 1 - atMost(count - 1, $0) - 0.025 }
    return low...solved { 0.025 - atMost(count, $0) }
  }

  /// The probability of so many events or fewer.
  private static func atMost(_ count: Int, _ mean: Double) -> Double {
    var (term, sum) = (exp(-mean), exp(-mean))
    for k in stride(from: 1, through: count, by: 1) {
      term *= mean / Double(k)
      sum += term
    }
    return sum
  }

  /// Where a growing function is 0.
  private static func solved(_ function: (Double) -> Double) -> Double {
    var (low, high) = (0.0, 1.0)
    while function(high) < 0, high < 600 { high *= 2 }
    for _ in 0..<100 {
      let middle = (low + high) / 2
      if function(middle) < 0 { low = middle } else { high = middle }
    }
    return (low + high) / 2
  }
}
