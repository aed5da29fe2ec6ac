/// The type of a port or a message: a name with particulars, written `audio[rate=16000, channels=1]`.
///
/// A particular that is not mentioned is open: it agrees with any value at the other end of the edge.
public struct PortType: Hashable, Sendable {
  /// What a particular is.
  public enum Particular: Hashable, Sendable {
    /// A whole number, such as a rate in Hz or a width.
    case number(Int)
    /// A word of `[a-z0-9-]`, such as a vocabulary's name.
    case word(String)
  }

  /// The message type, such as `audio`.
  public let name: String
  /// By name; what is not mentioned is open.
  public let particulars: [String: Particular]

  public init(_ name: String, _ particulars: [String: Particular] = [:]) {
    self.name = name
    self.particulars = particulars
  }

  /// Why an output of this type cannot feed an input of that type, or nil if it can.
  public func mismatch(feeding input: PortType) -> String? {
    if name != input.name { return "\(name) is not \(input.name)" }
    for (key, wanted) in input.particulars.sorted(by: { $0.key < $1.key }) {
      if let given = particulars[key], given != wanted { return "\(key) is \(given), not \(wanted)" }
    }
    return nil
  }

  /// What both ends together say; call only where ``mismatch(feeding:)`` found nothing.
  public func merged(with other: PortType) -> PortType {
    PortType(name, particulars.merging(other.particulars) { mine, _ in mine })
  }

  /// Identifies the type on the wire: FNV-1a, 64 bits, over ``description``.
  public var schemaID: UInt64 { FNV1a.hash(description) }
}

extension PortType.Particular: CustomStringConvertible, ExpressibleByIntegerLiteral, ExpressibleByStringLiteral {
  public init(integerLiteral value: Int) { self = .number(value) }
  public init(stringLiteral value: String) { self = .word(value) }
  public var description: String {
    switch self {
    case .number(let value): String(value)
    case .word(let value): value
    }
  }
}

/// A type expression that cannot be read.
public struct PortTypeError: Error, Sendable, CustomStringConvertible {
  /// What was to be read.
  public let text: String
  public var description: String {
    "'\(text)' is not a type; write a name such as text, or audio[rate=16000, channels=1]"
  }
}

extension PortType: CustomStringConvertible {
  /// Canonical: particulars in alphabetical order.
  public var description: String {
    if particulars.isEmpty { return name }
    let inside = particulars.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ", ")
    return "\(name)[\(inside)]"
  }

  /// Reads `name` or `name[key=value, ...]`; values are whole numbers or words of `[a-z0-9-]`.
  public init(parsing text: String) throws(PortTypeError) {
    func isWord(_ part: Substring) -> Bool {
      !part.isEmpty && part.utf8.count <= 64
        && part.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 }
    }
    func trimmed(_ part: Substring) -> Substring {
      var part = part.drop { $0 == " " }
      while part.last == " " { part.removeLast() }
      return part
    }
    var particulars: [String: Particular] = [:]
    var name = trimmed(text[...])
    if let open = name.firstIndex(of: "[") {
      guard name.last == "]" else { throw PortTypeError(text: text) }
      for field in name[name.index(after: open)...].dropLast().split(separator: ",", omittingEmptySubsequences: false) {
        let sides = field.split(separator: "=", omittingEmptySubsequences: false).map(trimmed)
        guard sides.count == 2, isWord(sides[0]), isWord(sides[1]), particulars[String(sides[0])] == nil else {
          throw PortTypeError(text: text)
        }
        particulars[String(sides[0])] = Int(sides[1]).map { .number($0) } ?? .word(String(sides[1]))
      }
      name = name[..<open]
    }
    guard isWord(name) else { throw PortTypeError(text: text) }
    self.init(String(name), particulars)
  }
}
