internal import Glibc

/// A sound file that cannot be written: which, why, and what to do about it.
package struct WaveFileError: Error, Sendable, CustomStringConvertible {
  package let path: String
  package let problem: String
  package let fix: String
  package var description: String { "cannot write '\(path)': \(problem); \(fix)" }

  package init(path: String, problem: String, fix: String) {
    (self.path, self.problem, self.fix) = (path, problem, fix)
  }

  static func system(_ path: String, _ code: Int32) -> WaveFileError {
    let fix =
      switch code {
      case ENOSPC, EDQUOT: "free some space, or write elsewhere"
      case EACCES, EPERM, EROFS: "choose a folder that you may write to"
      default: "check the path"
      }
    return WaveFileError(path: path, problem: String(cString: strerror(code)), fix: fix)
  }
}

/// A WAV file (RIFF, PCM of 16 bits) whose header is right after every append.
package final class WaveFile {
  package let path: String
  package let rate: Int
  package let channels: Int
  private let descriptor: Int32
  private var dataBytes = 0
  private var buffer: [UInt8] = []

  /// Bytes before the samples.
  private static let headerBytes = 44
  /// The header counts in 32 bits.
  private static let largest = Int(UInt32.max) - headerBytes

  /// Makes the file, and the folders it lies in.
  package init(path: String, rate: Int, channels: Int) throws(WaveFileError) {
    try Self.makeFolders(for: path)
    descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw .system(path, errno) }
    self.path = path
    self.rate = rate
    self.channels = channels
    try write(header(), at: 0)
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Adds samples, full scale at ±1; what is beyond is clipped.
  package func append(_ samples: UnsafeBufferPointer<Float>) throws(WaveFileError) {
    guard dataBytes + samples.count * 2 <= Self.largest else {
      throw WaveFileError(path: path, problem: "a WAV file holds at most 4 GiB", fix: "make the run shorter")
    }
    buffer.removeAll(keepingCapacity: true)
    for sample in samples {
      let scaled = sample.isNaN ? 0 : (max(-1, min(1, sample)) * 32_767).rounded()
      let bits = UInt16(bitPattern: Int16(scaled))
      buffer.append(UInt8(truncatingIfNeeded: bits))
      buffer.append(UInt8(truncatingIfNeeded: bits >> 8))
    }
    try write(buffer, at: Self.headerBytes + dataBytes)
    dataBytes += buffer.count
    try write(header(), at: 0)
  }

  private func write(_ bytes: [UInt8], at offset: Int) throws(WaveFileError) {
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes { bytes in
        pwrite(descriptor, bytes.baseAddress?.advanced(by: done), bytes.count - done, off_t(offset + done))
      }
      if count > 0 {
        done += count
      } else if errno != EINTR {
        throw .system(path, count == 0 ? ENOSPC : errno)
      }
    }
  }

  private func header() -> [UInt8] {
    var bytes: [UInt8] = []
    func put(_ text: String) { bytes += Array(text.utf8) }
    func put(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { bytes += Array($0) } }
    put("RIFF")
    put(UInt32(Self.headerBytes - 8 + dataBytes))
    put("WAVEfmt ")
    put(UInt32(16))
    put(UInt16(1))  // PCM
    put(UInt16(channels))
    put(UInt32(rate))
    put(UInt32(rate * channels * 2))
    put(UInt16(channels * 2))
    put(UInt16(16))
    put("data")
    put(UInt32(dataBytes))
    return bytes
  }

  /// Finds out before anything is computed that the file could not be written. Nothing is made or changed.
  package static func checkWritable(_ path: String) throws(WaveFileError) {
    var status = stat()
    if stat(path, &status) == 0 {
      if status.st_mode & S_IFMT == S_IFDIR {
        throw WaveFileError(path: path, problem: "it is a folder", fix: "name a file in it, such as \(path)/answer.wav")
      }
      guard access(path, W_OK) == 0 else { throw .system(path, errno) }
      return
    }
    // The nearest folder that exists must let us make what is missing.
    var folder = path[...]
    repeat {
      folder = folder.lastIndex(of: "/").map { folder[..<$0] } ?? (path.hasPrefix("/") ? "" : ".")
      if folder.isEmpty { folder = "/" }
    } while stat(String(folder), &status) != 0 && folder != "/" && folder != "."
    if status.st_mode & S_IFMT != S_IFDIR {
      throw WaveFileError(path: path, problem: "'\(folder)' is not a folder", fix: "check the path")
    }
    guard access(String(folder), W_OK | X_OK) == 0 else { throw .system(path, errno) }
  }

  private static func makeFolders(for path: String) throws(WaveFileError) {
    for (index, character) in zip(path.indices, path) where character == "/" && index != path.startIndex {
      let folder = String(path[..<index])
      if mkdir(folder, 0o755) != 0, errno != EEXIST { throw .system(path, errno) }
    }
  }
}
