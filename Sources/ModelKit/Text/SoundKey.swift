/// How an English phrase sounds, roughly: what a recognizer may write differently and a listener would not tell apart has
/// keys that are close.
///
/// A key is a row of sounds without the spaces between words: `stop omni` and `stop on me` are almost one. The rules are
/// this project's own and few; they serve to compare short phrases, not to speak them.
struct SoundKey: Equatable {
  /// A consonant or vowel, as a capital letter: voiced and unvoiced ones apart, vowels in seven classes.
  let sounds: [UInt8]

  /// - Parameter words: lower-case letters.
  init(_ words: [String]) {
    var sounds: [UInt8] = []
    for word in words { sounds += Self.sounds(of: Array(word.utf8)) }
    var key: [UInt8] = []
    // A doubled sound is heard once, within a word and between two.
    for sound in sounds where key.last != sound { key.append(sound) }
    self.sounds = key
  }

  /// Spellings, the longest first; capitals are sounds. Y is the vowel of `my`, O that of `go`, E that of `day`, and 3 that
  /// of `the`.
  private static let spellings: [(String, String)] = [
    ("eigh", "E"), ("ough", "O"), ("augh", "A"), ("tion", "S3N"), ("igh", "Y"), ("tch", "C"), ("dge", "J"),
    ("ai", "E"), ("ay", "E"), ("ei", "E"), ("ey", "E"), ("ee", "I"), ("ea", "I"), ("ie", "I"), ("oo", "U"), ("ou", "O"),
    ("ow", "O"), ("oa", "O"), ("ew", "U"), ("au", "A"), ("aw", "A"), ("ah", "A"), ("oh", "O"), ("ph", "F"), ("th", "0"),
    ("sh", "S"), ("ch", "C"), ("ck", "K"), ("wh", "W"), ("kn", "N"), ("wr", "R"), ("qu", "KW"), ("gh", ""), ("ng", "N"),
    ("mb", "M"), ("a", "A"), ("o", "A"), ("e", "3"), ("i", "I"), ("u", "3"), ("b", "B"), ("c", "K"), ("d", "D"),
    ("f", "F"),
    ("g", "G"), ("h", "H"), ("j", "J"), ("k", "K"), ("l", "L"), ("m", "M"), ("n", "N"), ("p", "P"), ("q", "K"),
    ("r", "R"),
    ("s", "S"), ("t", "T"), ("v", "V"), ("w", "W"), ("x", "KS"), ("y", "I"), ("z", "Z"),
  ].map { ($0.0, $0.1) }

  private static func isVowel(_ letter: UInt8) -> Bool { "aeiou".utf8.contains(letter) }

  private static func sounds(of word: [UInt8]) -> [UInt8] {
    var sounds: [UInt8] = []
    var place = 0
    while place < word.count {
      // A vowel, one consonant and a silent e: the vowel says its name.
      if place + 3 == word.count, word[place + 2] == UInt8(ascii: "e"), !isVowel(word[place + 1]),
        let long = longVowel(word[place])
      {
        sounds.append(long)
        sounds += self.sounds(of: [word[place + 1]])
        break
      }
      // `me`, `go`, `my`.
      if place > 0, place + 1 == word.count, !word[..<place].contains(where: isVowel), let long = longVowel(word[place])
      {
        sounds.append(long)
        break
      }
      let rest = word[place...]
      guard let (letters, sound) = spellings.first(where: { rest.starts(with: $0.0.utf8) }) else {
        place += 1
        continue
      }
      sounds += sound.utf8
      place += letters.utf8.count
    }
    return sounds
  }

  private static func longVowel(_ letter: UInt8) -> UInt8? {
    switch letter {
    case UInt8(ascii: "a"): UInt8(ascii: "E")
    case UInt8(ascii: "e"): UInt8(ascii: "I")
    case UInt8(ascii: "i"), UInt8(ascii: "y"): UInt8(ascii: "Y")
    case UInt8(ascii: "o"): UInt8(ascii: "O")
    case UInt8(ascii: "u"): UInt8(ascii: "U")
    default: nil
    }
  }

  // MARK: Distance

  /// Where and how a consonant is made; what is made alike is misheard for one another.
  private struct Consonant {
    let place: UInt8
    let manner: UInt8
    let isVoiced: Bool
  }

  /// Lips, teeth and gums, palate; stops, nasals, fricatives, glides and liquids.
  private static let consonants: [UInt8: Consonant] = {
    let table: [(String, UInt8, UInt8, Bool)] = [
      ("P", 0, 0, false), ("B", 0, 0, true), ("M", 0, 1, true), ("F", 0, 2, false), ("V", 0, 2, true),
      ("W", 0, 3, true),
      ("T", 1, 0, false), ("D", 1, 0, true), ("N", 1, 1, true), ("S", 1, 2, false), ("Z", 1, 2, true),
      ("0", 1, 2, true),
      ("L", 1, 3, true), ("R", 1, 3, true), ("K", 2, 0, false), ("G", 2, 0, true), ("C", 2, 2, false),
      ("J", 2, 2, true),
    ]
    var consonants: [UInt8: Consonant] = [:]
    for (letter, place, manner, isVoiced) in table {
      for byte in letter.utf8 { consonants[byte] = Consonant(place: place, manner: manner, isVoiced: isVoiced) }
    }
    return consonants
  }()
  private static let vowels = Array("AEIOUY3".utf8)

  /// How far two keys are apart: the cheapest edits that make one of the other. To leave out or add a consonant costs 1, a
  /// vowel 0.75, an h 0.5; to take one vowel for another 0.5, one consonant for another from 0.25, as p and b, to 1.25.
  func distance(to other: SoundKey) -> Double {
    var row = [0.0]
    for sound in other.sounds { row.append((row.last ?? 0) + Self.cost(sound)) }
    for sound in sounds {
      var next = [row[0] + Self.cost(sound)]
      for (index, target) in other.sounds.enumerated() {
        next.append(
          min(
            row[index] + Self.cost(sound, target), row[index + 1] + Self.cost(sound), next[index] + Self.cost(target)))
      }
      row = next
    }
    return row.last ?? 0
  }

  private static func cost(_ sound: UInt8) -> Double {
    vowels.contains(sound) ? 0.75 : sound == UInt8(ascii: "H") ? 0.5 : 1
  }

  private static func cost(_ a: UInt8, _ b: UInt8) -> Double {
    if a == b { return 0 }
    if vowels.contains(a), vowels.contains(b) { return 0.5 }
    guard let a = consonants[a], let b = consonants[b] else { return cost(a) + cost(b) }
    let cost = (a.place == b.place ? 0 : 0.5) + (a.manner == b.manner ? 0 : 0.5) + (a.isVoiced == b.isVoiced ? 0 : 0.25)
    // Sounds of one kind, such as l and r, or s and th.
    return max(cost, 0.25)
  }
}
