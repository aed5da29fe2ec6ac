/// Finds commands in what a recognizer wrote down of an utterance.
///
/// An utterance is a command when it consists of nothing else: of commands, said once or several times, and sounds of
/// hesitation. So neither `don't stop` nor `bus stop` nor `stopwatch` is one. English is compared by its sound, as
/// recognizers hear `stop on me` for `stop omni`; Chinese by its characters, those of the same sound and tone being one;
/// other languages by their letters.
public struct CommandMatcher: Sendable {
  /// What was found.
  public struct Match: Equatable, Sendable {
    /// The command as it was configured.
    public let command: String
    /// 1 for what is written as the command is, less the further it sounds from it; above 0.5.
    public let score: Float
  }

  /// A phrase that no utterance can be compared with.
  public struct PhraseError: Error, Equatable, CustomStringConvertible {
    public let phrase: String
    public let language: String
    public var description: String { "'\(phrase)' holds no word that is written in the language '\(language)'" }
  }

  private struct Command {
    let phrase: String
    let words: [String]
    let key: SoundKey?
  }

  private enum Script { case english, chinese, other }

  private let script: Script
  private let commands: [Command]

  private static let hesitations: Set<String> = ["uh", "um", "oh", "ah", "er", "hm", "hmm"]
  /// Share of a phrase's sounds by which it may differ, and the number of sounds from which on it may at all: short words
  /// have too many neighbours.
  private static let tolerance = 0.26
  private static let leastSounds = 6

  public init(_ set: CommandSet) throws(PhraseError) {
    let script: Script =
      switch set.language {
      case "en": .english
      case "zh", "yue": .chinese
      default: .other
      }
    var commands: [Command] = []
    for phrase in set.phrases {
      let words = Self.words(phrase, script)
      guard !words.isEmpty else { throw PhraseError(phrase: phrase, language: set.language) }
      commands.append(Command(phrase: phrase, words: words, key: script == .english ? SoundKey(words) : nil))
    }
    (self.script, self.commands) = (script, commands)
  }

  /// The command that the text is; nil if it is none, or more than one.
  public func match(_ text: String) -> Match? {
    var words = Self.words(text, script)
    words.removeAll(where: Self.hesitations.contains)
    // Nobody says that much at once; and what follows is quadratic.
    guard !words.isEmpty, words.count <= 16 else { return nil }
    return exact(words) ?? repeated(words) ?? exact(Self.once(words))
  }

  /// Recognizers that are at a loss go round in circles, in the middle of which they are cut off: the words of one round.
  private static func once(_ words: [String]) -> [String] {
    let count = (1..<max(2, words.count)).first { count in
      words.indices.dropFirst(count).allSatisfy { index in
        let word = words[index % count]
        return words[index] == word || index == words.count - 1 && word.hasPrefix(words[index])
      }
    }
    return Array(words.prefix(count ?? words.count))
  }

  /// The whole text as one command.
  private func exact(_ words: [String]) -> Match? {
    var best: Match?
    for command in commands {
      if words == command.words || script == .chinese && words.joined() == command.words.joined() {
        return Match(command: command.phrase, score: 1)
      }
      guard let key = command.key else { continue }
      let distance = SoundKey(words).distance(to: key) / Double(key.sounds.count)
      let limit = key.sounds.count >= Self.leastSounds ? Self.tolerance : 0
      let score = Float(1 - max(distance, 0.02) / (2 * Self.tolerance))
      if distance <= limit, score > (best?.score ?? 0) { best = Match(command: command.phrase, score: score) }
    }
    return best
  }

  /// The whole text as commands one after the other: the first of them, and what is least sure of all.
  private func repeated(_ words: [String]) -> Match? {
    if script == .chinese { return repeatedCharacters(Array(words.joined())) }
    var parts: [Match?] = [nil]
    for end in 1...words.count {
      var best: Match?
      for start in 0..<end where start == 0 || parts[start] != nil {
        guard let last = exact(Array(words[start..<end])) else { continue }
        let match = parts[start].map { Match(command: $0.command, score: min($0.score, last.score)) } ?? last
        if match.score > (best?.score ?? 0) { best = match }
      }
      parts.append(best)
    }
    return parts[words.count]
  }

  private func repeatedCharacters(_ text: [Character]) -> Match? {
    for command in commands {
      let phrase = Array(command.words.joined())
      if text.count >= phrase.count, text.indices.allSatisfy({ text[$0] == phrase[$0 % phrase.count] }) {
        return Match(command: command.phrase, score: 1)
      }
    }
    return nil
  }

  /// Lower-case words without marks; for Chinese, its characters.
  private static func words(_ text: String, _ script: Script) -> [String] {
    switch script {
    case .english:
      // `don't` is one word.
      let plain = text.lowercased().filter { $0 != "'" && $0 != "’" }
      return plain.split { !("a"..."z").contains($0) }.map(String.init)
    case .chinese:
      return text.compactMap { character in
        guard let scalar = character.unicodeScalars.first, scalar.properties.isIdeographic else { return nil }
        return String(homophones[character] ?? character)
      }
    case .other:
      return text.lowercased().split { !$0.isLetter }.map(String.init)
    }
  }

  /// Characters that sound like one of the default commands', tone included, or are its traditional form.
  private static let homophones: [Character: Character] = [
    "亭": "停", "婷": "停", "庭": "停", "廷": "停", "斷": "断", "段": "断", "緞": "断", "缎": "断", "夏": "下", "嚇": "下", "吓": "下",
    "換": "换", "個": "个", "箇": "个", "話": "话", "画": "话", "畫": "话", "題": "题", "提": "题",
  ]
}
