/// Puts pieces of text together and hands out sentences as soon as they are complete.
package struct SentenceSplitter {
  private var text = ""

  package init() {}

  /// A sentence without an end is spoken in parts of about this many characters.
  private static let longest = 300
  private static let closers: Set<Character> = ["\"", "'", ")", "]", "*", "_", "”", "’"]
  /// Words whose full stop ends no sentence.
  private static let abbreviations: Set<String> = [
    "mr", "mrs", "ms", "dr", "prof", "st", "vs", "etc", "no", "jr", "sr", "e.g", "i.e", "approx", "inc",
  ]

  /// - Returns: the sentences that the piece completes.
  package mutating func append(_ piece: String) -> [String] {
    text += piece
    var sentences: [String] = []
    while let end = firstEnd() {
      sentences.append(String(text[..<end]))
      text.removeSubrange(..<end)
    }
    return sentences.filter { !$0.allSatisfy(\.isWhitespace) }
  }

  /// - Returns: what is left, if anything.
  package mutating func finish() -> String? {
    defer { text = "" }
    return text.allSatisfy(\.isWhitespace) ? nil : text
  }

  /// Where the first sentence ends: behind a mark with white space after it, or behind a line.
  private func firstEnd() -> String.Index? {
    var index = text.startIndex
    var length = 0
    while index < text.endIndex {
      let next = text.index(after: index)
      if text[index].isNewline, length > 0 { return next }
      if ".!?…".contains(text[index]) {
        var after = next
        while after < text.endIndex, Self.closers.contains(text[after]) { after = text.index(after: after) }
        if after < text.endIndex, text[after].isWhitespace, endsSentence(at: index) { return after }
      }
      length += 1
      if length > Self.longest, text[index] == "," || text[index].isWhitespace { return next }
      index = next
    }
    return nil
  }

  private func endsSentence(at mark: String.Index) -> Bool {
    guard text[mark] == "." else { return true }
    let word = text[..<mark].split(whereSeparator: \.isWhitespace).last.map(String.init)?.lowercased() ?? ""
    let bare = word.drop { !$0.isLetter && !$0.isNumber }
    // Initials ("J. Smith") and numbers of a list ("1. First") go on.
    if bare.count == 1, bare.allSatisfy(\.isLetter), bare != "i" { return false }
    if !bare.isEmpty, bare.count <= 3, bare.allSatisfy(\.isNumber), isAtLineStart(bare.count, mark) { return false }
    return !Self.abbreviations.contains(String(bare))
  }

  private func isAtLineStart(_ count: Int, _ mark: String.Index) -> Bool {
    text[..<mark].dropLast(count).last { $0 != " " }?.isNewline ?? true
  }
}
