public import Tensors

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Darwin)
  internal import Darwin
#endif

/// Whisper's input: the logarithm of a mel spectrogram, scaled to about -1 to 1.
///
/// Frames of 400 samples (25 ms) every 160 (10 ms) under a Hann window; power in triangular bands that are evenly
/// spaced on Slaney's mel scale from 0 to 8000 Hz, each of unit area; log10, at most 8 below the loudest; (x + 4) / 4.
public struct LogMel: Sendable {
  /// Samples a second that ``features(_:)`` expects.
  public static let sampleRate = 16_000
  /// A window, which is all that the encoder sees at once: 30 s.
  public static let windowSamples = 480_000
  public static let windowFrames = 3_000

  /// What stands after the end of audio that is shorter than a window. The models accept both; transcripts may differ.
  public enum Padding: Sendable {
    /// Zeros in place of features, as faster-whisper does, and openai-whisper when it transcribes files.
    case zeros
    /// Features of digital silence, as openai-whisper's `pad_or_trim` of audio gives; Mini-Omni2 uses it.
    case silence
  }

  /// Bands of the spectrogram.
  public let bins: Int
  public let padding: Padding
  private let bands: [Band]

  /// The FFT bins that a band weighs.
  private struct Band: Sendable {
    var first: Int
    var weights: [Float]
  }

  private static let frame = 400
  static let hop = 160
  private static let half = frame / 2
  /// FFT bins from 0 Hz to the highest.
  private static let frequencies = half + 1
  private static let reference: Float = 1e-10

  /// - Parameter bins: 80 for the models up to large-v2, 128 for large-v3; at least 1.
  public init(bins: Int = 80, padding: Padding = .zeros) {
    self.bins = max(1, bins)
    self.padding = padding
    bands = Self.bands(self.bins)
  }

  /// The features of one window, ``windowFrames`` rows of ``bins``.
  ///
  /// - Parameter samples: mono, 16 kHz, -1 to 1; those after ``windowSamples`` are ignored.
  public func features(_ samples: [Float]) -> Matrix {
    let samples = samples.prefix(Self.windowSamples)
    // Both references take one frame more than the audio fills, and look for the loudest among all frames.
    let heard = min(Self.windowFrames, padding == .zeros ? samples.count / Self.hop : Self.windowFrames)
    let computed = padding == .zeros ? samples.count / Self.hop + 1 : Self.windowFrames
    var result = Matrix(rows: Self.windowFrames, columns: bins)
    guard !samples.isEmpty else {
      if padding == .silence { result.withMutableFloats { $0.update(repeating: (log10f(Self.reference) + 4) / 4) } }
      return result
    }

    // Reflection at the start; at the end, the padding that the references append before they reflect.
    let tail = padding == .zeros ? Self.hop : Self.windowSamples - samples.count
    let padded = Self.reflected(Array(samples) + [Float](repeating: 0, count: tail))
    // Frames past the audio hear nothing.
    let sounding = min(computed, (samples.count + Self.half) / Self.hop + 1)
    var logs = [Float](repeating: log10f(Self.reference), count: computed * bins)
    for first in stride(from: 0, to: sounding, by: 500) {
      let last = min(first + 500, sounding)
      power(padded, frames: first..<last) { frame, spectrum in
        for (bin, band) in bands.enumerated() {
          var sum: Float = 0
          for (offset, weight) in band.weights.enumerated() { sum += weight * spectrum[band.first + offset] }
          logs[frame * bins + bin] = log10f(max(sum, Self.reference))
        }
      }
    }
    let floor = (logs.max() ?? 0) - 8
    result.withMutableFloats { out in
      for index in 0..<heard * bins { out[index] = (max(logs[index], floor) + 4) / 4 }
    }
    return result
  }

  /// How many of a window's features Mini-Omni2 takes for what was heard: one every 20 ms, and one.
  ///
  /// In the release's order of operations, whose rounding makes it one less at a few lengths.
  ///
  /// - Parameter samples: all of them, beyond a window too.
  public static func heardRows(_ samples: Int) -> Int {
    let milliseconds = Double(samples) / Double(sampleRate) * 1000
    return Int(milliseconds / 20) + 1
  }

  /// Half a frame mirrored at both ends, without repeating the outermost sample.
  private static func reflected(_ samples: [Float]) -> [Float] {
    let count = samples.count
    func mirrored(_ index: Int) -> Int {
      guard count > 1 else { return 0 }
      let period = 2 * (count - 1)
      let place = ((index % period) + period) % period
      return place < count ? place : period - place
    }
    let before = (-half..<0).map { samples[mirrored($0)] }
    let after = (count..<count + half).map { samples[mirrored($0)] }
    return before + samples + after
  }

  /// Power spectra, by a discrete Fourier transform as a matrix product in double precision. Cosines are even and sines
  /// odd around the middle of the frame, so that sums and differences of mirrored samples halve the work.
  private func power(_ samples: [Float], frames: Range<Int>, _ body: (Int, UnsafeBufferPointer<Float>) -> Void) {
    let tables = Self.tables
    var even = [Double](repeating: 0, count: frames.count * Self.frequencies)
    var odd = even
    for (row, frame) in frames.enumerated() {
      let start = frame * Self.hop
      func sample(_ index: Int) -> Double { Double(samples[start + index] * tables.window[index]) }
      let place = row * Self.frequencies
      even[place] = sample(0)
      even[place + Self.half] = sample(Self.half)
      for index in 1..<Self.half {
        even[place + index] = sample(index) + sample(Self.frame - index)
        odd[place + index] = sample(index) - sample(Self.frame - index)
      }
    }
    var real = [Double](repeating: 0, count: even.count)
    var imaginary = real
    Operations.multiply(
      even, rows: frames.count, columns: Self.frequencies, by: tables.cosines, outputs: Self.frequencies, into: &real)
    Operations.multiply(
      odd, rows: frames.count, columns: Self.frequencies, by: tables.sines, outputs: Self.frequencies, into: &imaginary)
    var spectrum = [Float](repeating: 0, count: Self.frequencies)
    for (row, frame) in frames.enumerated() {
      for bin in 0..<Self.frequencies {
        let (a, b) = (real[row * Self.frequencies + bin], imaginary[row * Self.frequencies + bin])
        spectrum[bin] = Float(a * a + b * b)
      }
      spectrum.withUnsafeBufferPointer { body(frame, $0) }
    }
  }

  private struct Tables: Sendable {
    var window: [Float]
    /// [sample, bin] for the first half of a frame.
    var cosines: [Double]
    var sines: [Double]
  }

  private static let tables: Tables = {
    let turn = (0..<frame).map { 2 * Double.pi * Double($0) / Double(frame) }
    let angle = { (sample: Int, bin: Int) in turn[sample * bin % frame] }
    let pairs = (0..<frequencies).flatMap { sample in (0..<frequencies).map { (sample, $0) } }
    return Tables(
      window: turn.map { Float(0.5 - 0.5 * cos($0)) }, cosines: pairs.map { cos(angle($0.0, $0.1)) },
      sines: pairs.map { sin(angle($0.0, $0.1)) })
  }()

  /// Slaney's mel scale is linear to 1000 Hz (66.7 Hz a mel) and logarithmic above (27 mels for a factor of 6.4).
  private static func bands(_ count: Int) -> [Band] {
    let (spacing, corner, step) = (200.0 / 3, 1000.0, log(6.4) / 27)
    func hertz(_ mel: Double) -> Double {
      mel < corner / spacing ? mel * spacing : corner * exp(step * (mel - corner / spacing))
    }
    let top = corner / spacing + log(Double(sampleRate) / 2 / corner) / step
    let edges = (0..<count + 2).map { hertz(top * Double($0) / Double(count + 1)) }
    let width = Double(sampleRate) / Double(frame)
    return (0..<count).map { band in
      let (low, middle, high) = (edges[band], edges[band + 1], edges[band + 2])
      let weights = (0..<frequencies).map { bin in
        let frequency = Double(bin) * width
        let rise = (frequency - low) / (middle - low)
        let fall = (high - frequency) / (high - middle)
        return Float(max(0, min(rise, fall)) * 2 / (high - low))
      }
      let first = weights.firstIndex { $0 > 0 } ?? 0
      let last = weights.lastIndex { $0 > 0 } ?? first
      return Band(first: first, weights: Array(weights[first...last]))
    }
  }
}
