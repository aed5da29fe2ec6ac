/// A place in a file that a user wrote, or on the command line.
///
/// Lines and columns start at 1; columns count Unicode scalars. What comes from the command line has the argument for
/// its `file` and no line.
public struct SourceLocation: Hashable, Sendable {
  /// The file's path as the user gave it, or the argument's text.
  public let file: String
  /// The line, from 1; 0 means that the place is no line of a file.
  public let line: Int
  /// The column in Unicode scalars, from 1; 0 where `line` is 0.
  public let column: Int

  public init(file: String, line: Int, column: Int) {
    self.file = file
    self.line = line
    self.column = column
  }

  /// A place that is an argument of the command, such as `--set llm.seed=7`.
  public static func argument(_ text: String) -> SourceLocation {
    SourceLocation(file: text, line: 0, column: 0)
  }

  func moved(by columns: Int) -> SourceLocation {
    SourceLocation(file: file, line: line, column: column + columns)
  }
}

extension SourceLocation: CustomStringConvertible {
  /// `file:line:column`, or the file alone where there is no line.
  public var description: String {
    line == 0 ? file : "\(file):\(line):\(column)"
  }
}

/// A value together with the place it was read from. Two are equal when their values are: the place is for messages.
public struct Located<Value> {
  public var value: Value
  public var location: SourceLocation

  public init(_ value: Value, at location: SourceLocation) {
    self.value = value
    self.location = location
  }
}

extension Located: Sendable where Value: Sendable {}

extension Located: Equatable where Value: Equatable {
  public static func == (a: Self, b: Self) -> Bool { a.value == b.value }
}

extension Located: Hashable where Value: Hashable {
  public func hash(into hasher: inout Hasher) { hasher.combine(value) }
}
