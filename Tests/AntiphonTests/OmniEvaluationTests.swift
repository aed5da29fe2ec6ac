import AntiphonBench
import Foundation
import Testing

/// Sets of questions as files, and what is counted of the answers.
@Suite struct QuestionSetTests {
  private static let question = """
    {"set": "a", "sound": "a/0.wav", "question": "How many?", "answer": "Two.", "topic": "pictures", "kind": "count",
     "voice": "x/y"}
    """

  /// A folder with this manifest, and a sound.
  private static func folder(_ manifest: String?) throws -> Scratch {
    let folder = try Scratch()
    let place = URL(fileURLWithPath: folder.path)
    try FileManager.default.createDirectory(at: place.appendingPathComponent("a"), withIntermediateDirectories: true)
    try Data().write(to: place.appendingPathComponent("a/0.wav"))
    if let manifest { try Data(manifest.utf8).write(to: place.appendingPathComponent("manifest.json")) }
    return folder
  }

  @Test func aManifestIsRead() throws {
    let folder = try Self.folder(#"{"version": 1, "sets": {"a": "of a kind"}, "questions": [\#(Self.question)]}"#)
    let set = try QuestionSet(folder: folder.path)
    #expect(set.about == ["a": "of a kind"])
    #expect(set.questions.map(\.answer) == ["Two."])
    #expect(set.questions[0].picture == nil)
  }

  @Test(arguments: [
    (nil, "manifest.json: it cannot be read; make the questions: tools/train/omni domain sets"),
    ("{", "manifest.json: it is not JSON; delete the folder and make it again"),
    (#"{"version": 1, "sets": {}}"#, "'questions' is missing"),
    (#"{"version": 2, "sets": {}, "questions": []}"#, "expected version 1, found 2"),
    (#"{"version": 1, "sets": {}, "questions": []}"#, "it holds no questions"),
    (#"{"version": 1, "sets": {}, "questions": [{"set": 3}]}"#, "questions[0].set: expected String"),
    (#"{"version": 1, "sets": {}, "questions": [QUESTION]}"#, "questions[0]: 'sets' does not tell of the set 'a'"),
    (#"{"version": 1, "sets": {"a": ""}, "questions": [PICTURE]}"#, "a/0.png: questions[0] of the manifest needs it"),
  ])
  func whatCannotBeReadIsTold(manifest: String?, expected: String) throws {
    let pictured = Self.question.replacing("\"question\"", with: "\"picture\": \"a/0.png\", \"question\"")
    let folder = try Self.folder(
      manifest?.replacing("QUESTION", with: Self.question).replacing("PICTURE", with: pictured))
    let error = #expect(throws: QuestionSetError.self) { try QuestionSet(folder: folder.path) }
    let description = try #require(error).description
    #expect(description.contains(expected), "\(description)")
  }
}

@Suite struct SpokenWordsTests {
  @Test(arguments: [
    ("Five plus three is eight.", "5 + 3 = 8"), ("Twenty minus one is nineteen.", " 20-1 is 19"),
    ("Ten times ten is one hundred.", "10 × 10 is 100"), ("It is twelve o'clock.", "It is 12:00."),
    ("It is quarter past two.", "it is quarter past 2"), ("Forty-two", "42"), ("Three hundred five", "305"),
    ("A bee has six legs.", "A bee has 6 legs"), ("Yes, there is a star.", "Yes there is a star"),
  ])
  func writtenAndSpokenFormsAgree(said: String, heard: String) {
    #expect(SpokenWords.words(of: said) == SpokenWords.words(of: heard))
    #expect(SpokenWords.agree(said, heard))
  }

  @Test(arguments: [
    ("There are two red circles.", "There are to red circles."), ("It is five.", "It is 4."), ("Yes.", ""),
    ("The star is red.", "The red star is."), ("A well-known star", "A well minus known star"),
  ])
  func whatIsSaidOtherwiseDoesNot(said: String, heard: String) {
    #expect(!SpokenWords.agree(said, heard))
  }

  @Test func longNumbersStayAsTheyAre() {
    #expect(SpokenWords.words(of: "1865") == ["1865"])
    #expect(SpokenWords.plain("Is it 7?") == "is it seven")
  }
}

@Suite struct OmniReportTests {
  private static func answer(
    _ condition: OmniCondition, _ wanted: String, _ text: String, heard: String, picture: Bool = false,
    other: String? = nil
  ) -> OmniAnswer {
    var answer = OmniAnswer(
      condition,
      QuestionSet.Question(
        set: "phrasings", sound: "q.wav", picture: picture ? "q.png" : nil, question: "what is it", answer: wanted,
        guess: picture ? "One." : nil, topic: picture ? "pictures" : "facts", kind: picture ? "count" : "facts",
        voice: "x/y"))
    answer.text = text
    answer.turns = 1
    answer.heard["whisper-base"] = heard
    answer.heard["Other"] = other
    (answer.firstAudio, answer.answered, answer.audio) = (0.08, 0.3, 1.5)
    return answer
  }

  private static func course(_ answers: [OmniAnswer]) -> OmniAnswers {
    var course = OmniAnswers(
      machine: "m", kernels: "k", graph: "g", settings: [], questions: "q", about: ["phrasings": "known voices"])
    course.answers = answers
    return course
  }

  private static func reached(_ measure: String, _ rows: [OmniReport.Row]) throws -> OmniReport.Row {
    try #require(rows.first { $0.measure.hasPrefix(measure) }, "\(rows.map(\.measure))")
  }

  @Test func rightAnswersAreCounted() throws {
    var transcript = Self.answer(.transcribed, "", "what is that", heard: "")
    transcript.heard = ["whisper-tiny.en": "What is it?"]
    let rows = OmniReport(
      Self.course([
        Self.answer(.asked, "Two.", "Two.", heard: "2", picture: true, other: "two"),
        Self.answer(.asked, "Two.", "Two.", heard: "to", picture: true, other: "two"),
        Self.answer(.asked, "One.", "Three.", heard: "Three", picture: true, other: "one"),
        Self.answer(.asked, "Paris.", "Paris", heard: "Paris.", other: ""),
        Self.answer(.hidden, "Two.", "One.", heard: "One.", picture: true),
        transcript,
      ])
    ).rows
    let judged = try Self.reached("spoken answer right, known voices; Whisper base", rows)
    // Wilson's interval of 2 of 4.
    #expect(judged.reached == "50.0 % (15.0 to 85.0), 2 of 4")
    #expect(judged.target == "at least 85 %: missed")
    #expect(try Self.reached("spoken answer right, known voices; Other", rows).reached.hasPrefix("75.0 %"))
    #expect(try Self.reached("written answer right", rows).reached.hasPrefix("75.0 %"))
    #expect(try Self.reached("of these about a picture", rows).reached.hasSuffix("1 of 3"))
    #expect(try Self.reached("picture questions with another's picture", rows).reached.hasSuffix("0 of 1"))
    #expect(try Self.reached("the same, always answered", rows).reached.hasSuffix("1 of 3"))
    #expect(try Self.reached("written and spoken answer agree; Whisper base", rows).reached.hasSuffix("3 of 4"))
    let written = rows.filter { $0.measure.hasPrefix("word error rate of questions written down") }
    #expect(written.map(\.reached) == ["33.3 % (33.3 to 33.3)", "0.0 % (0.0 to 0.0)"])
    #expect(try Self.reached("first audio", rows).target == "at most 300 ms: met")
    #expect(try Self.reached("real-time factor", rows).reached == "0.20, p95 0.20")
  }

  @Test func whatAnotherRecognizerHeardIsReadWithTheAnswers() throws {
    let folder = try Scratch()
    var answer = Self.answer(.asked, "Two.", "Two.", heard: "Two")
    answer.sound = "asked-00000.wav"
    let silent = Self.answer(.asked, "Two.", "Two.", heard: "")
    try Self.course([answer, silent]).write(to: folder.path)
    let heard = #"{"recognizer": "Sphinx", "heard": {"asked-00000.wav": "two"}}"#
    try Data(heard.utf8).write(to: URL(fileURLWithPath: "\(folder.path)/heard-sphinx.json"))
    let rows = OmniReport(try OmniAnswers(folder: folder.path)).rows
    #expect(try Self.reached("spoken answer right, known voices; Sphinx", rows).reached.hasSuffix("1 of 2"))
  }
}
