/// A string with references to graph parameters: `audio/${name}.wav`. `$${` stands for the characters `${`.
struct Template {
  enum Piece: Equatable {
    case text(String)
    case reference(String)
  }

  struct Fault: Error {
    let message: String
  }

  let pieces: [Piece]

  var names: [String] {
    pieces.compactMap { if case .reference(let name) = $0 { name } else { nil } }
  }

  static func parse(_ text: String) -> Result<Template, Fault> {
    guard text.utf8.contains(UInt8(ascii: "$")) else { return .success(Template(pieces: [.text(text)])) }
    var pieces: [Piece] = []
    var literal = ""
    var rest = Substring(text)
    while let dollar = rest.firstIndex(of: "$") {
      literal += rest[..<dollar]
      rest = rest[dollar...]
      if rest.hasPrefix("$${") {
        literal += "${"
        rest = rest.dropFirst(3)
      } else if rest.hasPrefix("${") {
        guard let end = rest.prefix(200).firstIndex(of: "}") else {
          return .failure(Fault(message: "'${' without '}'; write '$${' for the characters themselves"))
        }
        let name = String(rest[rest.index(rest.startIndex, offsetBy: 2)..<end])
        guard Names.isWord(name) else {
          return .failure(Fault(message: "'${\(name)}' names no parameter; write '$${' for the characters themselves"))
        }
        if !literal.isEmpty { pieces.append(.text(literal)) }
        literal = ""
        pieces.append(.reference(name))
        rest = rest[end...].dropFirst()
      } else {
        literal += "$"
        rest = rest.dropFirst()
      }
    }
    literal += rest
    if !literal.isEmpty || pieces.isEmpty { pieces.append(.text(literal)) }
    return .success(Template(pieces: pieces))
  }

  /// Visits every string inside a value.
  static func forEachString(in value: ParameterValue, _ body: (String, SourceLocation) -> Void) {
    switch value.content {
    case .string(let text): body(text, value.location)
    case .list(let values): for value in values { forEachString(in: value, body) }
    case .map(let map): for entry in map.entries { forEachString(in: entry.value, body) }
    case .null, .bool, .int, .double: break
    }
  }
}

/// Puts a graph's parameters into its values.
///
/// Every value that comes out is counted against a budget shared by the whole graph, because subgraphs that double
/// their parameters could otherwise make megabytes out of a few lines.
final class Substitution {
  private let log: DiagnosticLog
  private var spent = 0

  init(log: DiagnosticLog) {
    self.log = log
  }

  var isExhausted: Bool { spent > Limits.parameterVolume }

  typealias Scope = [String: ParameterValue]

  func resolve(_ map: ParameterMap, in scope: Scope) -> ParameterMap {
    ParameterMap(map.entries.map { ParameterMap.Entry(key: $0.key, value: resolve($0.value, in: scope)) })
  }

  func resolve(_ value: ParameterValue, in scope: Scope) -> ParameterValue {
    guard spend(Limits.valueVolume, at: value.location) else { return ParameterValue(.null, at: value.location) }
    switch value.content {
    case .null, .bool, .int, .double: return value
    case .list(let values):
      return ParameterValue(.list(values.map { resolve($0, in: scope) }), at: value.location)
    case .map(let map):
      return ParameterValue(.map(resolve(map, in: scope)), at: value.location)
    case .string(let text):
      guard case .success(let template) = Template.parse(text) else { return value }
      if case .reference(let name)? = template.pieces.first, template.pieces.count == 1 {
        guard let argument = scope[name], spend(volume(of: argument), at: value.location) else {
          return ParameterValue(.null, at: value.location)
        }
        // The place stays that of the use, where a reader looks for the node's parameter; but what the command line gives
        // is its own: a relative path counts from the working directory.
        let isOverride = argument.location.line == 0
        return ParameterValue(argument.content, at: isOverride ? argument.location : value.location)
      }
      return ParameterValue(.string(render(template, in: scope, at: value.location)), at: value.location)
    }
  }

  func resolve(_ text: Located<String>, in scope: Scope) -> Located<String> {
    guard case .success(let template) = Template.parse(text.value) else { return text }
    return Located(render(template, in: scope, at: text.location), at: text.location)
  }

  private func render(_ template: Template, in scope: Scope, at location: SourceLocation) -> String {
    var result = ""
    for piece in template.pieces {
      var text = ""
      switch piece {
      case .text(let literal): text = literal
      case .reference(let name):
        switch scope[name]?.content {
        case .string(let value): text = value
        case .int(let value): text = String(value)
        case .bool(let value): text = String(value)
        case .double(let value): text = CoreSchema.text(of: value)
        case .null, .list, .map:
          let type = scope[name]?.typeName ?? "null"
          log.error("the parameter '\(name)' is \(type) and cannot be part of a text", at: location)
        case nil: break  // Reported where the file was read.
        }
      }
      guard spend(text.utf8.count, at: location) else { return result }
      result += text
    }
    return result
  }

  private func spend(_ amount: Int, at location: SourceLocation) -> Bool {
    guard !isExhausted else { return false }
    spent += amount
    if isExhausted { log.error("the graph's parameters grow beyond all measure when they are put in", at: location) }
    return !isExhausted
  }

  private func volume(of value: ParameterValue) -> Int {
    switch value.content {
    case .null, .bool, .int, .double: Limits.valueVolume
    case .string(let text): Limits.valueVolume + text.utf8.count
    case .list(let values): values.reduce(Limits.valueVolume) { $0 + volume(of: $1) }
    case .map(let map): map.entries.reduce(Limits.valueVolume) { $0 + volume(of: $1.value) }
    }
  }
}
