internal import Tensors

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Darwin)
  internal import Darwin
#endif

/// What one stream of sound has come to: feeds a ``KeywordModel`` sample by sample, whatever the chunks.
///
/// All memory is taken at the start; nothing is allocated while sound comes in.
public final class KeywordStream {
  public let model: KeywordModel
  /// Samples that came in.
  public private(set) var samples = 0
  /// Frames of the spectrogram so far, and rows of probabilities.
  public private(set) var frames = 0
  public private(set) var rows = 0

  private let shape: KeywordConfiguration
  /// The samples of the next frame, as far as they have come.
  private let window: UnsafeMutableBufferPointer<Double>
  private var filled = 0
  private let scratch: UnsafeMutableBufferPointer<Double>
  /// The last frame's bands, and their running means.
  private let mel: Floats
  private let means: Floats
  /// [first, 2 bands] of the last frames, the newest last.
  private let heard: Floats
  /// Each block's past rows, round and round.
  private let histories: [Floats]
  private let row: Floats
  private let mixed: Floats
  private let added: Floats
  private let probabilities: Floats
  private var loudness: LoudnessHistory

  public init(_ model: KeywordModel) {
    self.model = model
    shape = model.configuration
    let (channels, classes) = (shape.channels, shape.commands.count + 1)
    window = .allocate(capacity: shape.window)
    window.initialize(repeating: 0)
    scratch = .allocate(capacity: model.front.scratchCount)
    scratch.initialize(repeating: 0)
    func zeros(_ count: Int) -> Floats {
      let floats = Floats(count)
      floats.start.initialize(repeating: 0, count: count)
      return floats
    }
    (mel, means) = (zeros(shape.bands), zeros(shape.bands))
    heard = zeros(shape.first * 2 * shape.bands)
    let taps = shape.taps
    histories = model.blocks.map { zeros(((taps - 1) * $0.dilation + 1) * channels) }
    (row, mixed, added) = (zeros(channels), zeros(channels), zeros(channels))
    probabilities = zeros(classes)
    loudness = LoudnessHistory(frameRate: shape.rate / shape.hop)
  }

  deinit {
    window.deallocate()
    scratch.deallocate()
  }

  /// Hears more of the sound.
  ///
  /// - Parameters:
  ///   - sound: mono, at the configuration's rate, full scale at ±1; what is no number is silence, what is beyond is cut.
  ///   - body: gets each row's probabilities: of no command, then of each.
  public func push(_ sound: UnsafeBufferPointer<Float>, _ body: (UnsafeBufferPointer<Float>) -> Void) {
    for sample in sound {
      window[filled] = sample.isFinite ? Double(min(max(sample, -1), 1)) : 0
      filled += 1
      samples += 1
      guard filled == window.count, let start = window.baseAddress else { continue }
      if nextFrame(start) { body(UnsafeBufferPointer(start: probabilities.start, count: probabilities.count)) }
      filled -= shape.hop
      start.update(from: start + shape.hop, count: filled)
    }
  }

  /// The bands of the last frame, for tests.
  package var lastBands: UnsafeBufferPointer<Float> { UnsafeBufferPointer(start: mel.start, count: mel.count) }

  /// Where what has just been said begins and ends, in samples of the stream, as its loudness tells.
  public func extent() -> Range<Int> {
    let found = loudness.extent()
    let start = max(0, frames - found.upperBound) * shape.hop
    let end = max(0, frames - found.lowerBound) * shape.hop + shape.window - shape.hop
    return min(start, samples)..<min(max(start, end), samples)
  }

  /// - Returns: whether a row is complete.
  private func nextFrame(_ start: UnsafeMutablePointer<Double>) -> Bool {
    guard let scratch = scratch.baseAddress else { return false }
    model.front.frame(start, scratch: scratch, into: mel.start)
    let bands = shape.bands
    var level: Float = 0
    // The oldest frame makes room for the newest.
    let newest = heard.start + (shape.first - 1) * 2 * bands
    heard.start.update(from: heard.start + 2 * bands, count: (shape.first - 1) * 2 * bands)
    for band in 0..<bands {
      let value = mel.start[band]
      let mean = frames == 0 ? value : means.start[band] + shape.smoothing * (value - means.start[band])
      means.start[band] = mean
      newest[band] = (value + 3) / 5
      newest[bands + band] = (value - mean) / 3
      level += value
    }
    loudness.add(level / Float(bands))
    frames += 1
    guard frames % 2 == 0 else { return false }
    nextRow()
    return true
  }

  private func nextRow() {
    let channels = shape.channels
    model.first.apply(heard.start, into: row.start)
    rectify()
    for (block, history) in zip(model.blocks, histories) {
      let length = history.count / channels
      (history.start + rows % length * channels).update(from: row.start, count: channels)
      let weights = block.depthwise.start.assumingMemoryBound(to: Float.self)
      mixed.start.update(repeating: 0, count: channels)
      for tap in 0..<shape.taps {
        // Before the first row all are zero.
        let age = (shape.taps - 1 - tap) * block.dilation
        let past = history.start + (rows + length - age) % length * channels
        let factors = weights + tap * channels
        for channel in 0..<channels { mixed.start[channel] += factors[channel] * past[channel] }
      }
      block.pointwise.apply(mixed.start, into: added.start)
      for channel in 0..<channels { row.start[channel] += added.start[channel] }
      rectify()
    }
    model.head.apply(row.start, into: probabilities.start)
    softmax()
    rows += 1
  }

  private func rectify() {
    for channel in 0..<shape.channels { row.start[channel] = max(0, row.start[channel]) }
  }

  private func softmax() {
    let out = UnsafeMutableBufferPointer(start: probabilities.start, count: probabilities.count)
    let most = out.max() ?? 0
    var sum: Float = 0
    for index in out.indices {
      out[index] = expf(out[index] - most)
      sum += out[index]
    }
    for index in out.indices { out[index] /= sum }
  }
}
