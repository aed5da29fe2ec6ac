import Foundation

/// Texts as they are said, so that it does not matter how somebody who listens writes them down.
package enum SpokenWords {
  /// Words in lower case without punctuation and apostrophes; whole numbers up to 999 and the signs between them are
  /// written out: `5 + 3 = 8` and `Five plus three is eight.` have the same words, `12:00` and `twelve o'clock` too.
  package static func words(of text: String) -> [String] {
    var text = text.replacing(/(\d):00\b/) { "\($0.output.1) oclock" }
    text.replace(/(\d)\s*[-−–]\s*(?=\d)/) { "\($0.output.1) minus " }
    for (sign, word) in [("+", "plus"), ("×", "times"), ("*", "times"), ("=", "is")] {
      text = text.replacing(sign, with: " \(word) ")
    }
    return WordErrors.words(of: text).flatMap { word in
      if word.count <= 3, word.allSatisfy({ $0.isASCII && $0.isNumber }), let number = Int(word) {
        return spelled(number)
      }
      return [word]
    }
  }

  /// The same as one text.
  package static func plain(_ text: String) -> String { words(of: text).joined(separator: " ") }

  /// Whether both say the same.
  package static func agree(_ one: String, _ other: String) -> Bool { words(of: one) == words(of: other) }

  private static let small = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen \
    eighteen nineteen
    """.split(separator: " ").map(String.init)
  private static let tens = "twenty thirty forty fifty sixty seventy eighty ninety"
    .split(separator: " ").map(String.init)

  /// 0 to 999.
  private static func spelled(_ number: Int) -> [String] {
    switch number {
    case ..<20: [small[number]]
    case ..<100: [tens[number / 10 - 2]] + (number % 10 == 0 ? [] : [small[number % 10]])
    default: [small[number / 100], "hundred"] + (number % 100 == 0 ? [] : spelled(number % 100))
    }
  }
}
