/// When the pieces of a spoken answer's text are heard.
///
/// Mini-Omni2 writes its text ahead of its speech, several times as fast, and nothing in its tokens says which frame a word
/// belongs to. The rule is that every character takes equally long: the text up to character c of C is heard by the time
/// c / C of the speech. While the answer is being made and its length is not known, a character is taken to last
/// ``secondsPerCharacter``. `docs/mini-omni2.md` says how far off that is.
public struct TextAlignment: Sendable {
  /// What a character of speech lasts on average, spaces counted: about 15 a second in English.
  public static let secondsPerCharacter = 1 / 15.0

  public struct Piece: Sendable, Equatable {
    public var text: String
    /// Seconds of the speech by which it has been heard.
    public var end: Double
  }

  private var pieces: [String] = []
  private var characters = 0

  public init() {}

  /// Adds a piece of text as it is written.
  ///
  /// - Returns: the piece, and when it will have been heard as far as can be told now.
  public mutating func append(_ text: String) -> Piece {
    pieces.append(text)
    characters += text.count
    return Piece(text: text, end: Double(characters) * Self.secondsPerCharacter)
  }

  /// All pieces once the answer is complete.
  ///
  /// - Parameter duration: seconds of its speech.
  public func completed(duration: Double) -> [Piece] {
    var heard = 0
    return pieces.map { piece in
      heard += piece.count
      return Piece(text: piece, end: duration * Double(heard) / Double(max(1, characters)))
    }
  }
}
