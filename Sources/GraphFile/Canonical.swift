extension GraphDescription {
  /// The resolved graph as text with one spelling: nodes with their parameters, and edges, each sorted.
  ///
  /// Two graphs have the same text exactly if they have the same topology, parameters, policies and declared ports.
  /// Layout, comments, the order of keys, the subgraphs' file names, help texts and the placement do not show in it.
  /// ```
  /// antiphon graph 1
  /// node "llm" kind "smollm2"
  ///   with "temperature" double 0.7
  /// edge "ears/decoder.text" -> "llm.text" depth default policy block transport direct
  /// ```
  public var canonicalText: String {
    var lines = ["antiphon graph 1"]
    for node in nodes.sorted(by: { $0.id < $1.id }) {
      lines.append("node \(CoreSchema.quoted(node.id)) kind \(CoreSchema.quoted(node.kind.value))")
      for entry in node.with.entries.sorted(by: { $0.key.value < $1.key.value }) {
        lines.append("  with \(CoreSchema.quoted(entry.key.value)) \(Self.canonical(entry.value))")
      }
      guard let external = node.external else { continue }
      lines.append("  command " + external.command.map { CoreSchema.quoted($0.value) }.joined(separator: " "))
      for (direction, ports) in [("input", external.inputs), ("output", external.outputs)] {
        for port in ports.sorted(by: { $0.name.value < $1.name.value }) {
          lines.append("  \(direction) \(CoreSchema.quoted(port.name.value)) \(CoreSchema.quoted(port.type.value))")
        }
      }
    }
    lines += edges.map(Self.canonical).sorted()
    for (direction, ports) in [("input", inputs), ("output", outputs)] {
      for port in ports.sorted(by: { $0.name.value < $1.name.value }) {
        let ends = port.endpoints.map { CoreSchema.quoted($0.description) }.sorted().joined(separator: " ")
        lines.append("export \(direction) \(CoreSchema.quoted(port.name.value)) \(ends)")
      }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// The SHA-256 of ``canonicalText``'s UTF-8 bytes, in 64 hexadecimal digits. Parts of one run compare it.
  public var hash: String { SHA256.hex(canonicalText.utf8) }

  private static func canonical(_ edge: EdgeDescription) -> String {
    let depth = edge.depth.map { String($0.value) } ?? "default"
    let ends = "\(CoreSchema.quoted(edge.from.description)) -> \(CoreSchema.quoted(edge.to.description))"
    return "edge \(ends) depth \(depth) policy \(edge.policy.value.rawValue) transport \(edge.transport.value.rawValue)"
      + (edge.isFeedback ? " feedback" : "")
  }

  private static func canonical(_ value: ParameterValue) -> String {
    switch value.content {
    case .null: return "null"
    case .bool(let flag): return "bool \(flag)"
    case .int(let number): return "int \(number)"
    case .double(let number): return "double \(CoreSchema.text(of: number))"
    case .string(let text): return "string \(CoreSchema.quoted(text))"
    case .list(let values): return "list [" + values.map(canonical).joined(separator: ", ") + "]"
    case .map(let map):
      let entries = map.entries.sorted { $0.key.value < $1.key.value }
      return "map {"
        + entries.map { "\(CoreSchema.quoted($0.key.value)): \(canonical($0.value))" }.joined(separator: ", ") + "}"
    }
  }
}
