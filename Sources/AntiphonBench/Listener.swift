import Foundation
import ModelKit
import Sound
import Tensors

/// Writes down what can be heard, with a Whisper model.
struct Listener {
  static let rate = 16_000

  private let encoder: WhisperEncoder
  private let decoder: WhisperDecoder
  private let mel: LogMel

  /// - Parameters:
  ///   - model: its name in the model cache, or its folder.
  ///   - weights: how the encoder's matrices are kept and multiplied.
  init(model: String, weights: WeightPrecision = .stored) throws {
    let path = try ModelFolder.path(model)
    let model = try ModelStore.shared.whisperEncoder(at: path, weights: weights)
    encoder = WhisperEncoder(model)
    mel = LogMel(bins: model.configuration.melBins)
    decoder = try WhisperDecoder(ModelStore.shared.whisperDecoder(at: path))
  }

  /// - Parameter samples: at 16 kHz; what is beyond 30 s is not heard.
  func transcribe(_ samples: [Float]) throws -> String {
    try decoder.transcribe(try encoder.encode(mel.features(samples))).text
  }

  /// - Parameter file: of any rate and format that libsndfile reads.
  func transcribe(file: String) throws -> String {
    let sound = try AudioFile(path: file) { _ in }
    let source: any SampleSource =
      sound.rate == Self.rate ? sound : try Resampler(sound, to: Self.rate, path: file)
    var (samples, piece) = ([Float](), [Float](repeating: 0, count: Self.rate))
    while samples.count < 30 * Self.rate {
      let count = try source.read(into: &piece)
      guard count > 0 else { break }
      samples += piece[..<count]
    }
    return try transcribe(samples)
  }
}
