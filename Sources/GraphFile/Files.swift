import Foundation

/// Reading small regular files, and joining paths, for graphs and placements.
enum Files {
  /// Reads a file's tree.
  /// - Returns: nil when the file cannot be read or is not well-formed, with the reasons in the log at `location`
  ///   (where the file is referred to), or in the file itself.
  static func read(_ path: String, from location: SourceLocation?, log: DiagnosticLog) -> SourceNode? {
    let place = location ?? .argument(path)
    let what = location == nil ? "the file" : "the file '\(path)'"
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      log.error("\(what) does not exist", at: place, suggestion: sibling(of: path))
      return nil
    }
    let target = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
    let type = (try? FileManager.default.attributesOfItem(atPath: target))?[.type] as? FileAttributeType
    // A pipe or a device could block, or never end.
    guard !isFolder.boolValue, type == .typeRegular else {
      log.error("\(what) is not a regular file", at: place)
      return nil
    }
    guard let handle = FileHandle(forReadingAtPath: path),
      let data = try? handle.read(upToCount: Limits.fileBytes + 1) ?? Data()
    else {
      log.error("\(what) cannot be read; check its permissions", at: place)
      return nil
    }
    try? handle.close()
    return YAMLReader.read(Array(data), file: path, log: log)
  }

  /// A file of nearly the same name in the same folder.
  private static func sibling(of path: String) -> String? {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: directory(of: path))) ?? []
    let name = URL(fileURLWithPath: path).lastPathComponent
    return nearest(name, in: names.sorted().prefix(1000)).map { join(directory(of: path), $0) }
  }

  /// The folder of a file; "." where the path names none.
  static func directory(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// The file's name without its folder and its ending.
  static func stem(of path: String) -> String {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return name }
    return String(name[..<dot])
  }

  /// A path that is written in a file of `folder`, without needless dots: `Graphs/parts/../ears.yaml` is
  /// `Graphs/ears.yaml`.
  static func join(_ folder: String, _ path: String) -> String {
    let whole = path.hasPrefix("/") || folder == "." ? path : folder + "/" + path
    var parts: [Substring] = []
    for part in whole.split(separator: "/") where part != "." {
      if part == "..", let last = parts.last, last != ".." { parts.removeLast() } else { parts.append(part) }
    }
    return (whole.hasPrefix("/") ? "/" : "") + parts.joined(separator: "/")
  }

  /// One spelling for every path to a file.
  static func canonical(_ path: String) -> String {
    URL(fileURLWithPath: path).resolvingSymlinksInPath().standardizedFileURL.path
  }
}
