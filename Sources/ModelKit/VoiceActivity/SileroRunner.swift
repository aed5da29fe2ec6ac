internal import Tensors

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Darwin)
  internal import Darwin
#endif

/// Tells from frame to frame how likely it is that somebody speaks; one for each stream of sound. Its buffers are
/// allocated once.
public final class SileroRunner {
  public let model: SileroModel
  /// The last samples of the frame before, the frame, and what is mirrored behind it.
  private let samples = Floats(2 * SileroModel.context + SileroModel.frame)
  /// [window, real and imaginary parts].
  private let spectrum = Floats(SileroModel.windows * 2 * SileroModel.frequencies)
  /// Rows that a convolution reads and writes, by turns, with a row of zeros before the first and behind the last.
  private let rows: [Floats]
  /// The recurrent layer's input and its state h side by side; its state c; its gates.
  private let inputAndState = Floats(2 * SileroModel.hidden)
  private let cell = Floats(SileroModel.hidden)
  private let gates = Floats(4 * SileroModel.hidden)

  public init(_ model: SileroModel) {
    self.model = model
    let widest = max(SileroModel.frequencies, SileroModel.layers.map(\.columns).max() ?? 0)
    rows = (0..<2).map { _ in Floats((SileroModel.windows + 2) * widest) }
    reset()
  }

  /// Makes it ready for another stream.
  public func reset() {
    samples.start.update(repeating: 0, count: samples.count)
    inputAndState.start.update(repeating: 0, count: inputAndState.count)
    cell.start.update(repeating: 0, count: cell.count)
  }

  /// The probability, 0 to 1, that somebody speaks in the next frame.
  ///
  /// - Parameter frame: ``SileroModel/frame`` samples of ``SileroModel/rate`` Hz; those that are missing, and those that
  ///   are not numbers, count as silence.
  public func process(_ frame: UnsafeBufferPointer<Float>) -> Float {
    take(frame)
    let encoded = encode()
    recur(encoded)
    var sum = model.outputBias
    let state = inputAndState.start + SileroModel.hidden
    for index in 0..<SileroModel.hidden { sum += model.output[index] * max(state[index], 0) }
    return Self.sigmoid(sum)
  }

  private func take(_ frame: UnsafeBufferPointer<Float>) {
    let (start, context, count) = (samples.start, SileroModel.context, SileroModel.frame)
    start.update(from: start + count, count: context)
    for index in 0..<count {
      let sample = index < frame.count ? frame[index] : 0
      start[context + index] = sample.isFinite ? sample : 0
    }
    // Mirrored at the last sample, which is not repeated.
    let end = context + count
    for index in 0..<context { start[end + index] = start[end - 2 - index] }
  }

  /// Magnitudes of the spectrum, and four convolutions that make one row of it.
  private func encode() -> UnsafePointer<Float> {
    typealias Model = SileroModel
    model.transform.apply(samples.start, rows: Model.windows, stride: Model.hop, into: spectrum.start)
    var (count, columns) = (Model.windows, Model.frequencies)
    frame(rows[0], count, columns)
    for window in 0..<count {
      let real = spectrum.start + window * 2 * columns
      let out = rows[0].start + (window + 1) * columns
      for bin in 0..<columns {
        out[bin] = (real[bin] * real[bin] + real[columns + bin] * real[columns + bin]).squareRoot()
      }
    }
    var source = 0
    for (layer, convolution) in zip(Model.layers, model.convolutions) {
      let (x, y) = (rows[source], rows[1 - source])
      let made = (count - 1) / layer.stride + 1
      frame(y, made, layer.columns)
      let out = y.start + layer.columns
      convolution.apply(x.start, rows: made, stride: layer.stride * columns, into: out)
      for index in 0..<made * layer.columns { out[index] = max(out[index], 0) }
      (count, columns, source) = (made, layer.columns, 1 - source)
    }
    return UnsafePointer(rows[source].start + columns)
  }

  /// Zeros before the first of so many rows and behind the last.
  private func frame(_ memory: Floats, _ count: Int, _ columns: Int) {
    memory.start.update(repeating: 0, count: columns)
    (memory.start + (count + 1) * columns).update(repeating: 0, count: columns)
  }

  /// A step of the recurrent layer (LSTM).
  private func recur(_ input: UnsafePointer<Float>) {
    let hidden = SileroModel.hidden
    inputAndState.start.update(from: input, count: hidden)
    model.recurrent.apply(inputAndState.start, rows: 1, into: gates.start)
    let gates = gates.start
    for index in 0..<hidden {
      let kept = Self.sigmoid(gates[hidden + index]) * cell.start[index]
      cell.start[index] = kept + Self.sigmoid(gates[index]) * tanhf(gates[2 * hidden + index])
      inputAndState.start[hidden + index] = Self.sigmoid(gates[3 * hidden + index]) * tanhf(cell.start[index])
    }
  }

  private static func sigmoid(_ x: Float) -> Float { 1 / (1 + expf(-x)) }
}
