/// The command line's changes to a graph: `--set` and `--swap`.
///
/// Each is used up by the node or parameter it names; what is left over at the end names nothing.
final class Overrides {
  private struct Setting {
    var node: String?
    var name: String
    var value: ParameterValue
    var isUsed = false

    var target: String { node.map { "\($0).\(name)" } ?? name }
  }

  private struct Swap {
    var node: String
    var kind: Located<String>
    var isUsed = false
  }

  private let log: DiagnosticLog
  private var settings: [Setting] = []
  private var swaps: [Swap] = []

  /// - Parameters:
  ///   - settings: `NODE.PARAM=VALUE` or `PARAM=VALUE`, each.
  ///   - swaps: `NODE=KIND` or `NODE=FILE.yaml`, each.
  init(settings: [String], swaps: [String], log: DiagnosticLog) {
    self.log = log
    for text in settings {
      let location = SourceLocation.argument("--set \(text)")
      guard let (target, value) = Self.halves(text) else {
        log.error("write --set NODE.PARAM=VALUE or --set PARAM=VALUE", at: location)
        continue
      }
      guard let value = Self.value(value, at: location, log: log) else { continue }
      let parts = target.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      let (node, name) = parts.count == 2 ? (parts[0], parts[1]) : (nil, target)
      guard Names.isWord(name), node.map(Names.isPath) ?? true else {
        log.error("'\(target)' is neither NODE.PARAM nor PARAM", at: location)
        continue
      }
      self.settings.append(Setting(node: node, name: name, value: value))
    }
    for text in swaps {
      let location = SourceLocation.argument("--swap \(text)")
      guard let (node, kind) = Self.halves(text), Names.isPath(node), !kind.isEmpty else {
        log.error("write --swap NODE=KIND", at: location)
        continue
      }
      self.swaps.append(Swap(node: node, kind: Located(kind, at: location)))
    }
  }

  /// The settings of a node's parameters, or of the graph's own for nil; of several for one name the last holds.
  func use(node: String?) -> ParameterMap {
    var map = ParameterMap()
    for index in settings.indices where settings[index].node == node {
      settings[index].isUsed = true
      map.set(settings[index].value, for: Located(settings[index].name, at: settings[index].value.location))
    }
    return map
  }

  func useSwap(node: String) -> Located<String>? {
    var kind: Located<String>?
    for index in swaps.indices where swaps[index].node == node {
      swaps[index].isUsed = true
      kind = swaps[index].kind
    }
    return kind
  }

  /// Reports the settings and swaps that named no node of the graph.
  func logUnused(nodes: [String]) {
    for setting in settings where !setting.isUsed {
      let node = setting.node ?? ""
      log.error(
        "there is no node '\(node)' to set '\(setting.name)' of", at: setting.value.location,
        suggestion: nearest(node, in: nodes).map { "\($0).\(setting.name)" })
    }
    for swap in swaps where !swap.isUsed {
      log.error(
        "there is no node '\(swap.node)' to swap", at: swap.kind.location, suggestion: nearest(swap.node, in: nodes))
    }
  }

  private static func halves(_ text: String) -> (String, String)? {
    guard let sign = text.firstIndex(of: "=") else { return nil }
    return (String(text[..<sign]), String(text[text.index(after: sign)...]))
  }

  /// Lists, mappings and quoted strings are read as YAML; all other text is one plain scalar, so that
  /// `--set llm.system=Be brief: one line` needs no quotes but the shell's.
  private static func value(_ text: String, at location: SourceLocation, log: DiagnosticLog) -> ParameterValue? {
    guard let first = text.unicodeScalars.first, "[{\"'".unicodeScalars.contains(first) else {
      guard let content = CoreSchema.resolve(text) else {
        log.error("the integer \(text) does not fit 64 bits", at: location)
        return nil
      }
      return ParameterValue(content, at: location)
    }
    let inner = DiagnosticLog()
    guard let node = YAMLReader.read(Array(text.utf8), file: "", log: inner) else {
      log.error("the value is not YAML: \(inner.diagnostics.first?.message ?? text)", at: location)
      return nil
    }
    let value = node.value(inner).relocated(to: location)
    if let fault = inner.diagnostics.first {
      log.error(fault.message, at: location)
      return nil
    }
    return value
  }
}

extension ParameterValue {
  /// The value with one place for all its parts.
  fileprivate func relocated(to location: SourceLocation) -> ParameterValue {
    switch content {
    case .null, .bool, .int, .double, .string:
      ParameterValue(content, at: location)
    case .list(let values):
      ParameterValue(.list(values.map { $0.relocated(to: location) }), at: location)
    case .map(let map):
      ParameterValue(
        .map(
          ParameterMap(
            map.entries.map {
              ParameterMap.Entry(key: Located($0.key.value, at: location), value: $0.value.relocated(to: location))
            })), at: location)
    }
  }
}
