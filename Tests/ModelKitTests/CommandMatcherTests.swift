import ModelKit
import Testing

@Suite struct CommandMatcherTests {
  private func matcher(_ language: String, _ phrases: [String]? = nil) throws -> CommandMatcher {
    try CommandMatcher(
      CommandSet(language: language, phrases: phrases ?? CommandSet.defaults[language] ?? []))
  }

  @Test(arguments: [
    ("Stop.", "stop"), ("stop!", "stop"), ("Wait...", "wait"), ("Weight", "wait"), ("Stop Omni", "stop omni"),
    ("Stop, Omni!", "stop omni"), ("Stop on me.", "stop omni"), ("Stop on the...", "stop omni"),
    ("Stop only.", "stop omni"), ("Stop, omnie", "stop omni"), ("Stop, stop, stop!", "stop"), ("Um, wait", "wait"),
    ("Stop. Wait.", "stop"), ("Stop our me", "stop omni"),
    ("step on me step on me step on", "stop omni"), ("Wait, wait, wa", "wait"), ("Stop omni. Stop!", "stop omni"),
  ])
  func whatSoundsLikeACommandIsOne(text: String, command: String) throws {
    let match = try matcher("en").match(text)
    #expect(match?.command == command)
    #expect((match?.score ?? 0) >= 0.5 && (match?.score ?? 2) <= 1)
  }

  @Test(arguments: [
    "", "...", "Don't stop.", "Bus stop", "Stopwatch", "Stop watch.", "The omni", "Omni", "What?", "White", "Wet",
    "Step",
    "Stopped", "Stop it now", "Stop it", "Stop in", "Stop watch stop watch stop wat", "Don stop, Don stop, Don",
    "best stop", "I will wait", "Wait a minute", "Please do not stop on me", "Top", "Shop", "Non-stop",
    "Stop the car over there", "stop wait what", "you", "Thank you.", "Stop " + String(repeating: "and go ", count: 50),
  ])
  func whatOnlyContainsACommandIsNone(text: String) throws {
    #expect(try matcher("en").match(text) == nil)
  }

  @Test func whatIsWrittenAsTheCommandIsSurest() throws {
    let matcher = try matcher("en")
    let scores = ["Stop Omni", "Stop on me", "Stop our me"].map { matcher.match($0)?.score ?? 0 }
    #expect(scores[0] == 1)
    #expect(scores[0] > scores[1] && scores[1] > scores[2])
  }

  @Test(arguments: [
    ("停", "停"), ("停！", "停"), ("停停停", "停"), ("打断一下。", "打断一下"), ("打斷一下", "打断一下"), ("换个话题吧", nil), ("換個話題", "换个话题"),
    ("亭", "停"), ("不要停", nil), ("停车", nil), ("一下", nil), ("Stop", nil), ("", nil),
  ])
  func chineseIsComparedByItsCharacters(text: String, command: String?) throws {
    #expect(try matcher("zh").match(text)?.command == command)
  }

  @Test func otherLanguagesAreComparedByTheirLetters() throws {
    let german = try matcher("de", ["Halt", "hör auf"])
    #expect(german.match("Hör auf!")?.command == "hör auf")
    #expect(german.match("halt")?.command == "Halt")
    #expect(german.match("Halt mal") == nil)
  }

  @Test func phrasesThatTheLanguageCannotWriteAreRefused() {
    for (language, phrase) in [("en", "停"), ("en", "?!"), ("zh", "stop"), ("de", "1")] {
      let error = #expect(throws: CommandMatcher.PhraseError.self) { _ = try matcher(language, [phrase]) }
      #expect(error?.phrase == phrase)
    }
  }
}
