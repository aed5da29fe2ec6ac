internal import Sound

/// The file that a session's sound goes into, made when the first sound comes.
final class Recording {
  private let path: String
  private let keepsSilence: Bool
  private var file: WaveFile?
  /// Blocks of 10 ms before the first sound.
  private var silentBlocks = 0

  init(path: String, keepsSilence: Bool) {
    (self.path, self.keepsSilence) = (path, keepsSilence)
  }

  /// Whether there has been sound.
  var exists: Bool { file != nil }

  /// 10 ms went by before any sound.
  func skipBlock() { silentBlocks += 1 }

  /// - Parameters:
  ///   - samples: interleaved.
  ///   - isSilence: nothing was there to play.
  /// - Throws: `WaveFileError`.
  func append(_ samples: UnsafeBufferPointer<Float>, rate: Int, channels: Int, isSilence: Bool) throws {
    if isSilence, !keepsSilence { return }
    if file == nil {
      let file = try WaveFile(path: path, rate: rate, channels: channels)
      if keepsSilence { try Self.appendSilence(silentBlocks * rate / 100 * channels, to: file) }
      self.file = file
    }
    try file?.append(samples)
  }

  private static func appendSilence(_ samples: Int, to file: WaveFile) throws {
    let block = [Float](repeating: 0, count: min(samples, file.rate * file.channels))
    var left = samples
    while left > 0 {
      let count = min(left, block.count)
      try block.withUnsafeBufferPointer { try file.append(UnsafeBufferPointer(rebasing: $0[..<count])) }
      left -= count
    }
  }
}
