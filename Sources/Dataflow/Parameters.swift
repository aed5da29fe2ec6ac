/// A parameter's value as a graph file or the command line gives it.
public enum ParameterValue: Hashable, Sendable {
  case null
  case bool(Bool)
  case int(Int)
  case double(Double)
  case string(String)
  case list([ParameterValue])
  case map([String: ParameterValue])
}

extension ParameterValue {
  /// The value as JSON: 1.0 stays a number with a point, keys are sorted. JSON knows finite numbers only; any other
  /// becomes null.
  package var json: String {
    switch self {
    case .null: "null"
    case .bool(let value): String(value)
    case .int(let value): String(value)
    case .double(let value): value.isFinite ? "\(value)" : "null"
    case .string(let value): Self.json(value)
    case .list(let values): "[" + values.map(\.json).joined(separator: ",") + "]"
    case .map(let values):
      "{"
        + values.sorted { $0.key < $1.key }.map { "\(Self.json($0.key)):\($0.value.json)" }.joined(separator: ",")
        + "}"
    }
  }

  private static func json(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": result += "\\\(scalar)"
      case "\0"..<" ":
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}

extension ParameterValue: CustomStringConvertible {
  public var description: String {
    switch self {
    case .null: "null"
    case .bool(let value): String(value)
    case .int(let value): String(value)
    case .double(let value): String(value)
    case .string(let value): value
    case .list(let values): "[" + values.map(\.description).joined(separator: ", ") + "]"
    case .map(let values):
      "{" + values.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: ", ") + "}"
    }
  }
}

/// What `antiphon nodes KIND` shows of a parameter.
public struct ParameterDescription: Hashable, Sendable {
  public let name: String
  /// `number`, `integer`, `text`, `flag`, `path`, `model`, or the allowed words.
  public let form: String
  public let unit: String
  /// Nil: the parameter must be given.
  public let defaultValue: ParameterValue?
  public let help: String
}

/// A parameter that cannot be used as it is.
public struct ParameterError: Error, Hashable, Sendable, CustomStringConvertible {
  public let parameter: String
  public let problem: String
  public init(_ parameter: String, _ problem: String) {
    self.parameter = parameter
    self.problem = problem
  }
  public var description: String { "\(parameter): \(problem)" }
}

/// The parameters of a kind of node, read by one initializer that is also their documentation.
///
/// ```swift
/// public struct Parameters: NodeParameters {
///   public let threshold: Float
///   public init(_ read: inout ParameterReader) {
///     threshold = read("threshold", default: 0.01, in: 0...1, help: "RMS level below which a chunk is silence.")
///   }
/// }
/// ```
public protocol NodeParameters: Sendable {
  init(_ read: inout ParameterReader)
}

/// For nodes without parameters.
public struct NoParameters: NodeParameters {
  public init(_ read: inout ParameterReader) {}
}

/// Reads parameters one by one, describes each on the way, and collects every fault.
///
/// Reading never throws: a value that is missing or wrong is noted and replaced by its default (or by an empty value),
/// and the node is not built. So one reading finds all faults.
public struct ParameterReader: Sendable {
  private let values: [String: ParameterValue]
  private let resolvePath: @Sendable (_ name: String, _ path: String) -> String
  package private(set) var descriptions: [ParameterDescription] = []
  package private(set) var errors: [ParameterError] = []

  /// - Parameter resolvePath: makes the path that parameter `name` gives absolute, from where it was written.
  package init(
    _ values: [String: ParameterValue] = [:],
    resolvePath: @escaping @Sendable (_ name: String, _ path: String) -> String = { $1 }
  ) {
    self.values = values
    self.resolvePath = resolvePath
  }

  /// A number.
  public mutating func callAsFunction(
    _ name: String, default standard: Double? = nil, in range: ClosedRange<Double>? = nil, unit: String = "",
    help: String
  ) -> Double {
    describe(name, "number", unit, standard.map { .double($0) }, help)
    let value: Double
    switch values[name] {
    case nil: return standard ?? missing(name, 0)
    case .int(let number): value = Double(number)
    case .double(let number): value = number
    case .some(let other): return wrong(name, other, "a number", standard ?? 0)
    }
    guard value.isFinite, range?.contains(value) ?? true else {
      return note(name, "\(value) is not \(Self.words(range))", standard ?? 0)
    }
    return value
  }

  public mutating func callAsFunction(
    _ name: String, default standard: Float, in range: ClosedRange<Double>? = nil, unit: String = "", help: String
  ) -> Float {
    // Through text, so that 0.01 reads 0.01 and not 0.00999999977648258.
    Float(callAsFunction(name, default: Double("\(standard)"), in: range, unit: unit, help: help) as Double)
  }

  /// A whole number.
  public mutating func callAsFunction(
    _ name: String, default standard: Int? = nil, in range: ClosedRange<Int>? = nil, unit: String = "", help: String
  ) -> Int {
    describe(name, "integer", unit, standard.map { .int($0) }, help)
    switch values[name] {
    case nil: return standard ?? missing(name, range?.lowerBound ?? 0)
    case .int(let value):
      guard range?.contains(value) ?? true else {
        return note(name, "\(value) is not \(Self.words(range))", standard ?? 0)
      }
      return value
    case .some(let other): return wrong(name, other, "a whole number", standard ?? 0)
    }
  }

  /// A flag.
  public mutating func callAsFunction(_ name: String, default standard: Bool, help: String) -> Bool {
    describe(name, "flag", "", .bool(standard), help)
    switch values[name] {
    case nil: return standard
    case .bool(let value): return value
    case .some(let other): return wrong(name, other, "true or false", standard)
    }
  }

  /// A text.
  public mutating func callAsFunction(_ name: String, default standard: String? = nil, help: String) -> String {
    describe(name, "text", "", standard.map { .string($0) }, help)
    switch values[name] {
    case nil: return standard ?? missing(name, "")
    case .list(let other): return wrong(name, .list(other), "a text", standard ?? "")
    case .map(let other): return wrong(name, .map(other), "a text", standard ?? "")
    case .null: return standard ?? ""
    case .some(let value): return value.description
    }
  }

  /// A model: its name in the model cache, or a path to it, which has a slash in it and counts from where it was written;
  /// a default from the graph file.
  /// ``formOfModel`` marks it in the catalogue.
  public mutating func model(_ name: String, default standard: String, help: String) -> String {
    let value: String = self(name, default: standard, help: help)
    if let last = descriptions.popLast() {
      descriptions.append(
        ParameterDescription(
          name: last.name, form: Self.formOfModel, unit: last.unit, defaultValue: last.defaultValue, help: last.help))
    }
    return value.contains("/") ? resolvePath(name, value) : value
  }

  /// The form of parameters that name models.
  package static let formOfModel = "model"

  /// One of a few words.
  public mutating func callAsFunction<Choice>(
    _ name: String, default standard: Choice, help: String
  ) -> Choice where Choice: RawRepresentable<String> & CaseIterable {
    let words = Choice.allCases.map(\.rawValue)
    describe(name, words.joined(separator: " | "), "", .string(standard.rawValue), help)
    switch values[name] {
    case nil: return standard
    case .string(let word):
      return Choice(rawValue: word) ?? note(name, "'\(word)' is none of \(words.joined(separator: ", "))", standard)
    case .some(let other): return wrong(name, other, "one of \(words.joined(separator: ", "))", standard)
    }
  }

  /// A list of texts; a single text is a list of one.
  public mutating func callAsFunction(_ name: String, default standard: [String]?, help: String) -> [String] {
    describe(name, "list of texts", "", standard.map { .list($0.map { .string($0) }) }, help)
    return texts(name) ?? standard ?? missing(name, [])
  }

  /// A file or folder to read. A relative path counts from where it was written: the folder of the graph file, or the
  /// working directory for the command line.
  public mutating func path(_ name: String, default standard: String? = nil, help: String) -> String {
    describe(name, "path", "", standard.map { .string($0) }, help)
    switch values[name] {
    case nil: return standard ?? missing(name, "")
    case .string(let path): return path.isEmpty ? path : resolvePath(name, path)
    case .some(let other): return wrong(name, other, "a path", standard ?? "")
    }
  }

  /// Files to read, one or several; see ``path(_:default:help:)``.
  public mutating func paths(_ name: String, default standard: [String]? = nil, help: String) -> [String] {
    describe(name, "list of paths", "", standard.map { .list($0.map { .string($0) }) }, help)
    return texts(name)?.map { resolvePath(name, $0) } ?? standard ?? missing(name, [])
  }

  /// A fault that concerns several parameters, or that no simple range can express.
  public mutating func reject(_ name: String, _ problem: String) {
    errors.append(ParameterError(name, problem))
  }

  private mutating func texts(_ name: String) -> [String]? {
    switch values[name] {
    case nil: return nil
    case .list(let items):
      var texts: [String] = []
      for item in items {
        guard case .string(let text) = item else { return wrong(name, item, "a text", []) }
        texts.append(text)
      }
      return texts
    case .string(let text): return [text]
    case .some(let other): return wrong(name, other, "a list of texts", [])
    }
  }

  private mutating func describe(
    _ name: String, _ form: String, _ unit: String, _ standard: ParameterValue?, _ help: String
  ) {
    descriptions.append(
      ParameterDescription(name: name, form: form, unit: unit, defaultValue: standard, help: help))
  }

  private mutating func note<Value>(_ name: String, _ problem: String, _ instead: Value) -> Value {
    errors.append(ParameterError(name, problem))
    return instead
  }

  private mutating func missing<Value>(_ name: String, _ instead: Value) -> Value {
    note(name, "must be given; it has no default", instead)
  }

  private mutating func wrong<Value>(
    _ name: String, _ value: ParameterValue, _ wanted: String, _ instead: Value
  ) -> Value {
    note(name, "'\(value)' is not \(wanted)", instead)
  }

  private static func words<Bound>(_ range: ClosedRange<Bound>?) -> String {
    range.map { "between \($0.lowerBound) and \($0.upperBound)" } ?? "finite"
  }
}
