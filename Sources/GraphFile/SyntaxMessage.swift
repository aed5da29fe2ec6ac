/// The parser's complaints in words that help someone who does not know its grammar.
enum SyntaxMessage {
  /// Whether the place to show is where the unfinished thing begins, and the message that is said of it there.
  static func atOpening(_ problem: String, context: String) -> String? {
    if problem == "could not find expected ':'" { return "a ':' is missing after this key" }
    if problem == "found unexpected end of stream", context.contains("quoted scalar") {
      return "this quote is never closed"
    }
    return nil
  }

  static func text(_ problem: String, context: String?, contextLine: Int?) -> String {
    let explained: String? =
      switch problem {
      case "mapping values are not allowed in this context":
        "unexpected ':'; quote a value that contains ': ', and check the indentation"
      case "did not find expected key":
        "a 'key: value' is expected here; check the indentation"
      case "did not find expected '-' indicator":
        "a list's item ('- ...') is expected here; check the indentation"
      case "did not find expected ',' or '}'":
        "',' or '}' is expected here"
      case "did not find expected ',' or ']'":
        "',' or ']' is expected here"
      case "found character that cannot start any token":
        "a value cannot start with this character; quote it"
      case "found unexpected end of stream":
        "the text ends within a quoted string"
      case "did not find expected <document start>":
        "the file must hold a single document; the text before this line has ended"
      case "but found another document":
        "the file must hold a single document; a second one starts here"
      default: nil
      }
    if let explained { return withOpening(explained, context, contextLine) }
    return withOpening(problem, context, contextLine)
  }

  /// Says where what is unfinished was begun: the place of the complaint is often far below.
  private static func withOpening(_ message: String, _ context: String?, _ line: Int?) -> String {
    guard let context, let line else { return message }
    if context.contains("flow") { return message + " (the bracket was opened in line \(line))" }
    return message
  }
}

/// Finds keys and indicators in a text by looking at it, for the places that the parser does not tell.
struct KeyFinder {
  private let lines: [Substring]

  init(text: String) {
    lines = text.split(separator: "\n", maxSplits: .max, omittingEmptySubsequences: false)
  }

  /// The next place at which `name` is a key of the mapping whose first such key stands at `first`.
  ///
  /// In a block mapping all keys stand in one column, up to a line that is indented less; in a flow mapping the key
  /// follows `{` or a comma.
  func next(_ name: String, after first: SourceLocation) -> SourceLocation? {
    guard !name.isEmpty, lines.indices.contains(first.line - 1) else { return nil }
    let line = Array(lines[first.line - 1].unicodeScalars)
    let before = line.prefix(first.column - 1).last { $0 != " " }
    return before == "{" || before == ","
      ? nextInFlow(name, after: first) : nextInBlock(name, after: first)
  }

  private func nextInBlock(_ name: String, after first: SourceLocation) -> SourceLocation? {
    for (number, text) in zip((first.line + 1)..., lines.dropFirst(first.line)) {
      let scalars = Array(text.unicodeScalars.prefix(first.column + name.unicodeScalars.count + 2))
      let indentation = scalars.prefix { $0 == " " }.count
      if indentation == scalars.count || scalars[indentation] == "#" { continue }
      if indentation < first.column - 1 { return nil }
      guard indentation == first.column - 1 else { continue }
      if let offset = Self.offset(of: name, in: Array(text.unicodeScalars), at: indentation) {
        return SourceLocation(file: first.file, line: number, column: indentation + 1 + offset)
      }
    }
    return nil
  }

  private func nextInFlow(_ name: String, after first: SourceLocation) -> SourceLocation? {
    for (number, text) in zip(first.line..., lines.dropFirst(first.line - 1)).prefix(64) {
      let scalars = Array(text.unicodeScalars)
      var previous: Unicode.Scalar = number == first.line ? " " : ","
      for index in scalars.indices where number > first.line || index >= first.column {
        if previous == "{" || previous == ",", scalars[index] != " ",
          let offset = Self.offset(of: name, in: scalars, at: index)
        {
          return SourceLocation(file: first.file, line: number, column: index + 1 + offset)
        }
        if scalars[index] != " " { previous = scalars[index] }
      }
    }
    return nil
  }

  /// The number of scalars before the name (its opening quote) if the key `name` stands at `index`.
  private static func offset(of name: String, in line: [Unicode.Scalar], at index: Int) -> Int? {
    let quote = line[index] == "\"" || line[index] == "'" ? 1 : 0
    let rest = line.dropFirst(index + quote)
    guard rest.starts(with: name.unicodeScalars) else { return nil }
    let after = rest.dropFirst(name.unicodeScalars.count + quote).drop { $0 == " " }
    return after.first == ":" ? quote : nil
  }

  /// The first indicator of an anchor, alias, tag or complex key that stands where a value can start, and its column.
  static func indicator(in line: Substring) -> (Indicator, column: Int)? {
    let scalars = Array(line.unicodeScalars)
    var previous: Unicode.Scalar = " "
    for (index, scalar) in scalars.enumerated() {
      if scalar == "\"" || scalar == "'" || scalar == "#" { return nil }
      let isFollowedBySpace = index + 1 == scalars.count || scalars[index + 1] == " "
      if let indicator = Indicator(rawValue: scalar.value), isFollowedBySpace == (indicator == .complexKey),
        " [{,".unicodeScalars.contains(previous)
      {
        return (indicator, index + 1)
      }
      previous = scalar
    }
    return nil
  }
}
