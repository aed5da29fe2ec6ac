/// A name for each file's session: its stem, with a number behind it where two are the same.
package func sessionNames(for paths: [String]) -> [String] {
  var taken: Set<String> = []
  return paths.map { path in
    let file = path == "-" ? "stdin" : path.split(separator: "/").last.map(String.init) ?? path
    let dot = file.lastIndex(of: ".") ?? file.endIndex
    let stem = dot == file.startIndex ? file[...] : file[..<dot]
    let clean = String(stem.map { $0.unicodeScalars.contains { $0.value < 32 || $0.value == 127 } ? "_" : $0 })
    var name = clean
    var number = 2
    while !taken.insert(name).inserted {
      name = "\(clean)-\(number)"
      number += 1
    }
    return name
  }
}
