/// What a plain scalar means: the core schema of YAML 1.2, where `no`, `on` and `12:30` are strings.
enum CoreSchema {
  /// A plain scalar's meaning; nil for an integer that does not fit 64 bits.
  static func resolve(_ text: String) -> ParameterValue.Content? {
    switch text {
    case "", "~", "null", "Null", "NULL": return .null
    case "true", "True", "TRUE": return .bool(true)
    case "false", "False", "FALSE": return .bool(false)
    case ".nan", ".NaN", ".NAN": return .double(.nan)
    case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF": return .double(.infinity)
    case "-.inf", "-.Inf", "-.INF": return .double(-.infinity)
    default: break
    }
    guard let first = text.utf8.first, first == 0x2B || first == 0x2D || first == 0x2E || isDigit(first) else {
      return .string(text)
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] where text.hasPrefix(prefix) {
      let digits = text.dropFirst(2)
      guard let lead = digits.utf8.first, lead != 0x2B, lead != 0x2D, isNumber(digits, radix: radix) else {
        return .string(text)
      }
      return Int(digits, radix: radix).map { .int($0) }
    }
    let unsigned = text.utf8.drop { $0 == 0x2B || $0 == 0x2D }
    guard text.utf8.count - unsigned.count <= 1 else { return .string(text) }
    if !unsigned.isEmpty, unsigned.allSatisfy(isDigit) { return Int(text).map { .int($0) } }
    return isDecimal(unsigned) ? Double(text).map { .double($0) } ?? .string(text) : .string(text)
  }

  private static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

  private static func isNumber(_ digits: Substring, radix: Int) -> Bool {
    digits.allSatisfy { ($0.isASCII ? $0.hexDigitValue : nil).map { $0 < radix } ?? false }
  }

  /// `1.5`, `.5`, `1.`, `1e6`: digits with at most one point, then perhaps an exponent.
  private static func isDecimal(_ bytes: Substring.UTF8View.SubSequence) -> Bool {
    let parts = bytes.split(maxSplits: 1, omittingEmptySubsequences: false) { $0 == 0x65 || $0 == 0x45 }
    guard let mantissa = parts.first else { return false }
    let points = mantissa.filter { $0 == 0x2E }.count
    guard points <= 1, mantissa.count > points, mantissa.allSatisfy({ isDigit($0) || $0 == 0x2E }) else { return false }
    guard parts.count == 2 else { return true }
    let exponent = parts[1].first.map { $0 == 0x2B || $0 == 0x2D } == true ? parts[1].dropFirst() : parts[1]
    return !exponent.isEmpty && exponent.allSatisfy(isDigit)
  }

  /// The shortest text that reads back as the same number, and as a number with a point rather than an integer.
  static func text(of value: Double) -> String {
    if value.isNaN { return ".nan" }
    if value.isInfinite { return value < 0 ? "-.inf" : ".inf" }
    return "\(value)"
  }

  /// Whether a string can be written without quotes and still be read as that string.
  static func isPlainString(_ text: String) -> Bool {
    guard case .string? = resolve(text), text.utf8.count <= 200 else { return false }
    return text.utf8.allSatisfy { byte in
      isDigit(byte) || (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A) || byte == 0x5F || byte == 0x2F || byte == 0x2E
        || byte == 0x2D
    } && text.utf8.first != 0x2D
  }

  /// The string in double quotes with every escape that YAML, JSON and dot's readers agree on.
  static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      default:
        if scalar.value < 0x20 || scalar.value == 0x7F {
          let digits = String(scalar.value, radix: 16)
          result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        } else {
          result.unicodeScalars.append(scalar)
        }
      }
    }
    return result + "\""
  }
}
