/// Called often during long work; throws, with an error of the caller's own, to stop it. The error comes out unchanged.
public typealias CancellationCheck = () throws -> Void

/// A model that cannot be read: which file, which part of it, what was expected and what was found.
public struct ModelError: Error, Sendable, Equatable, CustomStringConvertible {
  public enum Reason: Sendable, Equatable {
    /// The system's reason.
    case cannotOpen(String)
    /// The file ends before what it announces.
    case truncated(needed: UInt64, available: Int)
    /// A count or size beyond what a sound file holds.
    case tooLarge(found: UInt64, most: UInt64)
    case missing
    case duplicate
    case unexpected(expected: String, found: String)
    /// Something that other readers would execute or follow, and that a sound model does not need.
    case refused(String)
    case invalid(String)
  }

  public let file: String
  /// The tensor, key or section.
  public let part: String?
  public let reason: Reason

  package init(file: String, part: String? = nil, _ reason: Reason) {
    (self.file, self.part, self.reason) = (file, part, reason)
  }

  public var description: String { Self.printable(text) }

  /// Names in a file are somebody else's text: control characters must not reach a terminal.
  package static func printable(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else { return text }
    return String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { $0.properties.generalCategory == .control ? "\u{fffd}" : $0 }))
  }

  private var text: String {
    let place = part.map { "\(file): \($0)" } ?? file
    return switch reason {
    case .cannotOpen(let text): "\(place): cannot be opened: \(text)"
    case .truncated(let needed, let available):
      "\(place): the file is cut short: \(needed) bytes needed, \(available) left; fetch the model again"
    case .tooLarge(let found, let most): "\(place): \(found) is more than the \(most) that are accepted"
    case .missing: "\(place): missing"
    case .duplicate: "\(place): appears twice"
    case .unexpected(let expected, let found): "\(place): expected \(expected), found \(found)"
    case .refused(let what): "\(place): \(what) is refused"
    case .invalid(let text): "\(place): \(text)"
    }
  }
}

/// Input that a model cannot take.
public enum ModelInputError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The cache is full.
  case contextFull(needed: Int, capacity: Int)
  case tokenOutOfRange(Int32, vocabulary: Int)
  case codeOutOfRange(Int32, frame: Int, layer: Int, codebook: Int)
  case shape(expected: String, found: String)
  case unknownLanguage(String, known: [String])
  case missingSpecialToken(String)
  /// A cache or head of another model.
  case foreign(String)
  case noMemory(bytes: Int)

  public var description: String {
    switch self {
    case .contextFull(let needed, let capacity): "\(needed) positions needed, the context holds \(capacity)"
    case .tokenOutOfRange(let token, let vocabulary): "token \(token) is outside the vocabulary of \(vocabulary)"
    case .codeOutOfRange(let code, let frame, let layer, let codebook):
      "code \(code) of layer \(layer) in frame \(frame) is outside the codebook of \(codebook)"
    case .shape(let expected, let found): "expected \(expected), found \(found)"
    case .unknownLanguage(let language, let known):
      "the model does not know the language '\(language)'; it knows \(known.joined(separator: " "))"
    case .missingSpecialToken(let token): "the tokenizer has no token \(token)"
    case .foreign(let what): "the \(what) was made for another model"
    case .noMemory(let bytes): "\(bytes >> 20) MB of memory cannot be had; ask for a smaller context"
    }
  }
}
