#if Images
  internal import Glibc
  internal import Messages

  /// A picture that cannot be had: which, why, and what to do about it.
  public struct PictureFileError: Error, Sendable, CustomStringConvertible {
    public let path: String
    public let problem: String
    public let fix: String

    public var description: String { "cannot read '\(path)': \(problem); \(fix)" }
  }

  /// What is wrong with a picture's bytes, whichever file they came from.
  struct PictureFault: Error {
    let problem: String
    let fix: String

    init(_ problem: String, fix: String = PictureFault.convertIt) { (self.problem, self.fix) = (problem, fix) }

    static let convertIt = "convert it, for example with: ffmpeg -i FILE out.png"

    static func cutOff(_ detail: String) -> PictureFault {
      PictureFault("it is cut off (\(detail))", fix: "copy it again")
    }

    static func tooLarge(width: Int, height: Int) -> PictureFault {
      PictureFault(
        "it has \(width) x \(height) pixels, more than the \(PictureFile.mostPixels) that are accepted",
        fix: "make it smaller, for example with: ffmpeg -i FILE -vf scale=1024:-1 out.png")
    }
  }

  /// Reads picture files of the two kinds that cameras and programs write, in bounded memory.
  enum PictureFile {
    /// Before anything is allocated for them.
    static let mostPixels = 1 << 26
    static let mostBytes = 1 << 28

    /// A picture, and what a user should know of it.
    struct Picture {
      var frame: ImageFrame
      var remark: String?
    }

    static func read(_ path: String) throws(PictureFileError) -> Picture {
      let bytes = try contents(of: path)
      do throws(PictureFault) {
        if JPEGDecoder.recognizes(bytes) {
          let (frame, remark) = try JPEGDecoder.decode(bytes)
          return Picture(frame: frame, remark: remark.map { "'\(path)': \($0)" })
        }
        if PNGDecoder.recognizes(bytes) { return Picture(frame: try PNGDecoder.decode(bytes)) }
        throw PictureFault(
          kind(of: bytes).map { "it is a \($0) picture, not JPEG or PNG" } ?? "it is neither JPEG nor PNG")
      } catch {
        throw PictureFileError(path: path, problem: error.problem, fix: error.fix)
      }
    }

    /// Checks the area, without overflow.
    static func checkSize(width: Int, height: Int) throws(PictureFault) {
      guard width > 0, height > 0 else { throw PictureFault("its header says \(width) x \(height) pixels") }
      let (pixels, overflow) = width.multipliedReportingOverflow(by: height)
      guard !overflow, pixels <= mostPixels else { throw .tooLarge(width: width, height: height) }
    }

    private static func contents(of path: String) throws(PictureFileError) -> [UInt8] {
      func fail(_ problem: String, _ fix: String) -> PictureFileError {
        PictureFileError(path: path, problem: problem, fix: fix)
      }
      // Not to wait for whoever may write to a pipe.
      let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
      guard descriptor >= 0 else {
        let isMissing = errno == ENOENT
        throw fail(
          isMissing ? "there is no such file" : String(cString: strerror(errno)),
          "check the path" + (isMissing ? " (a relative one in a graph file counts from the graph's folder)" : ""))
      }
      defer { close(descriptor) }
      var status = stat()
      guard fstat(descriptor, &status) == 0 else { throw fail(String(cString: strerror(errno)), "check the path") }
      guard status.st_mode & S_IFMT == S_IFREG else {
        throw fail(
          status.st_mode & S_IFMT == S_IFDIR ? "it is a folder" : "it is not a regular file", "name a JPEG or PNG file")
      }
      let size = Int(status.st_size)
      guard size > 0 else { throw fail("the file is empty (0 bytes)", "take or copy it again") }
      guard size <= mostBytes else {
        throw fail("it has \(size) bytes, more than the \(mostBytes) that are accepted", PictureFault.convertIt)
      }
      var bytes = [UInt8](repeating: 0, count: size)
      var count = 0
      while count < size {
        let got = bytes.withUnsafeMutableBytes {
          Glibc.read(descriptor, $0.baseAddress.map { $0 + count }, size - count)
        }
        if got < 0, errno == EINTR { continue }
        guard got >= 0 else { throw fail(String(cString: strerror(errno)), "check the disk") }
        if got == 0 { break }
        count += got
      }
      bytes.removeLast(size - count)
      return bytes
    }

    /// The name of another kind of picture, by its first bytes.
    private static func kind(of bytes: [UInt8]) -> String? {
      func has(_ text: String, at offset: Int = 0) -> Bool { bytes.dropFirst(offset).starts(with: text.utf8) }
      if has("GIF8") { return "GIF" }
      if has("RIFF"), has("WEBP", at: 8) { return "WebP" }
      if has("BM") { return "BMP" }
      if bytes.starts(with: [0x49, 0x49, 0x2a, 0]) || bytes.starts(with: [0x4d, 0x4d, 0, 0x2a]) { return "TIFF" }
      if has("ftypavif", at: 4) { return "AVIF" }
      if has("ftyphei", at: 4) || has("ftypmif1", at: 4) { return "HEIF" }
      return nil
    }
  }
#endif
