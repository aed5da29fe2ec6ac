public import Tensors

/// The whole of a Whisper model, for sounds that are shorter than its window of half a minute: what it hears of them, and the
/// decoder that reads it.
public struct WhisperEar {
  public let decoder: WhisperDecoder
  private let mel: LogMel
  private let encoder: WhisperEncoder

  /// - Parameters:
  ///   - folder: the model's.
  ///   - weights: how the encoder's matrices are kept and multiplied.
  /// - Throws: ``ModelError`` when it is not there or cannot be read; what `checkCancelled` throws.
  public init(at folder: String, weights: WeightPrecision, checkCancelled: CancellationCheck = {}) throws {
    let model = try ModelStore.shared.whisperEncoder(at: folder, weights: weights, checkCancelled: checkCancelled)
    mel = LogMel(bins: model.configuration.melBins)
    encoder = WhisperEncoder(model)
    decoder = try WhisperDecoder(ModelStore.shared.whisperDecoder(at: folder, checkCancelled: checkCancelled))
  }

  /// Features [rows, width] of samples at ``LogMel/sampleRate`` with `silence` samples behind them, of the first half minute.
  /// Whisper was trained on whole windows: with little silence it is fast and hears less well.
  ///
  /// - Returns: nil for less than 20 ms.
  public func features(
    of samples: [Float], silence: Int, checkCancelled: CancellationCheck = {}
  ) throws -> Matrix? {
    let samples = samples + [Float](repeating: 0, count: silence)
    // A row of features is of two frames.
    let frames = mel.features(samples).prefix(min(samples.count / LogMel.hop / 2 * 2, LogMel.windowFrames))
    return frames.rows > 0 ? try encoder.encode(frames, checkCancelled: checkCancelled) : nil
  }
}
