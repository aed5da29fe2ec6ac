/// How many words of a text have been misheard.
package struct WordErrors: Sendable, Equatable {
  /// Words that were said.
  package private(set) var words = 0
  /// Words put in the place of others, left out, and added: the fewest that tell the two texts apart.
  package private(set) var errors = 0

  package init() {}

  /// May be above 1, where more is heard than was said; 0 of nothing.
  package var rate: Double { words == 0 ? 0 : Double(errors) / Double(words) }

  /// Counts a text that was said, and what was heard of it.
  package mutating func add(said: String, heard: String) {
    let said = Self.words(of: said)
    words += said.count
    errors += Self.distance(said, Self.words(of: heard))
  }

  /// What stands between spaces and punctuation, in lower case; apostrophes are left out.
  package static func words(of text: String) -> [String] {
    text.lowercased()
      .filter { $0 != "'" && $0 != "’" }
      .split { !$0.isLetter && !$0.isNumber }
      .map(String.init)
  }

  /// Levenshtein's distance, in words.
  private static func distance(_ said: [String], _ heard: [String]) -> Int {
    // The distances of the words said so far from every beginning of what was heard.
    var row = Array(0...heard.count)
    for (index, word) in said.enumerated() {
      var before = row[0]
      row[0] = index + 1
      for (place, other) in heard.enumerated() {
        let replaced = before + (word == other ? 0 : 1)
        before = row[place + 1]
        row[place + 1] = min(replaced, before + 1, row[place] + 1)
      }
    }
    return row[heard.count]
  }
}
