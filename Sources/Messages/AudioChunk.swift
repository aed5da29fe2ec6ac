public import Dataflow

/// A stretch of sound: 32-bit float samples, full scale at ±1, channels interleaved.
///
/// Type `audio[channels=C, rate=R]`. Fields: rate (u32), channels (u32). Buffer: float32 [frames, channels].
public struct AudioChunk: Message, Equatable {
  public static let typeName = "audio"

  /// `frames * channels` samples.
  public let samples: SharedBuffer<Float>
  /// Frames per second.
  public let rate: Int
  public let channels: Int

  public init(samples: SharedBuffer<Float>, rate: Int, channels: Int = 1) {
    self.samples = samples
    self.rate = rate
    self.channels = channels
  }

  public var frames: Int { samples.count / channels }

  /// Nanoseconds of sound.
  public var duration: Int64 { Int64(frames) * 1_000_000_000 / Int64(rate) }

  /// Root mean square over all samples, 0 to 1.
  public var rms: Float {
    samples.withUnsafeBufferPointer { samples in
      var sum: Float = 0
      for sample in samples { sum += sample * sample }
      return samples.isEmpty ? 0 : (sum / Float(samples.count)).squareRoot()
    }
  }

  public var type: PortType { .audio(rate: rate, channels: channels) }

  public func encode(into encoder: inout MessageEncoder) {
    encoder.put(UInt32(rate))
    encoder.put(UInt32(channels))
    encoder.put(samples, shape: [frames, channels])
  }

  public init(from decoder: inout MessageDecoder) throws(MessageCodingError) {
    let rate = Int(try decoder.take(UInt32.self))
    let channels = Int(try decoder.take(UInt32.self))
    let (samples, shape) = try decoder.takeBuffer(of: Float.self, rank: 2)
    guard (1...1_000_000).contains(rate), (1...256).contains(channels), shape[1] == channels else {
      throw MessageCodingError("audio of \(channels) channels at \(rate) Hz in a buffer of shape \(shape)")
    }
    self.init(samples: samples, rate: rate, channels: channels)
  }
}

extension PortType {
  /// Sound; nil leaves a particular open.
  ///
  /// - Parameter rate: frames per second.
  public static func audio(rate: Int? = nil, channels: Int? = nil) -> PortType {
    PortType(
      AudioChunk.typeName,
      [("rate", rate), ("channels", channels)].reduce(into: [:]) { all, pair in
        if let value = pair.1 { all[pair.0] = .number(value) }
      })
  }
}
