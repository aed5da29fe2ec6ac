import Foundation

/// A folder of mode 0700 for a run's sockets, removed with the object.
public final class RunDirectory: Sendable {
  public let path: String

  /// - Throws: if the folder cannot be made, or its path is too long for a socket's.
  public init() throws {
    let environment = ProcessInfo.processInfo.environment
    let candidates = [environment["XDG_RUNTIME_DIR"], environment["TMPDIR"], "/tmp"].compactMap { $0 }
    // A socket's path may have 107 bytes; XXXXXX, the name and an edge's number must fit.
    for base in candidates where base.utf8.count < 70 && FileManager.default.isWritableFile(atPath: base) {
      var template = Array("\(base)/antiphon-XXXXXX".utf8CString)
      // mkdtemp makes it with mode 0700.
      if mkdtemp(&template) != nil {
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        return
      }
    }
    throw RunDirectoryError(candidates: candidates)
  }

  deinit { remove() }

  /// For a program that ends itself at once; otherwise the folder goes with the object.
  public func remove() {
    // A socket that is just being closed takes its file away itself; where that happens meanwhile, removing ends early.
    for _ in 0..<10 where FileManager.default.fileExists(atPath: path) {
      try? FileManager.default.removeItem(atPath: path)
    }
  }

  /// Writes a file of JSON, which is YAML, into the folder.
  ///
  /// - Returns: its path.
  package func write(_ object: [String: Any], to name: String) throws -> String {
    let file = "\(path)/\(name)"
    try JSONSerialization.data(withJSONObject: object, options: .sortedKeys).write(to: URL(fileURLWithPath: file))
    return file
  }
}

/// There is no place for a run's sockets.
struct RunDirectoryError: Error, CustomStringConvertible {
  let candidates: [String]
  var description: String {
    "no folder for sockets could be made in \(candidates.joined(separator: ", ")); set TMPDIR to a short path that "
      + "can be written"
  }
}
