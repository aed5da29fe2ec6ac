internal import CSndfile
package import Dataflow
internal import Glibc

/// An audio file of any format that libsndfile knows, read block by block and mixed down to mono.
package final class AudioFile: SampleSource {
  package static var libraries: [Library] {
    // "libsndfile-1.2.0"
    [Library("libsndfile", version: String(cString: sf_version_string()).replacing("libsndfile-", with: ""))]
  }

  package let rate: Int
  private let path: String
  private let channels: Int
  private let frames: Int
  private let handle: OpaquePointer
  private let log: (String) -> Void
  private var position = 0
  private var cleaned = 0
  private var interleaved: [Float] = []

  /// - Parameter log: takes remarks for the user.
  package init(path: String, log: @escaping (String) -> Void) throws(AudioFileError) {
    try Self.checkReadable(path)
    var info = SF_INFO()
    guard let handle = sf_open(path, Int32(SFM_READ), &info) else {
      throw Self.unreadable(path, code: sf_error(nil), text: String(cString: sf_strerror(nil)))
    }
    self.handle = handle
    self.path = path
    self.log = log
    rate = Int(info.samplerate)
    channels = Int(info.channels)
    frames = Int(info.frames)
    // From here on the handle is closed by deinit.
    guard frames > 0 else {
      throw AudioFileError(
        path: path, problem: "it holds no sound (0 frames)", fix: "record it again, or name another file")
    }
    guard rate > 0, channels > 0 else {
      throw AudioFileError(
        path: path, problem: "its header says \(channels) channels at \(rate) Hz", fix: "convert it to WAV again")
    }
    if let (promised, found) = missingBytes() {
      throw Self.truncated(path, "its header promises \(promised) bytes of sound and \(found) are there")
    }
  }

  deinit { sf_close(handle) }

  package func read(into target: inout [Float]) throws(AudioFileError) -> Int {
    let wanted = min(target.count, frames - position)
    if interleaved.count < target.count * channels {
      interleaved = [Float](repeating: 0, count: target.count * channels)
    }
    let got = wanted > 0 ? Int(sf_readf_float(handle, &interleaved, sf_count_t(wanted))) : 0
    if got < wanted {
      let code = sf_error(handle)
      let reason = code == 0 ? "the data ends early" : String(cString: sf_strerror(handle))
      throw Self.truncated(path, "after \(position + got) of \(frames) frames: \(reason)")
    }
    let scale = 1 / Float(channels)
    for frame in 0..<got {
      var sum: Float = 0
      for channel in 0..<channels {
        let sample = interleaved[frame * channels + channel]
        if sample.isFinite { sum += sample } else { cleaned += 1 }
      }
      target[frame] = sum * scale
    }
    position += got
    if position == frames, cleaned > 0 {
      log("'\(path)': \(cleaned) samples are not numbers (NaN or infinity) and were taken as silence")
      cleaned = 0
    }
    return got
  }

  /// libsndfile shortens a file whose data chunk is cut off without a word; only its log tells. Sizes that a program
  /// writes when it cannot seek back (0 or almost 2 or 4 GiB) promise nothing.
  private func missingBytes() -> (promised: Int, found: Int)? {
    var text = [CChar](repeating: 0, count: 16_384)
    sf_command(handle, Int32(SFC_GET_LOG_INFO), &text, Int32(text.count))
    let log = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    for line in log.split(separator: "\n") {
      let words = line.split { " :()\t".contains($0) }
      guard words.first == "data" || words.first == "SSND", let should = words.firstIndex(of: "should"),
        should >= 2, should + 2 < words.count,
        let promised = Int(words[should - 1]), let found = Int(words[should + 2]),
        promised > found, promised < 0x7fff_0000
      else { continue }
      return (promised, found)
    }
    return nil
  }

  private static func checkReadable(_ path: String) throws(AudioFileError) {
    var status = stat()
    guard stat(path, &status) == 0 else {
      let missing = errno == ENOENT
      throw AudioFileError(
        path: path, problem: missing ? "there is no such file" : String(cString: strerror(errno)),
        fix: "check the path" + (missing ? " (a relative one in a graph file counts from the graph's folder)" : ""))
    }
    if status.st_mode & S_IFMT == S_IFDIR {
      throw AudioFileError(path: path, problem: "it is a folder", fix: "name the audio files in it")
    }
    if status.st_mode & S_IFMT == S_IFREG, status.st_size == 0 {
      throw AudioFileError(path: path, problem: "the file is empty (0 bytes)", fix: "record or copy it again")
    }
    guard access(path, R_OK) == 0 else {
      throw AudioFileError(
        path: path, problem: String(cString: strerror(errno)), fix: "give yourself the right to read it (chmod +r)")
    }
  }

  private static func unreadable(_ path: String, code: Int32, text: String) -> AudioFileError {
    if code == SF_ERR_UNRECOGNISED_FORMAT {
      return AudioFileError(
        path: path, problem: "it is not an audio file that libsndfile knows",
        fix: "convert it, for example with: ffmpeg -i FILE out.wav")
    }
    return AudioFileError(
      path: path, problem: "it is damaged or of an unsupported kind (libsndfile: \(text.trimmedDot))",
      fix: "convert it again, for example with: ffmpeg -i FILE out.wav")
  }

  private static func truncated(_ path: String, _ detail: String) -> AudioFileError {
    AudioFileError(
      path: path, problem: "it is cut off or damaged (\(detail.trimmedDot))",
      fix: "copy it again; to use what is there, convert it, for example with: ffmpeg -i FILE out.wav")
  }
}

extension String {
  /// Without the full stop and spaces at its end.
  fileprivate var trimmedDot: String {
    var text = self[...]
    while let last = text.last, last == "." || last.isWhitespace { text.removeLast() }
    return String(text)
  }
}
