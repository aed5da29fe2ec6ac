package import Dataflow

/// Which file each session writes; no two share one.
package struct OutputNames {
  private let pattern: String
  private var paths: [Session: String] = [:]
  private var taken: Set<String> = []

  package init(pattern: String) { self.pattern = pattern }

  package mutating func path(for session: Session) -> String {
    if let path = paths[session] { return path }
    let name = Self.fileName(session.name)
    let slash = pattern.lastIndex(of: "/").map(pattern.index(after:)) ?? pattern.startIndex
    let dot = pattern[slash...].lastIndex(of: ".") ?? pattern.endIndex
    func variant(_ suffix: String) -> String {
      pattern.contains("{session}")
        ? pattern.replacing("{session}", with: name + suffix) : pattern[..<dot] + "-\(name)\(suffix)" + pattern[dot...]
    }
    var path = pattern.contains("{session}") ? variant("") : taken.isEmpty ? pattern : variant("")
    var number = 2
    while !taken.insert(path).inserted {
      path = variant("-\(number)")
      number += 1
    }
    paths[session] = path
    return path
  }

  /// The session's name without what would lead into another folder.
  private static func fileName(_ name: String) -> String {
    let safe = String(name.map { $0 == "/" || $0 == "\0" ? "_" : $0 })
    return safe.isEmpty || safe.hasPrefix(".") ? "_" + safe : safe
  }
}
