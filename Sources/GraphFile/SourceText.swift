/// A file's text made safe for the YAML parser.
///
/// A YAML parser expands aliases and applies tags while it builds its tree, before anyone can look at it. Graph files
/// need neither, so the four characters that introduce them, and `?` for complex keys, are replaced by private-use
/// characters before parsing: whatever the text says, the parser cannot meet an alias. Where one of these characters
/// starts a plain scalar in the tree it was such an indicator, which is reported; elsewhere it is text and put back.
struct SourceText {
  /// The text for the parser. It has as many scalars in each line as the original, so that columns agree.
  private(set) var guarded: String
  let file: String

  /// Checks everything that can be checked without a parser: size, encoding, characters, tabs in the indentation.
  /// - Returns: nil when the text cannot be parsed; the log says why.
  init?(_ bytes: [UInt8], file: String, log: DiagnosticLog) {
    self.file = file
    let start = SourceLocation(file: file, line: 1, column: 1)
    guard bytes.count <= Limits.fileBytes else {
      log.error("the file is larger than \(Limits.fileBytes >> 20) MiB, which no graph needs", at: start)
      return nil
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      log.error("the text is not UTF-8; save the file in that encoding", at: Self.firstInvalid(bytes, file: file))
      return nil
    }
    var scanner = Scanner(file: file)
    scanner.scan(text, log: log)
    guard !scanner.isRefused else { return nil }
    if scanner.separators > Limits.separators {
      log.error("the file has more than \(Limits.separators) values, which no graph needs", at: start)
      return nil
    }
    if min(scanner.braces, 1000) * scanner.nonASCII > Limits.keyWork {
      log.error("the file has too many '{' beside so much text that is not ASCII; split it into subgraphs", at: start)
      return nil
    }
    guarded = scanner.output
  }

  /// Makes the scalar at `location` differ from all others, so that a second reading passes over a duplicate key.
  mutating func rename(at location: SourceLocation, number: Int) {
    guard let mark = Unicode.Scalar(Indicator.firstRenamed + UInt32(number)) else { return }
    var output = String.UnicodeScalarView()
    var (line, column) = (1, 1)
    for scalar in guarded.unicodeScalars {
      let isPlace = line == location.line && column == location.column
      output.append(isPlace ? mark : scalar)
      (line, column) = scalar == "\n" ? (line + 1, 1) : (line, column + 1)
    }
    guarded = String(output)
  }

  private static func firstInvalid(_ bytes: [UInt8], file: String) -> SourceLocation {
    // The longest valid prefix ends within the line of the first fault; the repaired text shows where.
    let repaired = String(decoding: bytes, as: UTF8.self)
    var (line, column) = (1, 1)
    for scalar in repaired.unicodeScalars {
      if scalar == "\u{FFFD}" { break }
      (line, column) = scalar == "\n" ? (line + 1, 1) : (line, column + 1)
    }
    return SourceLocation(file: file, line: line, column: column)
  }
}

/// The stand-ins for YAML's indicators.
enum Indicator: UInt32, CaseIterable {
  case anchor = 0x10FF00
  case alias
  case tag
  case complexKey

  /// Duplicate keys start with scalars from here on while a file is read again.
  static let firstRenamed: UInt32 = 0x10FF10
  static let reserved: ClosedRange<UInt32> = 0x10FF00...0x10FFFF

  var character: Unicode.Scalar {
    switch self {
    case .anchor: "&"
    case .alias: "*"
    case .tag: "!"
    case .complexKey: "?"
    }
  }

  init?(replacing scalar: Unicode.Scalar) {
    switch scalar {
    case "&": self = .anchor
    case "*": self = .alias
    case "!": self = .tag
    case "?": self = .complexKey
    default: return nil
    }
  }

  /// The text with the original characters put back.
  static func restore(_ text: String) -> String {
    guard text.utf8.contains(0xF4) else { return text }
    var output = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      output.append(Indicator(rawValue: scalar.value)?.character ?? scalar)
    }
    return String(output)
  }
}

/// One pass over a file's scalars.
private struct Scanner {
  let file: String
  var output = ""
  var separators = 0
  var braces = 0
  var nonASCII = 0
  var isRefused = false

  init(file: String) {
    self.file = file
  }

  mutating func scan(_ text: String, log: DiagnosticLog) {
    var result = String.UnicodeScalarView()
    var (line, column) = (1, 1)
    var isIndentation = true
    var previous: Unicode.Scalar = "\n"
    for (position, scalar) in text.unicodeScalars.enumerated() {
      if position == 0, scalar == "\u{FEFF}" { continue }
      let location = SourceLocation(file: file, line: line, column: column)
      (line, column) = scalar == "\n" ? (line + 1, 1) : (line, column + 1)
      // Windows' line ends become plain ones; a carriage return alone would be a line end to the parser only.
      if previous == "\r", scalar != "\n" { refuse("a carriage return without a line feed", at: location, log) }
      previous = scalar
      switch scalar {
      case "\n":
        isIndentation = true
        separators += 1
      case "\t" where isIndentation:
        refuse("a tab in the indentation; YAML is indented with spaces", at: location, log)
        isIndentation = false
      case " ": break
      case "\r": continue
      default:
        isIndentation = false
        if ",[{:".unicodeScalars.contains(scalar) { separators += 1 }
        if !Self.isAllowed(scalar) {
          let digits = String(scalar.value, radix: 16, uppercase: true)
          let code = "U+" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
          refuse("the character \(code) may not stand here; write it as an escape in double quotes", at: location, log)
        }
      }
      if scalar == "-" { separators += 1 }
      if scalar == "{" { braces += 1 }
      if !scalar.isASCII { nonASCII += 1 }
      result.append(Indicator(replacing: scalar).flatMap { Unicode.Scalar($0.rawValue) } ?? scalar)
    }
    output = String(result)
  }

  private mutating func refuse(_ message: String, at location: SourceLocation, _ log: DiagnosticLog) {
    isRefused = true
    log.error(message, at: location)
  }

  private static func isAllowed(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x09, 0x0A, 0x0D, 0x20...0x7E, 0xA0...0x2027, 0x202A...0xFDFF, 0xFE00...0xFEFE, 0xFF00...0xFFFD:
      true
    case 0x10000..<Indicator.reserved.lowerBound: true
    default: false
    }
  }
}
