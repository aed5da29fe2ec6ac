internal import ModelKit

/// How a text begins that begins with a command.
enum CommandOpenings {
  /// Languages that put no spaces between words, nor before the first.
  private static let unspaced: Set<String> = ["ja", "km", "lo", "my", "th", "yue", "zh"]

  /// The first token of the command as it is written, in small letters, and with a capital. What follows is left to the
  /// detector, which has heard it: recognizers seldom spell a name as the command does.
  static func tokens(_ phrase: String, language: String, _ tokenizer: Tokenizer) -> Set<Int32> {
    // A peer may send anything; no command is that long.
    let phrase = String(phrase.prefix(64).drop { !$0.isLetter })
    let small = phrase.lowercased()
    let space = unspaced.contains(language) ? "" : " "
    return [phrase, small, small.prefix(1).uppercased() + small.dropFirst()].reduce(into: []) { tokens, text in
      if let first = tokenizer.encode(space + text).first { tokens.insert(first) }
    }
  }
}
