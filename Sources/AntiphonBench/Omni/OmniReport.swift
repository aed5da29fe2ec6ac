import Foundation

/// What was answered right, in tables.
package struct OmniReport: Sendable {
  package struct Row: Codable, Sendable {
    package var measure: String
    package var reached: String
    package var target: String
    /// What is reached as a number, percent, milliseconds or megabytes, and its interval.
    package var value: Double?
    package var interval: [Double]?
  }

  /// Topics, or kinds of question, against sets.
  struct Grid: Codable, Sendable {
    var title: String
    var columns: [String]
    var rows: [[String]]
  }

  private let course: OmniAnswers
  /// The sets in the order of their questions.
  private let sets: [String]
  private let recognizers: [String]
  package private(set) var rows: [Row] = []
  private(set) var grids: [Grid] = []

  package init(_ course: OmniAnswers) {
    self.course = course
    sets = course.answers.reduce(into: []) { if !$0.contains($1.question.set) { $0.append($1.question.set) } }
    let others = Set(course.answers.filter { $0.condition == .asked }.flatMap(\.heard.keys))
      .subtracting([course.judge])
    recognizers = [course.judge] + others.sorted()
    for set in sets { addRight(set) }
    addControls()
    addAgreement()
    addTranscripts()
    addTimes()
    for recognizer in [nil, course.judge] { addGrid(recognizer) }
    addRecordings()
  }

  // MARK: Measures

  /// What a set has to reach, in percent.
  private static let targets = ["phrasings": 85.0, "engine": 70.0]

  private func answers(_ condition: OmniCondition, in set: String? = nil) -> [OmniAnswer] {
    course.answers.filter { $0.condition == condition && (set == nil || $0.question.set == set) }
  }

  /// A name in the tables: recognizers other than Whisper bring their own.
  private static func title(_ recognizer: String) -> String {
    recognizer.hasPrefix("whisper-") ? "Whisper " + recognizer.dropFirst("whisper-".count) : recognizer
  }

  private static func isRight(_ answer: OmniAnswer, _ recognizer: String?) -> Bool {
    let said = recognizer.map { answer.heard[$0] ?? "" } ?? answer.text
    return SpokenWords.agree(said, answer.question.answer)
  }

  private func right(_ answers: [OmniAnswer], by recognizer: String?) -> Share {
    Share(answers) { Self.isRight($0, recognizer) }
  }

  private mutating func add(_ measure: String, _ share: Share, atLeast target: Double? = nil) {
    guard share.count > 0 else { return }
    let goal = target.map { String(format: "at least %.0f %%: ", $0) + (share.percent >= $0 ? "met" : "missed") }
    rows.append(
      Row(
        measure: measure, reached: share.description, target: goal ?? "reported", value: share.percent,
        interval: share.interval))
  }

  private mutating func add(_ measure: String, _ words: WordShare) {
    rows.append(
      Row(
        measure: measure, reached: words.description, target: "reported", value: words.percent,
        interval: words.interval))
  }

  private mutating func addRight(_ set: String) {
    let asked = answers(.asked, in: set)
    let about = course.about[set] ?? set
    for recognizer in recognizers {
      add(
        "spoken answer right, \(about); \(Self.title(recognizer))", right(asked, by: recognizer),
        atLeast: Self.targets[set])
    }
    add("written answer right, \(about)", right(asked, by: nil))
    for (name, isAbout) in [("about a picture", true), ("not about a picture", false)] {
      let part = asked.filter { ($0.question.picture != nil) == isAbout }
      add("of these \(name); \(Self.title(course.judge))", right(part, by: course.judge))
    }
  }

  /// What is right though the model could not see or hear what it was asked about.
  private mutating func addControls() {
    guard let set = sets.first else { return }
    let pictures = answers(.asked, in: set).filter { $0.question.guess != nil }
    let judge = Self.title(course.judge)
    add("picture questions with another's picture; \(judge)", right(answers(.hidden), by: course.judge))
    add(
      "the same, always answered as is right most often: chance",
      Share(pictures) { SpokenWords.agree($0.question.guess ?? "", $0.question.answer) })
    add("other questions with another's sound; \(judge)", right(answers(.shuffled), by: course.judge))
    add("other questions while a picture is shown; \(judge)", right(answers(.beside), by: course.judge))
  }

  private mutating func addAgreement() {
    let asked = answers(.asked)
    for recognizer in recognizers {
      add(
        "written and spoken answer agree; \(Self.title(recognizer))",
        Share(asked) { SpokenWords.agree($0.text, $0.heard[recognizer] ?? "") }, atLeast: 95)
    }
    var words = WordShare()
    for answer in asked {
      words.add(said: answer.text, heard: answer.heard[course.judge] ?? "")
    }
    add("word error rate of spoken answers against written ones; \(Self.title(course.judge))", words)
  }

  private mutating func addTranscripts() {
    let ears = course.ears
    for set in sets {
      let written = answers(.transcribed, in: set)
      guard !written.isEmpty else { continue }
      for (name, text) in [
        ("the model's own (A1T1)", { (answer: OmniAnswer) in answer.text }),
        (Self.title(ears), { $0.heard[ears] ?? "" }),
      ] {
        var words = WordShare()
        for answer in written { words.add(said: answer.question.question, heard: text(answer)) }
        add("word error rate of questions written down, \(course.about[set] ?? set); \(name)", words)
      }
    }
  }

  private mutating func addTimes() {
    var (first, factor) = (Samples(), Samples())
    let asked = answers(.asked)
    for answer in asked {
      if let time = answer.firstAudio { first.add(1_000 * time) }
      if let time = answer.answered, let audio = answer.audio, audio > 0 { factor.add(time / audio) }
    }
    func goal(_ samples: Samples, _ most: Double, _ text: String) -> String {
      "at most \(text): \(samples.median <= most ? "met" : "missed")"
    }
    if !first.isEmpty {
      let reached = String(format: "%.0f ms, p95 %.0f ms", first.median, first.quantile(0.95))
      rows.append(
        Row(
          measure: "first audio after the question's end, p50", reached: reached,
          target: goal(first, 300, "300 ms"), value: first.median))
    }
    if !factor.isEmpty {
      let reached = String(format: "%.2f, p95 %.2f", factor.median, factor.quantile(0.95))
      rows.append(
        Row(
          measure: "real-time factor of the answer, p50", reached: reached, target: goal(factor, 0.3, "0.3"),
          value: factor.median))
    }
    let memory = Double(course.peakBytes) / 1e6
    rows.append(
      Row(
        measure: "memory of the process while it answers, at most", reached: String(format: "%.0f MB", memory),
        target: "reported", value: memory))
    add("questions not heard as one utterance", Share(asked) { $0.turns != 1 })
  }

  /// By topic; pictures by what is asked of them.
  private mutating func addGrid(_ recognizer: String?) {
    let asked = answers(.asked)
    let kinds = Set(asked.map { Kind($0.question) }).sorted()
    let rows = kinds.map { kind in
      [kind.name]
        + sets.map { set in
          let share = right(asked.filter { $0.question.set == set && Kind($0.question) == kind }, by: recognizer)
          return share.count == 0 ? "-" : String(format: "%.0f %% of %d", share.percent, share.count)
        }
    }
    let by = recognizer.map { "spoken answer, \(Self.title($0))" } ?? "written answer"
    grids.append(
      Grid(
        title: "Right by topic; \(by)", columns: ["topic"] + sets.map { course.about[$0] ?? $0 },
        rows: rows))
  }

  private struct Kind: Hashable, Comparable {
    var isAboutPicture: Bool
    var kind: String
    init(_ question: QuestionSet.Question) { (isAboutPicture, kind) = (question.picture != nil, question.kind) }
    var name: String { isAboutPicture ? "picture: \(kind)" : kind }
    static func < (one: Self, other: Self) -> Bool { one.name < other.name }
  }

  private mutating func addRecordings() {
    guard !course.recordings.isEmpty else { return }
    let rows = course.recordings.map { recording in
      let name = URL(fileURLWithPath: recording.file).lastPathComponent
      return [name, recording.heard, recording.transcript, recording.answer, recording.answerHeard].map {
        $0.trimmingCharacters(in: .whitespacesAndNewlines)
      }
    }
    grids.append(
      Grid(
        title: "Recordings of people; nothing of them was trained on",
        columns: [
          "file", "\(Self.title(course.ears)) hears", "the model hears (A1T1)", "the model answers",
          "\(Self.title(course.judge)) hears of that",
        ], rows: rows))
  }

  // MARK: Text

  private static let header = ["measure", "reached (95 %)", "target"]
  private var head: String {
    let counts = sets.map { "\(answers(.asked, in: $0).count)" }.joined(separator: ", ")
    return """
      \(course.machine); \(course.kernels)
      \(([course.graph] + course.settings).joined(separator: " ")); \(counts) questions in the sets; synthetic speech
      """
  }

  package var description: String {
    var table = TextTable(Self.header)
    for row in rows { table.add([row.measure, row.reached, row.target]) }
    let others = grids.map { grid in
      var table = TextTable(grid.columns)
      for row in grid.rows { table.add(row) }
      return "\(grid.title)\n\(table.description)"
    }
    return ([head, table.description] + others).joined(separator: "\n\n")
  }

  package var markdown: String {
    func table(_ columns: [String], _ rows: [[String]]) -> String {
      ([columns, columns.map { _ in "---" }] + rows).map { row in
        "| " + row.map { $0.replacing("|", with: "\\|") }.joined(separator: " | ") + " |"
      }.joined(separator: "\n")
    }
    let others = grids.map { "\($0.title):\n\n\(table($0.columns, $0.rows))" }
    return ([head, table(Self.header, rows.map { [$0.measure, $0.reached, $0.target] })] + others)
      .joined(separator: "\n\n") + "\n"
  }

  private struct Contents: Codable {
    var machine: String
    var kernels: String
    var graph: String
    var rows: [Row]
    var grids: [Grid]
  }

  package func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    let contents = Contents(
      machine: course.machine, kernels: course.kernels, graph: course.graph, rows: rows, grids: grids)
    return String(decoding: try encoder.encode(contents), as: UTF8.self)
  }
}
