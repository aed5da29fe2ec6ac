/// A JSON value, read by a bounded parser: no recursion beyond 64 levels, objects in the file's order.
package enum JSON: Sendable {
  case null
  case bool(Bool)
  case number(Double)
  case string(String)
  case array([JSON])
  case object([(key: String, value: JSON)])

  /// Parses UTF-8 text.
  ///
  /// - Throws: ``ModelError`` with the byte at which the text stops being JSON.
  package init(_ text: UnsafeRawBufferPointer, file: String, checkCancelled: CancellationCheck = {}) throws {
    var parser = JSONParser(text: text, file: file)
    self = try parser.document(checkCancelled)
  }

  /// The member of an object; nil for other values and when there is none.
  package subscript(key: String) -> JSON? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.key == key }?.value
  }

  package var string: String? { if case .string(let text) = self { text } else { nil } }
  package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  package var array: [JSON]? { if case .array(let values) = self { values } else { nil } }
  package var members: [(key: String, value: JSON)]? { if case .object(let members) = self { members } else { nil } }
  /// A whole number that a JSON number holds exactly.
  package var integer: Int? {
    if case .number(let value) = self, abs(value) <= 0x1p53 { Int(exactly: value) } else { nil }
  }
  /// A whole number that fits 32 bits.
  package var token: Int32? { if case .number(let value) = self { Int32(exactly: value) } else { nil } }
}

private struct JSONParser {
  let text: UnsafeRawBufferPointer
  let file: String
  var index = 0

  private static let mostDepth = 64

  mutating func document(_ checkCancelled: CancellationCheck) throws -> JSON {
    let value = try value(depth: 0, checkCancelled)
    skipSpace()
    guard index == text.count else { throw fault("the end of the text") }
    return value
  }

  private func fault(_ expected: String) -> ModelError {
    let found = index < text.count ? "byte \(text[index])" : "the end"
    return ModelError(file: file, part: "byte \(index)", .unexpected(expected: expected, found: found))
  }

  private var next: UInt8? { index < text.count ? text[index] : nil }

  private mutating func skipSpace() {
    while let byte = next, byte == 32 || (9...10).contains(byte) || byte == 13 { index += 1 }
  }

  private mutating func take(_ literal: StaticString, _ value: JSON) throws(ModelError) -> JSON {
    for offset in 0..<literal.utf8CodeUnitCount {
      guard index + offset < text.count, text[index + offset] == literal.utf8Start[offset] else {
        throw fault("\(literal)")
      }
    }
    index += literal.utf8CodeUnitCount
    return value
  }

  private mutating func value(depth: Int, _ checkCancelled: CancellationCheck) throws -> JSON {
    guard depth < Self.mostDepth else { throw fault("fewer than \(Self.mostDepth) levels") }
    skipSpace()
    switch next {
    case UInt8(ascii: "{"):
      index += 1
      return .object(try members(depth: depth, checkCancelled))
    case UInt8(ascii: "["):
      index += 1
      return .array(try elements(depth: depth, checkCancelled))
    case UInt8(ascii: "\""):
      index += 1
      return .string(try string())
    case UInt8(ascii: "t"): return try take("true", .bool(true))
    case UInt8(ascii: "f"): return try take("false", .bool(false))
    case UInt8(ascii: "n"): return try take("null", .null)
    default: return .number(try number())
    }
  }

  private mutating func members(
    depth: Int, _ checkCancelled: CancellationCheck
  ) throws -> [(key: String, value: JSON)] {
    var members: [(key: String, value: JSON)] = []
    skipSpace()
    if next == UInt8(ascii: "}") {
      index += 1
      return members
    }
    while true {
      if members.count % 4096 == 0 { try checkCancelled() }
      skipSpace()
      guard next == UInt8(ascii: "\"") else { throw fault("a key") }
      index += 1
      let key = try string()
      skipSpace()
      guard next == UInt8(ascii: ":") else { throw fault("':'") }
      index += 1
      members.append((key, try value(depth: depth + 1, checkCancelled)))
      skipSpace()
      guard let separator = next, separator == UInt8(ascii: ",") || separator == UInt8(ascii: "}") else {
        throw fault("',' or '}'")
      }
      index += 1
      if separator == UInt8(ascii: "}") { return members }
    }
  }

  private mutating func elements(depth: Int, _ checkCancelled: CancellationCheck) throws -> [JSON] {
    var elements: [JSON] = []
    skipSpace()
    if next == UInt8(ascii: "]") {
      index += 1
      return elements
    }
    while true {
      if elements.count % 4096 == 0 { try checkCancelled() }
      elements.append(try value(depth: depth + 1, checkCancelled))
      skipSpace()
      guard let separator = next, separator == UInt8(ascii: ",") || separator == UInt8(ascii: "]") else {
        throw fault("',' or ']'")
      }
      index += 1
      if separator == UInt8(ascii: "]") { return elements }
    }
  }

  private mutating func number() throws(ModelError) -> Double {
    let start = index
    while let byte = next, (48...57).contains(byte) || "+-.eE".utf8.contains(byte) { index += 1 }
    guard index > start, index - start <= 64,
      let value = Double(String(decoding: text[start..<index], as: UTF8.self)), value.isFinite
    else {
      index = start
      throw fault("a value")
    }
    return value
  }

  private mutating func string() throws(ModelError) -> String {
    let start = index
    while let byte = next, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 32 { index += 1 }
    if next == UInt8(ascii: "\"") {
      let text = try validated(UnsafeRawBufferPointer(rebasing: text[start..<index]))
      index += 1
      return text
    }
    var bytes = [UInt8](text[start..<index])
    while let byte = next {
      index += 1
      switch byte {
      case UInt8(ascii: "\""): return try validated(bytes)
      case UInt8(ascii: "\\"): bytes.append(contentsOf: String(try escape()).utf8)
      case 0..<32: throw fault("no control character in a string")
      default: bytes.append(byte)
      }
    }
    throw fault("'\"'")
  }

  private func validated(_ bytes: some Collection<UInt8>) throws(ModelError) -> String {
    guard let text = String(validating: bytes, as: UTF8.self) else { throw fault("UTF-8 before this") }
    return text
  }

  private mutating func escape() throws(ModelError) -> Unicode.Scalar {
    guard let byte = next else { throw fault("an escape") }
    index += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{c}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"):
      let high = try hexadecimal()
      if let scalar = Unicode.Scalar(high) { return scalar }
      // A surrogate stands for a character only together with its second half.
      guard high < 0xdc00, next == UInt8(ascii: "\\") else { throw fault("the second half of a surrogate pair") }
      index += 1
      guard next == UInt8(ascii: "u") else { throw fault("the second half of a surrogate pair") }
      index += 1
      let low = try hexadecimal()
      guard (0xdc00...0xdfff).contains(low),
        let scalar = Unicode.Scalar(0x10000 + (high - 0xd800) << 10 + (low - 0xdc00))
      else { throw fault("the second half of a surrogate pair") }
      return scalar
    default: throw fault("an escape")
    }
  }

  private mutating func hexadecimal() throws(ModelError) -> UInt32 {
    guard text.count - index >= 4,
      let value = UInt32(String(decoding: text[index..<index + 4], as: UTF8.self), radix: 16)
    else { throw fault("four hexadecimal digits") }
    index += 4
    return value
  }
}
