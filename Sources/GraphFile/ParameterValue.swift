/// A value as a graph file holds it, with its place. Equality and hashing look at the content alone.
public struct ParameterValue: Sendable {
  public indirect enum Content: Hashable, Sendable {
    case null
    case bool(Bool)
    case int(Int)
    case double(Double)
    case string(String)
    case list([ParameterValue])
    case map(ParameterMap)
  }

  public var content: Content
  public var location: SourceLocation

  public init(_ content: Content, at location: SourceLocation) {
    self.content = content
    self.location = location
  }

  /// The content's type in words: "a string", "an integer" ...
  public var typeName: String {
    switch content {
    case .null: "null"
    case .bool: "a boolean"
    case .int: "an integer"
    case .double: "a number"
    case .string: "a string"
    case .list: "a list"
    case .map: "a mapping"
    }
  }
}

extension ParameterValue: Hashable {
  public static func == (a: Self, b: Self) -> Bool { a.content == b.content }
  public func hash(into hasher: inout Hasher) { hasher.combine(content) }
}

extension ParameterValue: CustomStringConvertible {
  /// The value as one line of YAML flow style that reads back as the same value.
  public var description: String {
    switch content {
    case .null: "null"
    case .bool(let value): String(value)
    case .int(let value): String(value)
    case .double(let value): CoreSchema.text(of: value)
    case .string(let value): CoreSchema.isPlainString(value) ? value : CoreSchema.quoted(value)
    case .list(let values): "[" + values.map(\.description).joined(separator: ", ") + "]"
    case .map(let map):
      "{" + map.entries.map { "\($0.key.value): \($0.value)" }.joined(separator: ", ") + "}"
    }
  }
}

/// Named values in the order in which they were written. Equality does not depend on the order.
public struct ParameterMap: Sendable {
  public struct Entry: Sendable {
    public var key: Located<String>
    public var value: ParameterValue

    public init(key: Located<String>, value: ParameterValue) {
      self.key = key
      self.value = value
    }
  }

  /// In the file's order; no key occurs twice.
  public private(set) var entries: [Entry] = []
  private var positions: [String: Int] = [:]

  public init() {}

  public init(_ entries: some Sequence<Entry>) {
    for entry in entries { set(entry.value, for: entry.key) }
  }

  public var isEmpty: Bool { entries.isEmpty }
  public var keys: [String] { entries.map(\.key.value) }

  public subscript(key: String) -> ParameterValue? {
    positions[key].map { entries[$0].value }
  }

  /// The entry of a key with the key's own place.
  public func entry(_ key: String) -> Entry? {
    positions[key].map { entries[$0] }
  }

  /// Replaces the key's value, or adds the key at the end.
  public mutating func set(_ value: ParameterValue, for key: Located<String>) {
    if let position = positions[key.value] {
      entries[position].value = value
    } else {
      positions[key.value] = entries.count
      entries.append(Entry(key: key, value: value))
    }
  }
}

extension ParameterMap: Hashable {
  public static func == (a: Self, b: Self) -> Bool {
    a.entries.count == b.entries.count && a.entries.allSatisfy { b[$0.key.value] == $0.value }
  }

  public func hash(into hasher: inout Hasher) {
    for entry in entries.sorted(by: { $0.key.value < $1.key.value }) {
      hasher.combine(entry.key)
      hasher.combine(entry.value)
    }
  }
}
