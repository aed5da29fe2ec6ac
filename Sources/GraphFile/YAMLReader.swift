import Yams

/// Reads a file's bytes into a located tree, or says why it cannot.
///
/// The reader accepts one document of YAML without anchors, aliases, tags, merge keys and complex keys. Its time and
/// memory are bounded by ``Limits``.
struct YAMLReader {
  private let file: String
  private let log: DiagnosticLog
  /// What is left of the tree would only give rise to further complaints.
  private var isFaulty = false

  private init(file: String, log: DiagnosticLog) {
    self.file = file
    self.log = log
  }

  /// - Returns: the document's root; nil when it is not well-formed, with the reasons in the log.
  static func read(_ bytes: [UInt8], file: String, log: DiagnosticLog) -> SourceNode? {
    guard var text = SourceText(bytes, file: file, log: log) else { return nil }
    var reader = YAMLReader(file: file, log: log)
    // The parser stops at the first mapping with duplicate keys. Such a key is renamed and the file read again, so
    // that its other faults are found as well.
    for number in 0..<Limits.duplicates {
      do {
        // The resolver is ours (`CoreSchema`): the parser's would run regular expressions over every scalar.
        let parser = try Parser(yaml: text.guarded, resolver: .basic, encoding: .utf8)
        guard let root = try parser.singleRoot() else {
          log.error("the file is empty", at: reader.start)
          return nil
        }
        return reader.convert(root)
      } catch YamlError.duplicatedKeysInMapping(let names, let context) {
        guard let second = reader.logDuplicate(names, first: context.mark, in: text.guarded) else { return nil }
        text.rename(at: second, number: number)
        // Reading a large file again and again would multiply the time it takes.
        if text.guarded.utf8.count > 1 << 16 { return nil }
      } catch {
        reader.logSyntaxError(error, in: text.guarded)
        return nil
      }
    }
    return nil
  }

  private var start: SourceLocation { SourceLocation(file: file, line: 1, column: 1) }

  private func location(_ mark: Mark?) -> SourceLocation? {
    mark.map { SourceLocation(file: file, line: $0.line, column: $0.column) }
  }

  // MARK: Conversion

  private mutating func convert(_ root: Node) -> SourceNode? {
    let tree = convert(root, depth: 0, at: start)
    return isFaulty ? nil : tree
  }

  private mutating func convert(_ node: Node, depth: Int, at parent: SourceLocation) -> SourceNode? {
    let place = location(node.mark) ?? parent
    guard depth <= Limits.depth else {
      refuse(Self.tooDeep, at: place)
      return nil
    }
    switch node {
    case .alias:
      refuse(Self.noAliases, at: place)
      return nil
    case .scalar(let scalar):
      let isPlain = scalar.style == .plain || scalar.style == .any
      if isPlain, logIndicator(scalar.string, at: place) { return nil }
      return SourceNode(content: .scalar(Indicator.restore(scalar.string), isPlain: isPlain), location: place)
    case .sequence(let sequence):
      var nodes: [SourceNode] = []
      for element in sequence {
        guard let converted = convert(element, depth: depth + 1, at: place) else { continue }
        nodes.append(converted)
      }
      return SourceNode(content: .sequence(nodes), location: place)
    case .mapping(let mapping):
      var entries: [SourceNode.Entry] = []
      for (key, value) in mapping {
        let converted = convert(value, depth: depth + 1, at: place)
        guard let name = convertKey(key, at: place), let converted else { continue }
        entries.append(SourceNode.Entry(key: name, value: converted))
      }
      return SourceNode(content: .mapping(entries), location: place)
    }
  }

  private mutating func convertKey(_ key: Node, at parent: SourceLocation) -> Located<String>? {
    let place = location(key.mark) ?? parent
    guard case .scalar(let scalar) = key else {
      refuse("a key must be a plain word, not a list or a mapping", at: place)
      return nil
    }
    let isPlain = scalar.style == .plain || scalar.style == .any
    if isPlain, logIndicator(scalar.string, at: place) { return nil }
    if isPlain, scalar.string == "<<" {
      refuse("merge keys ('<<') are not supported; write the keys out", at: place)
      return nil
    }
    // A duplicate, which has been reported.
    if let first = scalar.string.unicodeScalars.first, first.value >= Indicator.firstRenamed { return nil }
    return Located(Indicator.restore(scalar.string), at: place)
  }

  private mutating func refuse(_ message: String, at place: SourceLocation) {
    isFaulty = true
    log.error(message, at: place)
  }

  /// Refuses a plain scalar that starts with an indicator of what graph files do not have.
  private mutating func logIndicator(_ text: String, at place: SourceLocation) -> Bool {
    let scalars = text.unicodeScalars
    guard let first = scalars.first, let indicator = Indicator(rawValue: first.value) else { return false }
    if indicator == .complexKey, scalars.count > 1, scalars.dropFirst().first != " " { return false }
    refuse(Self.message(indicator), at: place)
    return true
  }

  private static func message(_ indicator: Indicator) -> String {
    switch indicator {
    case .anchor, .alias: noAliases
    case .tag: "tags ('!name') are not supported; quote text that starts with '!'"
    case .complexKey: "complex keys ('? key') are not supported"
    }
  }

  private static let noAliases =
    "anchors and aliases ('&name', '*name') are not supported; write the value out, or quote text that starts so"
  private static let tooDeep = "lists and mappings are nested more than \(Limits.depth) deep"

  // MARK: Syntax errors

  /// Reports a duplicate key, and finds the second key's place: the parser only tells the first one's.
  private func logDuplicate(_ names: [String], first: Mark, in text: String) -> SourceLocation? {
    let name = names.first ?? ""
    let firstPlace = SourceLocation(file: file, line: first.line, column: first.column)
    let second = KeyFinder(text: text).next(name, after: firstPlace)
    log.error(
      "the key '\(Indicator.restore(name))' stands twice in this mapping"
        + (second == nil ? "" : "; the first is in line \(first.line)"),
      at: second ?? firstPlace)
    return second
  }

  private func logSyntaxError(_ error: any Error, in text: String) {
    let lines = text.split(separator: "\n", maxSplits: .max, omittingEmptySubsequences: false)
    switch error {
    case YamlError.scanner(let context, let problem, let mark, _),
      YamlError.parser(let context, let problem, let mark, _),
      YamlError.composer(let context, let problem, let mark, _):
      // `key: &name` and what follows is no plain scalar but a syntax error once the indicator is guarded.
      for line in [mark.line, mark.line - 1] where lines.indices.contains(line - 1) {
        if let (indicator, column) = KeyFinder.indicator(in: lines[line - 1]) {
          log.error(Self.message(indicator), at: SourceLocation(file: file, line: line, column: column))
          return
        }
      }
      if let context, let message = SyntaxMessage.atOpening(problem, context: context.text) {
        log.error(message, at: SourceLocation(file: file, line: context.mark.line, column: context.mark.column))
        return
      }
      let place = SourceLocation(file: file, line: mark.line, column: mark.column)
      // The parser has a limit of its own, far beyond ours.
      if problem.contains("nesting") || problem.contains("level") { return log.error(Self.tooDeep, at: place) }
      log.error(SyntaxMessage.text(problem, context: context?.text, contextLine: context?.mark.line), at: place)
    case YamlError.memory: log.error(Self.tooDeep, at: start)
    default: log.error("this is not YAML", at: start)
    }
  }
}
