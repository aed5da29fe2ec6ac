#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

extension CurveKeyPair {
  /// Reads a pair from a secret key file.
  ///
  /// The file has a line `secret KEY`, optionally `public KEY`, and comments that begin with `#`.
  ///
  /// - Throws: `CurveKeyError`: `exposed` if others than the owner may read or write the file, `malformed` with the line,
  ///   `system` if it cannot be read.
  public init(secretKeyFile path: String) throws(CurveKeyError) {
    var secret: CurveSecretKey?
    var declared: CurvePublicKey?
    for (number, line) in try KeyFile.read(path, secret: true).numberedLines {
      let words = line.split(whereSeparator: \.isBlank)
      guard let name = words.first, !KeyFile.isComment(line) else { continue }
      guard words.count == 2, name == "secret" || name == "public" else {
        throw CurveKeyError(
          .malformed, file: path, line: number, message: "expected `secret KEY`, `public KEY` or `# comment`")
      }
      do throws(CurveKeyError) {
        if name == "secret" { secret = try CurveSecretKey(z85: words[1]) }
        if name == "public" { declared = try CurvePublicKey(z85: words[1]) }
      } catch {
        throw error.at(path, line: number)
      }
    }
    guard let secret else {
      throw CurveKeyError(.malformed, file: path, message: "no line `secret KEY`: not a secret key file")
    }
    try self.init(secretKey: secret)
    if let declared, declared != publicKey {
      throw CurveKeyError(.malformed, file: path, message: "the public key does not belong to the secret one")
    }
  }

  /// Writes the pair to a file that its owner alone may read (mode 0600).
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - replacing: Whether an existing file is replaced, in one step.
  /// - Throws: `CurveKeyError`: `exists` if the file exists and is not to be replaced, `system` if it cannot be written.
  public func write(secretKeyFile path: String, replacing: Bool = false) throws(CurveKeyError) {
    let text = """
      # A CURVE secret key: whoever reads it can pass for this process. Keep mode 0600.
      secret \(secretKey.revealedZ85)
      public \(publicKey.z85)

      """
    try KeyFile.write(text, to: path, mode: 0o600, replacing: replacing)
  }

  /// Writes the public key to a file that can be shared, in the form of an allow-list's line (mode 0644).
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - name: Who the key belongs to.
  ///   - replacing: Whether an existing file is replaced, in one step.
  /// - Throws: `CurveKeyError`: `exists` if the file exists and is not to be replaced, `system` if it cannot be written.
  public func write(publicKeyFile path: String, name: String, replacing: Bool = false) throws(CurveKeyError) {
    let entry = AllowList.Entry(key: publicKey, name: name)
    try KeyFile.write("\(entry)\n", to: path, mode: 0o644, replacing: replacing)
  }
}

/// The clients that a server accepts, by public key.
///
/// A file has one key a line, followed by `#` and a name. A line that begins with `#` is a comment; empty lines are
/// allowed.
///
/// ```
/// # Machines of the lab
/// Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID  # kitchen
/// ```
public struct AllowList: Sendable, Equatable {
  /// One client.
  public struct Entry: Sendable, Equatable, CustomStringConvertible {
    /// The client's key.
    public let key: CurvePublicKey
    /// The client's name in reports; may be empty.
    public let name: String

    public init(key: CurvePublicKey, name: String) {
      self.key = key
      // A name is one line, whatever it is made of.
      self.name = name.split(whereSeparator: \.isNewline).joined(separator: " ")
    }

    public var description: String { name.isEmpty ? key.z85 : "\(key.z85)  # \(name)" }
  }

  /// The clients in order.
  public let entries: [Entry]

  /// Makes a list; an empty one accepts nobody.
  public init(_ entries: [Entry] = []) { self.entries = entries }

  /// Reads a file.
  ///
  /// - Throws: `CurveKeyError`: `malformed` with the line, `system` if the file cannot be read.
  public init(file path: String) throws(CurveKeyError) {
    try self.init(parsing: try KeyFile.read(path, secret: false), file: path)
  }

  /// Reads a text.
  ///
  /// - Parameters:
  ///   - text: The list.
  ///   - file: What errors call it.
  /// - Throws: `CurveKeyError` of kind `malformed` with the line.
  public init(parsing text: String, file: String? = nil) throws(CurveKeyError) {
    var entries: [Entry] = []
    var lines: [CurvePublicKey: Int] = [:]
    for (number, line) in text.numberedLines where !KeyFile.isComment(line) {
      let word = line.prefix { !$0.isBlank }
      if word.isEmpty { continue }
      let rest = line.dropFirst(word.count).drop(while: \.isBlank)
      guard rest.isEmpty || rest.first == "#" else {
        throw CurveKeyError(.malformed, file: file, line: number, message: "expected `# name` after the key")
      }
      do throws(CurveKeyError) {
        let key = try CurvePublicKey(z85: word)
        if let first = lines.updateValue(number, forKey: key) {
          throw CurveKeyError(.malformed, message: "the same key as in line \(first)")
        }
        let name = rest.drop { $0 == "#" || $0.isBlank }
        entries.append(Entry(key: key, name: String(name)))
      } catch {
        throw error.at(file, line: number)
      }
    }
    self.init(entries)
  }
}

extension CurveKeyError {
  fileprivate func at(_ file: String?, line: Int) -> CurveKeyError {
    var error = self
    error.file = file
    error.line = line
    return error
  }
}

extension Character {
  fileprivate var isBlank: Bool { self == " " || self == "\t" }
}

extension String {
  /// The lines from 1 on, without blanks at their ends.
  fileprivate var numberedLines: [(Int, Substring)] {
    split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated().map { index, line in
      var line = line.drop(while: \.isBlank)
      while line.last?.isBlank == true { line.removeLast() }
      return (index + 1, line)
    }
  }
}

// MARK: - Files

private enum KeyFile {
  /// More than any list needs, and little enough to read into memory on anybody's word.
  static let largest = 1 << 20

  /// Whether a line, without blanks before it, is a comment. A key may hold `#`, but no Z85 number begins with it.
  static func isComment(_ line: Substring) -> Bool { line.first == "#" }

  static func read(_ path: String, secret: Bool) throws(CurveKeyError) -> String {
    // O_NONBLOCK keeps a pipe in the file's place from holding up the open.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw .system(errno, path) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .system(errno, path) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw CurveKeyError(.malformed, file: path, message: "not a regular file")
    }
    if secret && status.st_mode & 0o077 != 0 {
      throw CurveKeyError(
        .exposed, file: path,
        message: "others may use this secret key (mode \(String(status.st_mode & 0o777, radix: 8))): "
          + "run `chmod 600 \(path)`, and make a new key if others were able to read it")
    }
    guard status.st_size <= largest else {
      throw CurveKeyError(.malformed, file: path, message: "\(status.st_size) bytes is too large for a key file")
    }
    var bytes = [UInt8](repeating: 0, count: largest)
    var count = 0
    while count < largest {
      let got = bytes.withUnsafeMutableBytes { room in
        Swift.Int(pread(descriptor, room.baseAddress.map { $0 + count }, largest - count, off_t(count)))
      }
      if got < 0 && errno == EINTR { continue }
      guard got >= 0 else { throw .system(errno, path) }
      if got == 0 { break }
      count += got
    }
    return String(decoding: bytes[..<count], as: UTF8.self)
  }

  static func write(_ text: String, to path: String, mode: mode_t, replacing: Bool) throws(CurveKeyError) {
    // A replacement is written beside the file and renamed over it, so that there is a whole key at any time.
    let target = replacing ? "\(path).\(getpid()).new" : path
    // O_EXCL also refuses to follow a link that somebody else put there.
    let descriptor = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
    guard descriptor >= 0 else {
      let number = errno
      guard number == EEXIST else { throw .system(number, target) }
      throw CurveKeyError(.exists, file: target, message: "exists already, and keys are not overwritten unless asked")
    }
    do throws(CurveKeyError) {
      try fill(descriptor, with: Array(text.utf8), target)
      if replacing && rename(target, path) != 0 { throw .system(errno, path) }
    } catch {
      unlink(target)
      throw error
    }
  }

  private static func fill(_ descriptor: Int32, with bytes: [UInt8], _ path: String) throws(CurveKeyError) {
    var written = 0
    while written < bytes.count {
      let got = bytes.withUnsafeBytes { room in
        #if canImport(Darwin)
          Darwin.write(descriptor, room.baseAddress.map { $0 + written }, bytes.count - written)
        #elseif canImport(Musl)
          Musl.write(descriptor, room.baseAddress.map { $0 + written }, bytes.count - written)
        #else
          Glibc.write(descriptor, room.baseAddress.map { $0 + written }, bytes.count - written)
        #endif
      }
      if got < 0 && errno == EINTR { continue }
      if got < 0 {
        let number = errno
        close(descriptor)
        throw .system(number, path)
      }
      written += got
    }
    let synced = fsync(descriptor)
    let number = errno
    guard close(descriptor) == 0, synced == 0 else { throw .system(number, path) }
  }
}

extension CurveKeyError {
  fileprivate static func system(_ number: Int32, _ path: String) -> CurveKeyError {
    CurveKeyError(.system(errno: number), file: path, message: String(cString: strerror(number)))
  }
}
