public import Dataflow
import Foundation
import GraphFile

extension Plan {
  /// What `antiphon plan` prints.
  public var report: String {
    var lines = ["graph \(name)  \(hash.prefix(16))", "seed \(settings.seed), \(settings.kernels)", ""]
    for (index, part) in parts.enumerated() {
      lines.append("part \(part.name)" + (part.host.map { " on \($0), started there by hand" } ?? ""))
      for (number, node) in nodes.enumerated() where node.part == index {
        lines.append("  \(node.name)  (\(node.kind))")
        for edge in edges where edge.from.node == number {
          let port = node.manifest.outputs[edge.from.port].name
          let target = nodes[edge.to.node]
          let details = [
            "\(edge.knownType)", "depth \(edge.depth)", edge.policy.rawValue, edge.isFeedback ? "feedback" : "",
          ]
          .filter { !$0.isEmpty }.joined(separator: ", ")
          lines.append(
            "    .\(port) -> \(target.name).\(target.manifest.inputs[edge.to.port].name)  \(details)  \(edge.transport)"
          )
        }
        for port in node.manifest.inputs + node.manifest.outputs {
          if case .unknown(let reason)? = port.found { lines.append("    .\(port.name) is checked later: \(reason)") }
        }
        if let command = node.external?.arguments { lines.append("    starts: \(shellCommand(command))") }
      }
    }
    if parts.count > 1 { lines.append("\ncoordinator \(coordinator)") }
    lines.append("")
    for part in parts where part.host != nil {
      lines.append(
        "Part \(part.name) is refused unless it computes with seed \(settings.seed) and \(settings.kernels).")
    }
    lines +=
      determinism.isEmpty
      ? ["The answer's bytes do not depend on where the nodes run."]
      : ["The answer's bytes may differ between runs:"] + determinism.map { "  \($0)" }
    return lines.joined(separator: "\n")
  }

  /// Why the answer's bytes may not be the same wherever the nodes run; empty if they are.
  public var determinism: [String] {
    edges.filter { $0.policy == .dropOldest || $0.policy == .latest }.map {
      "\($0.name) drops messages when its receiver is slow (\($0.policy.rawValue))"
    }
      + nodes.filter(\.manifest.goesByTheClock).map { "\($0.name) goes by the clock" }
      + nodes.filter { $0.external != nil }.map { "\($0.name) is another program, of which this one knows nothing" }
  }
}

/// A command as a shell's user writes it: arguments with other characters than these in quotes.
package func shellCommand(_ arguments: [String]) -> String {
  arguments.map { argument in
    let isPlain = argument.utf8.allSatisfy { byte in
      (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || "-_./:=,@%+".utf8.contains(byte)
    }
    return isPlain && !argument.isEmpty ? argument : "'" + argument.replacing("'", with: "'\\''") + "'"
  }.joined(separator: " ")
}

extension Plan {
  /// Whether the coordinator starts programs in other languages, which must be allowed.
  package var startsPrograms: Bool { parts.contains { $0.isExternal && $0.host == nil } }

  /// How to start a part that is a program in another language by hand; nil for any other part.
  package func programCommand(of part: PlannedPart) -> String? {
    guard let node = nodes.first(where: { $0.external != nil && $0.name == part.name }), let external = node.external
    else { return nil }
    let variables = programEnvironment(of: part)
    let folder = external.directory.isEmpty ? [] : ["-C", external.directory]
    return shellCommand(
      ["env"] + folder + variables.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" } + external.arguments)
  }

  /// What a program in another language gets in its environment: the placement's variables, and where to join.
  func programEnvironment(of part: PlannedPart) -> [String: String] {
    var variables = part.environment
    variables["ANTIPHON_CONTROL"] = coordinator
    variables["ANTIPHON_PART"] = part.name
    if let keys = security?.keys { variables["ANTIPHON_KEYS"] = URL(fileURLWithPath: keys).path }
    return variables
  }
}

extension PlannedEdge.Transport: CustomStringConvertible {
  public var description: String {
    switch self {
    case .direct: "direct"
    case .inproc: "inproc"
    case .wire(let address): address
    }
  }
}

extension NodeManifest {
  /// What `antiphon nodes KIND` prints.
  public var report: String {
    var lines = ["\(kind): \(summary)"]
    func section(_ title: String, _ rows: [(String, String, String)]) {
      if rows.isEmpty { return }
      lines += ["", title]
      let names = rows.map(\.0.count).max() ?? 0
      for (name, form, help) in rows {
        lines.append("  " + name + String(repeating: " ", count: names - name.count) + "  " + form)
        if !help.isEmpty { lines.append("  " + String(repeating: " ", count: names) + "  " + help) }
      }
    }
    section("inputs", inputs.map { ($0.name, "\($0.knownType)" + ($0.isOptional ? ", optional" : ""), $0.help) })
    section("outputs", outputs.map { ($0.name, "\($0.knownType)", $0.help) })
    section(
      "parameters",
      parameters.map { parameter in
        let unit = parameter.unit.isEmpty ? "" : " in \(parameter.unit)"
        let standard = parameter.defaultValue.map { "default \($0.description.isEmpty ? "''" : $0.description)" }
        return (parameter.name, "\(parameter.form)\(unit), \(standard ?? "must be given")", parameter.help)
      })
    return lines.joined(separator: "\n")
  }
}
