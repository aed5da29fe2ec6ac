/// A YAML document as it was written: located, with neither aliases nor tags, and no key twice in a mapping.
struct SourceNode: Sendable {
  enum Content: Sendable {
    /// `isPlain`: without quotes, so that `1` is a number; `"1"` is a string.
    case scalar(String, isPlain: Bool)
    case sequence([SourceNode])
    case mapping([Entry])
  }

  struct Entry: Sendable {
    let key: Located<String>
    let value: SourceNode
  }

  let content: Content
  let location: SourceLocation

  /// The node in a reader's words, for messages.
  var typeName: String {
    switch content {
    case .scalar(let text, let isPlain):
      if !isPlain { return "a string" }
      return ParameterValue(CoreSchema.resolve(text) ?? .int(0), at: location).typeName
    case .sequence: return "a list"
    case .mapping: return "a mapping"
    }
  }

  var isNull: Bool {
    if case .scalar(let text, isPlain: true) = content, case .null? = CoreSchema.resolve(text) { return true }
    return false
  }

  /// The node as a parameter's value. Integers beyond 64 bits are logged and become null.
  func value(_ log: DiagnosticLog) -> ParameterValue {
    switch content {
    case .scalar(let text, isPlain: false):
      return ParameterValue(.string(text), at: location)
    case .scalar(let text, isPlain: true):
      guard let content = CoreSchema.resolve(text) else {
        log.error("the integer \(text) does not fit 64 bits", at: location)
        return ParameterValue(.null, at: location)
      }
      return ParameterValue(content, at: location)
    case .sequence(let nodes):
      return ParameterValue(.list(nodes.map { $0.value(log) }), at: location)
    case .mapping(let entries):
      let map = ParameterMap(entries.map { ParameterMap.Entry(key: $0.key, value: $0.value.value(log)) })
      return ParameterValue(.map(map), at: location)
    }
  }
}
