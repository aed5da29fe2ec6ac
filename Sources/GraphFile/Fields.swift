/// The keys of one mapping, each asked for by name; what is unknown or of the wrong type is logged.
struct Fields {
  let location: SourceLocation
  private let values: [String: SourceNode.Entry]
  private let log: DiagnosticLog
  private let what: String

  /// - Parameters:
  ///   - what: the mapping in words with its article, for messages: "a node", "an edge".
  ///   - keys: every key that it may have.
  /// - Returns: nil if the node is no mapping, which is logged.
  init?(_ node: SourceNode, what: String, keys: [String], log: DiagnosticLog) {
    guard case .mapping(let entries) = node.content else {
      log.error("\(what) is a mapping with the keys \(listed(keys)), not \(node.typeName)", at: node.location)
      return nil
    }
    var values: [String: SourceNode.Entry] = [:]
    for entry in entries {
      if keys.contains(entry.key.value) {
        values[entry.key.value] = entry
      } else {
        log.error(
          "\(what) has no key '\(entry.key.value)'; its keys are \(listed(keys))", at: entry.key.location,
          suggestion: nearest(entry.key.value, in: keys))
      }
    }
    location = node.location
    self.values = values
    self.log = log
    self.what = what
  }

  /// The value of a key; a key without a value counts as absent.
  subscript(key: String) -> SourceNode? {
    values[key].flatMap { $0.value.isNull ? nil : $0.value }
  }

  func keyLocation(_ key: String) -> SourceLocation? { values[key]?.key.location }

  func string(_ key: String) -> Located<String>? {
    self[key].flatMap { Self.string($0, what: "'\(key)'", log) }
  }

  /// The text of a scalar that must be a string.
  static func string(_ node: SourceNode, what: String, _ log: DiagnosticLog) -> Located<String>? {
    if case .scalar(let text, let isPlain) = node.content {
      if !isPlain { return Located(text, at: node.location) }
      if case .string? = CoreSchema.resolve(text) { return Located(text, at: node.location) }
      log.error("\(what) is a string, not \(node.typeName); put it in quotes", at: node.location)
    } else {
      log.error("\(what) is a string, not \(node.typeName)", at: node.location)
    }
    return nil
  }

  func bool(_ key: String) -> Located<Bool>? {
    guard let node = self[key] else { return nil }
    if case .bool(let value) = node.value(log).content { return Located(value, at: node.location) }
    log.error("'\(key)' is true or false, not \(node.typeName)", at: node.location)
    return nil
  }

  func integer(_ key: String, in range: ClosedRange<Int>) -> Located<Int>? {
    guard let node = self[key] else { return nil }
    if case .int(let value) = node.value(log).content, range.contains(value) {
      return Located(value, at: node.location)
    }
    log.error("'\(key)' is an integer from \(range.lowerBound) to \(range.upperBound)", at: node.location)
    return nil
  }

  func choice<Choice: RawRepresentable<String> & CaseIterable>(_ key: String) -> Located<Choice>? {
    guard let text = string(key) else { return nil }
    if let value = Choice(rawValue: text.value) { return Located(value, at: text.location) }
    let names = Choice.allCases.map(\.rawValue)
    log.error(
      "'\(text.value)' is no \(key); there are \(listed(names))", at: text.location,
      suggestion: nearest(text.value, in: names))
    return nil
  }

  /// The entries of a mapping whose keys are names of the author's choice.
  func entries(_ key: String, of what: String) -> [SourceNode.Entry] {
    guard let node = self[key] else { return [] }
    if case .mapping(let entries) = node.content { return entries }
    log.error("'\(key)' is a mapping of \(what), not \(node.typeName)", at: node.location)
    return []
  }

  /// The items of a list.
  func items(_ key: String, of what: String) -> [SourceNode] {
    guard let node = self[key] else { return [] }
    if case .sequence(let items) = node.content { return items }
    log.error("'\(key)' is a list of \(what), not \(node.typeName)", at: node.location)
    return []
  }
}

/// "a, b and c".
func listed(_ words: [String]) -> String {
  guard words.count > 1, let last = words.last else { return words.first ?? "none" }
  return words.dropLast().joined(separator: ", ") + " and " + last
}
