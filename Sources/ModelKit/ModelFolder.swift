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
    return cache + "/models"
  }

  /// `antiphon` in the user's cache folder.
  package static var cache: String {
    (variable("XDG_CACHE_HOME") ?? (variable("HOME") ?? "") + "/.cache") + "/antiphon"
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

  /// Files that a folder must hold for each kind of model.
  package static let kinds =
    [WhisperDecoderModel.files, CausalLM.files, MiniOmni2.files, SileroModel.files] + SnacModel.files

  /// What a folder lacks to be a model of the kind that it most looks like; empty if it is one.
  public static func missingFiles(at path: String) -> [String] {
    let found = kinds.map { files in (files: files, missing: files.filter { access("\(path)/\($0)", R_OK) != 0 }) }
    // The more of a kind's files are there, the more it looks like it.
    return found.max { $0.files.count - $0.missing.count < $1.files.count - $1.missing.count }?.missing ?? []
  }

  /// The GGUF file of a language model that is given as a file, or as the folder it lies in.
  static func languageModelFile(_ path: String) -> String {
    isFolder(path) ? "\(path)/\(CausalLM.files[0])" : path
  }

  /// The file of a Whisper model's weights, given itself or as the folder it lies in: CTranslate2's, or one of
  /// openai-whisper's, which are named after their size.
  ///
  /// - Throws: ``ModelError`` for a folder without one, or with several to choose from.
  static func whisperFile(_ path: String) throws(ModelError) -> String {
    try file(path, usually: ["model.bin", "small.pt"]) { $0.hasSuffix(".pt") && !$0.hasPrefix("ViT-") }
  }

  /// The file of a CLIP model's weights, given itself or as the folder it lies in.
  ///
  /// - Throws: ``ModelError`` for a folder without one, or with several to choose from.
  static func clipFile(_ path: String) throws(ModelError) -> String {
    try file(path, usually: ["ViT-B-32.pt"]) { $0.hasSuffix(".pt") && $0.hasPrefix("ViT-") }
  }

  /// A path to a file as it is; of a folder, the first of its usual files that is there, or the only one that may be
  /// meant.
  private static func file(
    _ path: String, usually names: [String], isMeant: (String) -> Bool
  ) throws(ModelError) -> String {
    guard isFolder(path) else { return path }
    if let name = names.first(where: { access("\(path)/\($0)", R_OK) == 0 }) { return "\(path)/\(name)" }
    let found = entries(of: path).filter(isMeant).sorted()
    guard let name = found.first else {
      throw ModelError(file: path, part: names.joined(separator: " or "), .missing)
    }
    guard found.count == 1 else {
      throw ModelError(
        file: path,
        .unexpected(expected: "one model, or the path of the one that is meant", found: found.joined(separator: ", ")))
    }
    return "\(path)/\(name)"
  }

  private static func isFolder(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  private static func entries(of folder: String) -> [String] {
    guard let stream = opendir(folder) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      names.append(
        withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 1) { String(cString: $0) }
        })
    }
    return names
  }

  /// Whether a folder holds a release of Mini-Omni2.
  package static func isMiniOmni2(_ path: String) -> Bool { holds(MiniOmni2Configuration.file, in: path) }

  /// Whether a file is there, readable or not.
  static func holds(_ name: String, in folder: String) -> Bool { access("\(folder)/\(name)", F_OK) == 0 }

  private static func variable(_ name: String) -> String? {
    guard let value = getenv(name), value.pointee != 0 else { return nil }
    return String(cString: value)
  }
}
