/// One fault in a file or an argument, told the way compilers do so that editors can jump to it.
///
/// ```
/// Graphs/cascade.yaml:12:11: error: there is no node 'lm'; did you mean 'llm'?
/// ```
public struct Diagnostic: Hashable, Sendable {
  public enum Severity: String, Hashable, Sendable {
    case error
    case warning
  }

  public var severity: Severity
  public var location: SourceLocation
  /// What is wrong and, where that is not plain, how to mend it. No full stop at the end.
  public var message: String
  /// What the author probably meant to write.
  public var suggestion: String?

  public init(
    _ severity: Severity = .error, at location: SourceLocation, _ message: String, suggestion: String? = nil
  ) {
    self.severity = severity
    self.location = location
    self.message = message
    self.suggestion = suggestion
  }
}

extension Diagnostic: CustomStringConvertible {
  public var description: String {
    let end = suggestion.map { "; did you mean '\($0)'?" } ?? ""
    return "\(location): \(severity.rawValue): \(message)\(end)"
  }
}

/// Everything that is wrong with a graph or a placement, in the order of the files' lines.
public struct GraphFileError: Error, Hashable, Sendable {
  /// At least one error; warnings found on the way stand among them.
  public let diagnostics: [Diagnostic]

  public init(_ diagnostics: [Diagnostic]) {
    self.diagnostics = diagnostics
  }
}

extension GraphFileError: CustomStringConvertible {
  public var description: String {
    diagnostics.map(\.description).joined(separator: "\n")
  }
}

/// Collects diagnostics while a file is read.
///
/// The number kept is bounded, and a suggestion is only looked for while there is room: a hostile file cannot make the
/// report, or the work of writing it, grow with its size.
final class DiagnosticLog {
  static let limit = 100

  private var entries: [Diagnostic] = []
  private var seen: Set<Diagnostic> = []
  private var fileOrder: [String: Int] = [:]
  private(set) var hasErrors = false
  private var isTruncated = false

  func error(
    _ message: @autoclosure () -> String, at location: SourceLocation,
    suggestion: @autoclosure () -> String? = nil
  ) {
    hasErrors = true
    add(.error, message, location, suggestion)
  }

  func warning(_ message: @autoclosure () -> String, at location: SourceLocation) {
    add(.warning, message, location, { nil })
  }

  private func add(
    _ severity: Diagnostic.Severity, _ message: () -> String, _ location: SourceLocation, _ suggestion: () -> String?
  ) {
    guard entries.count < Self.limit else {
      isTruncated = true
      return
    }
    let entry = Diagnostic(severity, at: location, message(), suggestion: suggestion())
    // A subgraph used twice has each of its faults once.
    guard seen.insert(entry).inserted else { return }
    if fileOrder[location.file] == nil { fileOrder[location.file] = fileOrder.count }
    entries.append(entry)
  }

  /// The diagnostics by file (in the order in which the files were first complained of), line and column.
  var diagnostics: [Diagnostic] {
    var sorted = entries.enumerated().sorted { a, b in
      key(a.element, a.offset) < key(b.element, b.offset)
    }.map(\.element)
    if isTruncated, let last = sorted.last {
      sorted.append(Diagnostic(at: last.location, "there are more faults than these \(Self.limit)"))
    }
    return sorted
  }

  private func key(_ entry: Diagnostic, _ offset: Int) -> (Int, Int, Int, Int) {
    (fileOrder[entry.location.file] ?? 0, entry.location.line, entry.location.column, offset)
  }

  /// - Throws: ``GraphFileError`` when an error was logged; warnings alone do not throw.
  func throwIfErrors() throws(GraphFileError) {
    if hasErrors { throw GraphFileError(diagnostics) }
  }
}
