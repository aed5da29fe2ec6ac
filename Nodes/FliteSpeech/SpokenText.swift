/// Makes written text speakable: printable ASCII without marks that would be read out.
package enum SpokenText {
  /// Drops markdown and emoji, writes out a few symbols, reduces letters to ASCII.
  package static func normalized(_ text: String) -> String {
    var spoken = ""
    for line in text.split(whereSeparator: \.isNewline) {
      let words = plain(withoutLinks(withoutListMark(line))).split(separator: " ").joined(separator: " ")
      if words.isEmpty { continue }
      if !spoken.isEmpty { spoken += " " }
      spoken += words
    }
    return spoken
  }

  /// Without what marks a heading, a quotation or an item at the start of a line.
  private static func withoutListMark(_ line: Substring) -> Substring {
    let text = line.drop { $0 == " " || $0 == "\t" }
    let rest = text.drop { "#>-*+•".contains($0) }
    return rest.first == " " || rest.isEmpty ? rest : text
  }

  /// `[text](address)` becomes `text`.
  private static func withoutLinks(_ line: Substring) -> String {
    var result = ""
    var rest = line
    while let open = rest.firstIndex(of: "["), let middle = rest[open...].firstRange(of: "]("),
      let close = rest[middle.upperBound...].firstIndex(of: ")")
    {
      result += rest[..<open] + rest[rest.index(after: open)..<middle.lowerBound]
      rest = rest[rest.index(after: close)...]
    }
    return result + rest
  }

  private static func plain(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "*", "`", "~", "|", "\\", "^", "{", "}", "<", ">": break
      case "_", "\t", "\u{a0}": result += " "
      case " "..."~": result.unicodeScalars.append(scalar)
      default: result += written[scalar] ?? letters[scalar] ?? ""
      }
    }
    return result
  }

  private static let written: [Unicode.Scalar: String] = [
    "‘": "'", "’": "'", "“": "\"", "”": "\"", "–": ", ", "—": ", ", "…": "...", "°": " degrees ", "€": " euros ",
    "£": " pounds ", "×": " times ", "÷": " divided by ", "½": " one half ", "±": " plus or minus ",
  ]

  private static let letters: [Unicode.Scalar: String] = {
    let groups: [(String, String)] = [
      ("àáâãåāăą", "a"), ("äæ", "ae"), ("çćč", "c"), ("ďđð", "d"), ("èéêëēėęě", "e"), ("ğ", "g"), ("ìíîïīı", "i"),
      ("ł", "l"), ("ñńň", "n"), ("òóôõøōő", "o"), ("öœ", "oe"), ("ř", "r"), ("śšşș", "s"), ("ß", "ss"), ("ťțţ", "t"),
      ("ùúûūůű", "u"), ("ü", "ue"), ("ýÿ", "y"), ("źżž", "z"), ("þ", "th"),
    ]
    var table: [Unicode.Scalar: String] = [:]
    for (variants, letter) in groups {
      for scalar in variants.unicodeScalars {
        table[scalar] = letter
        for upper in String(Character(scalar)).uppercased().unicodeScalars where upper != scalar && upper.value > 127 {
          table[upper] = letter.uppercased()
        }
      }
    }
    return table
  }()
}
