/// Cuts text into the pieces that byte-pair merges may not cross.
package enum PreTokenizer: Sendable {
  /// Contractions, runs of letters, of numbers and of other characters, each with at most one space before it; runs
  /// of white space leave their last character to what follows.
  case gpt2
  /// Every number character by itself, and the rest as in `gpt2`.
  case smollm
  /// Qwen2's: contractions in either case; letters with whatever single character stands before them; numbers one by
  /// one; other characters with at most one space before them and the line ends behind them; white space up to its last
  /// line end.
  case qwen2

  /// The regular expression by which `tokenizer.json` names the rules of ``qwen2``.
  static let qwen2Expression =
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

  private enum Kind: UInt8 {
    case letter, number, space, other
  }

  private static func kind(_ scalar: Unicode.Scalar) -> Kind {
    if scalar.isASCII {
      switch scalar.value {
      case 65...90, 97...122: return .letter
      case 48...57: return .number
      case 9...13, 32: return .space
      default: return .other
      }
    }
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: return .letter
    case .decimalNumber, .letterNumber, .otherNumber: return .number
    default: return scalar.properties.isWhitespace ? .space : .other
    }
  }

  /// Calls `body` with each piece's bytes, in order; together they are the text.
  package func forEachPiece(of text: some StringProtocol, _ body: (ArraySlice<UInt8>) -> Void) {
    var kinds: [Kind] = []
    var starts: [Int] = []
    let bytes = Array(text.utf8)
    var offset = 0
    for scalar in text.unicodeScalars {
      kinds.append(Self.kind(scalar))
      starts.append(offset)
      offset += UTF8.width(scalar)
    }
    starts.append(offset)
    func emit(_ range: Range<Int>) { body(bytes[starts[range.lowerBound]..<starts[range.upperBound]]) }

    if self == .qwen2 { return Self.splitQwen2(kinds, bytes, starts, emit) }
    var first = 0
    while first < kinds.count {
      if self == .smollm {
        if kinds[first] == .number {
          emit(first..<first + 1)
          first += 1
          continue
        }
        let last = kinds[first...].firstIndex(of: .number) ?? kinds.count
        Self.split(kinds, bytes, starts, first..<last, emit)
        first = last
      } else {
        Self.split(kinds, bytes, starts, first..<kinds.count, emit)
        first = kinds.count
      }
    }
  }

  /// The `gpt2` rules within `range`, as if nothing followed it.
  private static func split(
    _ kinds: [Kind], _ bytes: [UInt8], _ starts: [Int], _ range: Range<Int>, _ emit: (Range<Int>) -> Void
  ) {
    var first = range.lowerBound
    while first < range.upperBound {
      var last = first
      if let length = contraction(bytes[starts[first]..<starts[range.upperBound]]) {
        last = first + length
      } else if kinds[first] != .space
        || (bytes[starts[first]] == 32 && first + 1 < range.upperBound && kinds[first + 1] != .space)
      {
        last = kinds[first] == .space ? first + 1 : first
        let kind = kinds[last]
        while last < range.upperBound, kinds[last] == kind { last += 1 }
      } else {
        while last < range.upperBound, kinds[last] == .space { last += 1 }
        if last < range.upperBound, last - first > 1 { last -= 1 }
      }
      emit(first..<last)
      first = last
    }
  }

  /// The `qwen2` rules, tried in the order of the expression's alternatives.
  private static func splitQwen2(
    _ kinds: [Kind], _ bytes: [UInt8], _ starts: [Int], _ emit: (Range<Int>) -> Void
  ) {
    let count = kinds.count
    func isLineEnd(_ index: Int) -> Bool { bytes[starts[index]] == 10 || bytes[starts[index]] == 13 }
    func run(_ kind: Kind, from start: Int) -> Int {
      var end = start
      while end < count, kinds[end] == kind { end += 1 }
      return end
    }
    var first = 0
    while first < count {
      let last: Int
      if let length = contraction(bytes[starts[first]...], ignoringCase: true) {
        last = first + length
      } else if kinds[first] == .letter {
        last = run(.letter, from: first)
      } else if kinds[first] != .number, !isLineEnd(first), first + 1 < count, kinds[first + 1] == .letter {
        last = run(.letter, from: first + 1)
      } else if kinds[first] == .number {
        last = first + 1
      } else if kinds[first] == .other
        || (bytes[starts[first]] == 32 && first + 1 < count && kinds[first + 1] == .other)
      {
        var end = run(.other, from: kinds[first] == .other ? first : first + 1)
        while end < count, isLineEnd(end) { end += 1 }
        last = end
      } else {
        let end = run(.space, from: first)
        if let lineEnd = (first..<end).last(where: isLineEnd) {
          last = lineEnd + 1
        } else {
          last = end < count && end - first > 1 ? end - 1 : end
        }
      }
      emit(first..<last)
      first = last
    }
  }

  /// The length of 's 't 're 've 'm 'll 'd at the start of the text.
  private static func contraction(_ text: ArraySlice<UInt8>, ignoringCase: Bool = false) -> Int? {
    guard text.first == UInt8(ascii: "'"), text.count > 1 else { return nil }
    func letter(_ offset: Int) -> UInt8 {
      let byte = text[text.startIndex + offset]
      return ignoringCase && (65...90).contains(byte) ? byte | 0x20 : byte
    }
    let second = letter(1)
    if "stmd".utf8.contains(second) { return 2 }
    guard text.count > 2 else { return nil }
    let third = letter(2)
    let pairs: [StaticString] = ["re", "ve", "ll"]
    return pairs.contains { $0.utf8Start[0] == second && $0.utf8Start[1] == third } ? 3 : nil
  }
}
