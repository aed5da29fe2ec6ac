import FliteSpeech
import Testing

@Suite struct SentenceSplitterTests {
  /// The sentences of a text that comes in pieces, and what is left at its end.
  private func sentences(_ pieces: [String]) -> [String] {
    var splitter = SentenceSplitter()
    var all = pieces.flatMap { splitter.append($0) }
    if let rest = splitter.finish() { all.append(rest) }
    return all.map { $0.split(separator: " ").joined(separator: " ") }
  }

  @Test func aSentenceIsOutAsSoonAsItsEndIsSure() {
    var splitter = SentenceSplitter()
    #expect(splitter.append("It is Par").isEmpty)
    #expect(splitter.append("is.").isEmpty)
    #expect(splitter.append(" It") == ["It is Paris."])
    #expect(splitter.finish() == " It")
    #expect(splitter.finish() == nil)
  }

  @Test func thePiecesDoNotMatter() {
    let text = "Hello there! How are you? \"Fine.\" Pi is 3.14, e.g. in Dr. Smith's book. Bye"
    let whole = sentences([text])
    #expect(
      whole == ["Hello there!", "How are you?", "\"Fine.\"", "Pi is 3.14, e.g. in Dr. Smith's book.", "Bye"])
    #expect(sentences(text.map { String($0) }) == whole)
  }

  @Test func linesAndListsAreSentences() {
    #expect(
      sentences(["First\nsecond\n\n1. One\n2. Two"]).map { $0.filter { !$0.isNewline } } == [
        "First", "second", "1. One", "2. Two",
      ])
  }

  @Test func aTextWithoutEndIsSpokenInParts() {
    let parts = sentences([String(repeating: "word ", count: 200)])
    #expect(parts.count > 2)
    #expect(parts.allSatisfy { $0.count < 320 })
  }

  @Test func nothingIsNothing() {
    #expect(sentences([""]).isEmpty)
    #expect(sentences([" ", "\n"]).isEmpty)
  }
}

@Suite struct SpokenTextTests {
  @Test(arguments: [
    ("**Paris** is the _capital_.", "Paris is the capital ."),
    ("# A heading\n- one\n* two", "A heading one two"),
    ("See [the page](https://example.org/a).", "See the page."),
    ("Great 😀👍🏽!", "Great !"),
    ("“Smart” – it’s 20 °C…", "\"Smart\" , it's 20 degrees C..."),
    ("Café, Zürich, Łódź, Ñandú, ÆSIR", "Cafe, Zuerich, Lodz, Nandu, AESIR"),
    ("`let x = 1`", "let x = 1"),
    ("-5 degrees", "-5 degrees"),
    ("你好", ""),
    ("", ""),
  ]) func whatIsWrittenIsMadeSpeakable(written: String, spoken: String) {
    #expect(SpokenText.normalized(written) == spoken)
  }

  @Test func onlyPrintableAsciiIsLeft() {
    let everything = String(String.UnicodeScalarView((0..<0x3000).compactMap(Unicode.Scalar.init)))
    #expect(SpokenText.normalized(everything).utf8.allSatisfy { (32...126).contains($0) })
  }
}
