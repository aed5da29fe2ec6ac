extension GraphDescription {
  /// The graph in Graphviz's language. Feedback edges are dashed.
  ///
  /// - Parameters:
  ///   - parts: the nodes of each part of a placement, which are drawn in a box; none by default.
  ///   - label: an edge's label, such as the type it carries; nil for none.
  public func dot(
    parts: [String: [String]] = [:], label: (EdgeDescription) -> String? = { _ in nil }
  ) -> String {
    func quoted(_ lines: String...) -> String {
      // A backslash escape in dot is its own affair; only quotes, backslashes and line ends need care.
      let escaped = lines.map { line in
        line.map { $0 == "\"" ? "\\\"" : $0 == "\\" ? "\\\\" : $0.isNewline ? " " : String($0) }.joined()
      }
      return "\"" + escaped.joined(separator: "\\n") + "\""
    }
    var lines = ["digraph \(quoted(name)) {", "  rankdir=LR;", "  node [shape=box, style=rounded];"]
    for group in groups(parts) {
      var indent = "  "
      if let part = group.part {
        lines += ["  subgraph \(quoted("cluster_" + part)) {", "    label=\(quoted(part));"]
        indent = "    "
      }
      for node in group.nodes {
        let style = node.external == nil ? "" : ", peripheries=2"
        lines.append("\(indent)\(quoted(node.id)) [label=\(quoted(node.id, node.kind.value))\(style)];")
      }
      if group.part != nil { lines.append("  }") }
    }
    for edge in edges {
      var attributes = ["taillabel=\(quoted(edge.from.port))", "headlabel=\(quoted(edge.to.port))"]
      if let text = label(edge) { attributes.append("label=\(quoted(text))") }
      if edge.isFeedback { attributes.append("style=dashed, constraint=false") }
      lines.append("  \(quoted(edge.from.node)) -> \(quoted(edge.to.node)) [\(attributes.joined(separator: ", "))];")
    }
    return (lines + ["}"]).joined(separator: "\n") + "\n"
  }

  /// The graph as a Mermaid flowchart, which many Markdown viewers draw. Feedback edges are dashed.
  ///
  /// - Parameters: as for ``dot(parts:label:)``.
  public func mermaid(
    parts: [String: [String]] = [:], label: (EdgeDescription) -> String? = { _ in nil }
  ) -> String {
    // Mermaid has words of its own that no id may be, so that nodes are numbered.
    let numbers = Dictionary(nodes.enumerated().map { ($1.id, "n\($0)") }) { first, _ in first }
    func quoted(_ text: String) -> String {
      let escaped = text.unicodeScalars.map { scalar -> String in
        switch scalar {
        case "a"..."z", "A"..."Z", "0"..."9", " ", ".", ",", "/", "-", "_", "=", ">": String(scalar)
        case "\n", "\r": " "
        default: "#\(scalar.value);"
        }
      }
      return "\"" + escaped.joined() + "\""
    }
    var lines = ["flowchart LR"]
    for (position, group) in groups(parts).enumerated() {
      var indent = "  "
      if let part = group.part {
        lines.append("  subgraph p\(position)[\(quoted(part))]")
        indent = "    "
      }
      for node in group.nodes {
        // Two brackets draw an external node as a process.
        let (open, close) = node.external == nil ? ("[", "]") : ("[[", "]]")
        let text = quoted(node.id).dropLast() + "<br/>" + quoted(node.kind.value).dropFirst()
        lines.append("\(indent)\(numbers[node.id] ?? "")\(open)\(text)\(close)")
      }
      if group.part != nil { lines.append("  end") }
    }
    for edge in edges {
      guard let from = numbers[edge.from.node], let to = numbers[edge.to.node] else { continue }
      let ports = "\(edge.from.port) -> \(edge.to.port)"
      let text = quoted(label(edge).map { "\(ports): \($0)" } ?? ports)
      lines.append("  \(from) \(edge.isFeedback ? "-.->" : "-->")|\(text)| \(to)")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// The nodes by part, parts in the order of their first node; nodes in no part come without one.
  private func groups(_ parts: [String: [String]]) -> [(part: String?, nodes: [NodeDescription])] {
    var partOfNode: [String: String] = [:]
    for (part, ids) in parts { for id in ids { partOfNode[id] = part } }
    var groups: [(part: String?, nodes: [NodeDescription])] = []
    for node in nodes {
      let part = partOfNode[node.id]
      if let index = groups.firstIndex(where: { $0.part == part }) {
        groups[index].nodes.append(node)
      } else {
        groups.append((part, [node]))
      }
    }
    return groups
  }
}
