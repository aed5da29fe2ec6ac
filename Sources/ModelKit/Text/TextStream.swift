/// Turns tokens into text one by one. Tokens may end inside a character; its bytes wait for the rest, so that every
/// piece is whole UTF-8 and all pieces together equal the text of all tokens.
///
/// ```swift
/// var stream = TextStream(tokenizer)
/// for token in tokens { show(stream.append(token)) }
/// show(stream.finish())
/// ```
public struct TextStream {
  private let tokenizer: Tokenizer
  private var waiting: [UInt8] = []

  public init(_ tokenizer: Tokenizer) { self.tokenizer = tokenizer }

  /// The text that the token completes; empty inside a character and for special tokens.
  public mutating func append(_ token: Int32) -> String {
    guard !tokenizer.isSpecial(token) else { return "" }
    waiting.append(contentsOf: tokenizer.bytes(of: token))
    let ready = waiting.count - Self.unfinished(waiting)
    guard ready > 0 else { return "" }
    let text = String(decoding: waiting[..<ready], as: UTF8.self)
    waiting.removeFirst(ready)
    return text
  }

  /// What is left: an unfinished character becomes U+FFFD.
  public mutating func finish() -> String {
    defer { waiting.removeAll() }
    return String(decoding: waiting, as: UTF8.self)
  }

  /// How many bytes at the end are the beginning of a character that more bytes could complete.
  private static func unfinished(_ bytes: [UInt8]) -> Int {
    for length in 1...3 where length <= bytes.count {
      let lead = bytes[bytes.count - length]
      guard lead & 0xc0 != 0x80 else { continue }
      let needed = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2
      guard (0xc2...0xf4).contains(lead), length < needed else { return 0 }
      if length == 1 { return 1 }
      let second = bytes[bytes.count - length + 1]
      // These leads allow a part of the second bytes only: no overlong forms, surrogates, or scalars past U+10FFFF.
      let isPossible =
        switch lead {
        case 0xe0: second >= 0xa0
        case 0xed: second < 0xa0
        case 0xf0: second >= 0x90
        case 0xf4: second < 0x90
        default: true
        }
      return isPossible ? length : 0
    }
    return 0
  }
}
