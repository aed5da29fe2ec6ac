/// The candidate that a mistyped word most probably stands for.
///
/// Distance counts insertions, deletions, replacements and swapped neighbours, ignoring case. A candidate further away
/// than a third of the longer word is no suggestion at all. Of equally near ones the first wins.
///
/// - Parameters:
///   - word: what was written.
///   - candidates: what could have been written.
/// - Returns: the nearest candidate, or nil if none is near.
public func nearest(_ word: String, in candidates: some Sequence<String>) -> String? {
  let written = Array(word.lowercased().unicodeScalars.prefix(longestWord))
  var best: (candidate: String, distance: Int)?
  for candidate in candidates {
    let scalars = Array(candidate.lowercased().unicodeScalars.prefix(longestWord))
    let limit = max(written.count, scalars.count) / 3
    guard abs(written.count - scalars.count) <= limit else { continue }
    let distance = editDistance(written, scalars)
    if distance <= limit, distance < best?.distance ?? .max, candidate != word {
      best = (candidate, distance)
    }
  }
  return best?.candidate
}

/// Words are compared up to here, which bounds the work for names of any length.
private let longestWord = 64

/// The optimal string alignment distance of two words.
private func editDistance(_ a: [Unicode.Scalar], _ b: [Unicode.Scalar]) -> Int {
  if a.isEmpty || b.isEmpty { return max(a.count, b.count) }
  var beforeLast = [Int](repeating: 0, count: b.count + 1)
  var last = Array(0...b.count)
  for i in 1...a.count {
    var row = [Int](repeating: i, count: b.count + 1)
    for j in 1...b.count {
      let substitution = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)
      row[j] = min(substitution, last[j] + 1, row[j - 1] + 1)
      if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
        row[j] = min(row[j], beforeLast[j - 2] + 1)
      }
    }
    (beforeLast, last) = (last, row)
  }
  return last[b.count]
}
