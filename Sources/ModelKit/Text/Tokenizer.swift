internal import Foundation

/// What to do with the text of special tokens, such as `<|im_end|>`, inside a text.
public enum SpecialHandling: Sendable {
  /// It is text like any other. For everything that users and other models write.
  case asText
  /// It becomes the special token. For prompts that the program itself writes.
  case parse
}

/// Byte-level byte-pair encoding: text to tokens and back.
///
/// Bytes that the vocabulary has no token for (in SmolLM2's some control characters, and bytes that occur in no
/// UTF-8) are left out, as the reference implementations do.
public final class Tokenizer: Sendable {
  /// Tokens, the special ones included.
  public let vocabularySize: Int

  /// All tokens' bytes one after the other; token t's are `bytes[starts[t]..<starts[t + 1]]`.
  private let bytes: [UInt8]
  private let starts: [Int]
  private let pairs: BytePairs
  private let preTokenizer: PreTokenizer
  /// Whether text is brought into Unicode's composed form (NFC) first.
  private let composes: Bool
  private let addedTokens: [String: Int32]
  private let special: Set<Int32>
  /// By first byte, longest first: the added tokens that a text is searched for.
  private let searched: [UInt8: [(text: [UInt8], token: Int32)]]

  /// A token that is not made by merges.
  package struct Added: Sendable {
    package var text: String
    package var token: Int32
    /// Control tokens are not shown when tokens become text.
    package var isSpecial: Bool

    package init(text: String, token: Int32, isSpecial: Bool) {
      (self.text, self.token, self.isSpecial) = (text, token, isSpecial)
    }
  }

  /// - Parameters:
  ///   - vocabulary: tokens in the byte alphabet, by id; nil where there is none or it is an added one.
  ///   - merges: pairs in the byte alphabet, the first to be merged first.
  package init(
    vocabulary: [String?], merges: [(left: String, right: String)], added: [Added], preTokenizer: PreTokenizer,
    composes: Bool = false, file: String, checkCancelled: CancellationCheck = {}
  ) throws {
    let size = max(vocabulary.count, (added.map { Int($0.token) }.max() ?? -1) + 1)
    var addedText: [Int32: [UInt8]] = [:]
    for token in added { addedText[token.token] = Array(token.text.utf8) }

    var bytes: [UInt8] = []
    var starts = [0]
    var tokens: [[UInt8]: Int32] = [:]
    for id in 0..<size {
      if id % 4096 == 0 { try checkCancelled() }
      if let text = addedText[Int32(id)] {
        bytes.append(contentsOf: text)
      } else if id < vocabulary.count, let text = vocabulary[id] {
        guard let piece = ByteAlphabet.bytes(of: text) else {
          throw ModelError(file: file, part: "token \(id)", .invalid("'\(text)' is not in the byte alphabet"))
        }
        guard tokens.updateValue(Int32(id), forKey: piece) == nil else {
          throw ModelError(file: file, part: "token \(id)", .duplicate)
        }
        bytes.append(contentsOf: piece)
      }
      starts.append(bytes.count)
    }

    var rules: [UInt64: BytePairs.Merge] = [:]
    rules.reserveCapacity(merges.count)
    for (rank, merge) in merges.enumerated() {
      if rank % 4096 == 0 { try checkCancelled() }
      guard let left = ByteAlphabet.bytes(of: merge.left), let right = ByteAlphabet.bytes(of: merge.right),
        let leftToken = tokens[left], let rightToken = tokens[right], let token = tokens[left + right]
      else {
        throw ModelError(
          file: file, part: "merge \(rank)", .invalid("'\(merge.left) \(merge.right)' is not in the vocabulary"))
      }
      // The first rule for a pair wins.
      let key = BytePairs.key(leftToken, rightToken)
      if rules[key] == nil { rules[key] = .init(rank: Int32(rank), token: token) }
    }

    var searched: [UInt8: [(text: [UInt8], token: Int32)]] = [:]
    for token in added {
      let text = Array(token.text.utf8)
      guard let first = text.first else {
        throw ModelError(file: file, part: "token \(token.token)", .invalid("an added token without text"))
      }
      searched[first, default: []].append((text, token.token))
    }
    for key in searched.keys { searched[key]?.sort { $0.text.count > $1.text.count } }

    vocabularySize = size
    self.composes = composes
    (self.bytes, self.starts, self.searched, self.preTokenizer) = (bytes, starts, searched, preTokenizer)
    pairs = BytePairs(merges: rules, byteTokens: (0..<256).map { tokens[[UInt8($0)]] ?? -1 })
    addedTokens = Dictionary(added.map { ($0.text, $0.token) }) { first, _ in first }
    special = Set(added.filter(\.isSpecial).map(\.token))
  }

  /// The token of a special or other added text, such as `<|im_end|>`.
  public func token(named text: String) -> Int32? { addedTokens[text] }

  /// Whether the token is a control token, which has no text to show.
  public func isSpecial(_ token: Int32) -> Bool { special.contains(token) }

  public func encode(_ text: String, specials: SpecialHandling = .asText) -> [Int32] {
    var tokens: [Int32] = []
    guard specials == .parse, !searched.isEmpty else {
      encodePlain(text, into: &tokens)
      return tokens
    }
    let utf8 = Array(text.utf8)
    var plain = 0
    var index = 0
    func flush(_ end: Int) {
      guard plain < end else { return }
      encodePlain(String(decoding: utf8[plain..<end], as: UTF8.self), into: &tokens)
    }
    while index < utf8.count {
      if let match = searched[utf8[index]]?.first(where: { utf8[index...].starts(with: $0.text) }) {
        flush(index)
        tokens.append(match.token)
        index += match.text.count
        plain = index
      } else {
        index += 1
      }
    }
    flush(utf8.count)
    return tokens
  }

  /// Encodes text without special tokens.
  private func encodePlain(_ text: String, into tokens: inout [Int32]) {
    let text = composes ? text.precomposedStringWithCanonicalMapping : text
    preTokenizer.forEachPiece(of: text) { pairs.encode($0, into: &tokens) }
  }

  /// The tokens' text; malformed UTF-8 becomes U+FFFD, tokens outside the vocabulary nothing.
  public func decode(_ tokens: some Sequence<Int32>, skippingSpecials: Bool = true) -> String {
    var all: [UInt8] = []
    for token in tokens where !(skippingSpecials && isSpecial(token)) { all.append(contentsOf: bytes(of: token)) }
    return String(decoding: all, as: UTF8.self)
  }

  /// The bytes that one token stands for; they may be part of a character.
  public func bytes(of token: Int32) -> ArraySlice<UInt8> {
    guard (0..<Int32(clamping: vocabularySize)).contains(token) else { return [] }
    return bytes[starts[Int(token)]..<starts[Int(token) + 1]]
  }
}

/// The byte-level vocabularies' spelling of bytes as printable characters: a byte that Latin-1 prints stands for
/// itself, the others for the characters from U+0100 on, in order.
enum ByteAlphabet {
  private static let byteOfScalar: [Int16] = {
    var table = [Int16](repeating: -1, count: 0x144)
    var extra = 0x100
    for byte in 0..<256 {
      switch byte {
      case 33...126, 161...172, 174...255: table[byte] = Int16(byte)
      default:
        table[extra] = Int16(byte)
        extra += 1
      }
    }
    return table
  }()

  /// Nil when the text holds other characters.
  static func bytes(of text: String) -> [UInt8]? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count)
    for scalar in text.unicodeScalars {
      guard scalar.value < byteOfScalar.count, byteOfScalar[Int(scalar.value)] >= 0 else { return nil }
      bytes.append(UInt8(byteOfScalar[Int(scalar.value)]))
    }
    return bytes
  }
}
