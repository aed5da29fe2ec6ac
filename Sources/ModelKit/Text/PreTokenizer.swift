/// Cuts text into the pieces that byte-pair merges may not cross.
package enum PreTokenizer: Sendable {
  /// Contractions, runs of letters, of numbers and of other characters, each with at most one space before it; runs
  /// of white space leave their last character to what follows.
  case gpt2
  /// Every number character by itself, and the rest as in `gpt2`.
  case smollm

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

  /// The length of 's 't 're 've 'm 'll 'd at the start of the text.
  private static func contraction(_ text: ArraySlice<UInt8>) -> Int? {
    guard text.first == UInt8(ascii: "'"), text.count > 1 else { return nil }
    let second = text[text.startIndex + 1]
    if "stmd".utf8.contains(second) { return 2 }
    guard text.count > 2 else { return nil }
    let third = text[text.startIndex + 2]
    let pairs: [StaticString] = ["re", "ve", "ll"]
    return pairs.contains { $0.utf8Start[0] == second && $0.utf8Start[1] == third } ? 3 : nil
  }
}
