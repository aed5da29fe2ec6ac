/// The spellings of names in graph files.
enum Names {
  /// Node ids, parts and kinds: lowercase words joined by hyphens.
  static let idRule = "lowercase letters, digits and hyphens, beginning with a letter"
  /// Ports and parameters also allow capitals and underscores.
  static let wordRule = "letters, digits, hyphens and underscores, beginning with a letter"

  static func isID(_ text: String) -> Bool {
    isSpelled(text) { isLower($0) || isDigit($0) || $0 == 0x2D } && text.utf8.first.map(isLower) == true
  }

  static func isWord(_ text: String) -> Bool {
    isSpelled(text) { isLower($0 | 0x20) || isDigit($0) || $0 == 0x2D || $0 == 0x5F }
      && text.utf8.first.map { isLower($0 | 0x20) } == true
  }

  /// A node's id after expansion: ids joined by '/'.
  static func isPath(_ text: String) -> Bool {
    text.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { isID(String($0)) }
  }

  private static func isSpelled(_ text: String, _ isAllowed: (UInt8) -> Bool) -> Bool {
    !text.isEmpty && text.utf8.count <= 128 && text.utf8.allSatisfy(isAllowed)
  }

  private static func isLower(_ byte: UInt8) -> Bool { byte >= 0x61 && byte <= 0x7A }
  private static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }
}
