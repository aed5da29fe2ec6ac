internal import Tensors

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Darwin)
  internal import Darwin
#endif

/// The logarithm of a mel spectrogram, frame by frame, on O'Shaughnessy's scale: 2595 log10(1 + f / 700).
///
/// A Hann window, zeros up to the transform's length, power in triangular bands of unit height, ln(power + floor). In
/// double precision: quiet bands beside loud ones lose nothing.
struct MelFrontEnd: Sendable {
  private let window: [Double]
  private let half: Int
  /// cos and sin of -2π k / (2 half), of which every second is a root of the transform of half the length.
  private let cosines: [Double]
  private let sines: [Double]
  /// Where each point of the half-length transform goes before its first step.
  private let order: [Int]
  private let bands: [Band]
  private let floor: Double

  /// The points of the spectrum that a band weighs.
  private struct Band: Sendable {
    var first: Int
    var weights: [Double]
  }

  init(_ shape: KeywordConfiguration) {
    let count = shape.fft
    let half = count / 2
    self.half = half
    window = (0..<shape.window).map { 0.5 - 0.5 * cos(2 * .pi * Double($0) / Double(shape.window)) }
    cosines = (0..<half).map { cos(2 * .pi * Double($0) / Double(count)) }
    sines = (0..<half).map { -sin(2 * .pi * Double($0) / Double(count)) }
    order = (0..<half).map { index in
      (0..<half.trailingZeroBitCount).reduce(0) { $0 << 1 | (index >> $1) & 1 }
    }
    floor = shape.floor
    bands = Self.bands(shape)
  }

  /// Numbers of the scratch memory that ``frame(_:scratch:into:)`` takes.
  var scratchCount: Int { 2 * half + half + 1 }

  /// One frame's bands.
  ///
  /// - Parameter samples: as many as the window has.
  func frame(
    _ samples: UnsafePointer<Double>, scratch: UnsafeMutablePointer<Double>, into out: UnsafeMutablePointer<Float>
  ) {
    let power = scratch + 2 * half
    spectrum(samples, scratch, power)
    for (index, band) in bands.enumerated() {
      var sum = 0.0
      for (offset, weight) in band.weights.enumerated() { sum += weight * power[band.first + offset] }
      out[index] = Float(log(sum + floor))
    }
  }

  /// Squared magnitudes of points 0 to `half`, by a complex transform of half the length on pairs of samples.
  private func spectrum(
    _ samples: UnsafePointer<Double>, _ z: UnsafeMutablePointer<Double>, _ power: UnsafeMutablePointer<Double>
  ) {
    func windowed(_ index: Int) -> Double { index < window.count ? samples[index] * window[index] : 0 }
    for index in 0..<half {
      let place = order[index]
      z[2 * index] = windowed(2 * place)
      z[2 * index + 1] = windowed(2 * place + 1)
    }
    var length = 2
    while length <= half {
      let (middle, step) = (length / 2, 2 * half / length)
      for start in stride(from: 0, to: half, by: length) {
        for offset in 0..<middle {
          let (c, s) = (cosines[offset * step], sines[offset * step])
          let (a, b) = (2 * (start + offset), 2 * (start + offset + middle))
          let (re, im) = (z[b] * c - z[b + 1] * s, z[b] * s + z[b + 1] * c)
          (z[b], z[b + 1]) = (z[a] - re, z[a + 1] - im)
          (z[a], z[a + 1]) = (z[a] + re, z[a + 1] + im)
        }
      }
      length *= 2
    }
    for point in 0...half {
      let (p, q) = (2 * (point % half), 2 * ((half - point) % half))
      // Of the even samples, and of the odd ones: the parts of z that a real signal's symmetry tells apart.
      let (evenRe, evenIm) = ((z[p] + z[q]) / 2, (z[p + 1] - z[q + 1]) / 2)
      let (oddRe, oddIm) = ((z[p + 1] + z[q + 1]) / 2, (z[q] - z[p]) / 2)
      let (c, s) = point < half ? (cosines[point], sines[point]) : (-1, 0)
      let (re, im) = (evenRe + oddRe * c - oddIm * s, evenIm + oddRe * s + oddIm * c)
      power[point] = re * re + im * im
    }
  }

  private static func bands(_ shape: KeywordConfiguration) -> [Band] {
    func mel(_ frequency: Double) -> Double { 2_595 * log10(1 + frequency / 700) }
    let (low, high) = (mel(shape.low), mel(shape.high))
    let edges: [Double] = (0..<shape.bands + 2).map { index in
      let place = low + (high - low) * Double(index) / Double(shape.bands + 1)
      return 700 * (pow(10, place / 2_595) - 1)
    }
    return (0..<shape.bands).map { band in
      let weights: [Double] = (0...shape.fft / 2).map { point in
        let frequency = Double(point * shape.rate) / Double(shape.fft)
        let rise = (frequency - edges[band]) / (edges[band + 1] - edges[band])
        let fall = (edges[band + 2] - frequency) / (edges[band + 2] - edges[band + 1])
        let weight = max(0, min(rise, fall))
        return weight.isFinite ? weight : 0
      }
      let first = weights.firstIndex { $0 > 0 } ?? 0
      let last = weights.lastIndex { $0 > 0 } ?? first
      return Band(first: first, weights: Array(weights[first...last]))
    }
  }
}
