#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Darwin)
  internal import Darwin
#endif

/// Where `tools/models` puts models.
public enum ModelFolder {
  /// `ANTIPHON_MODELS`, or `antiphon/models` in the user's cache folder.
  public static var root: String {
    if let root = variable("ANTIPHON_MODELS") { return root }
    let cache = variable("XDG_CACHE_HOME") ?? (variable("HOME") ?? "") + "/.cache"
    return cache + "/antiphon/models"
  }

  /// The path of a model: a name such as `whisper-tiny.en` stands for a fetched one, whatever holds a slash for itself.
  ///
  /// - Throws: ``ModelError`` when nothing is there, with the command that fetches it.
  public static func path(_ name: String) throws(ModelError) -> String {
    let isName = !name.contains("/")
    let path = isName ? root + "/" + name : name
    guard access(path, R_OK) == 0, !name.isEmpty else {
      let reason = String(cString: strerror(errno))
      throw ModelError(file: path, .cannotOpen(isName ? "\(reason); run: tools/models fetch \(name)" : reason))
    }
    return path
  }

  private static func variable(_ name: String) -> String? {
    guard let value = getenv(name), value.pointee != 0 else { return nil }
    return String(cString: value)
  }
}
