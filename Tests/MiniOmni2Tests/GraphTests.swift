import Catalog
import Dataflow
import DataflowRuntime
import DataflowTesting
import Foundation
import Messages
import ModelKit
import Parity
import Testing

/// The whole of a session's sound as one turn: what the goldens asked, to the sample.
private struct WholeTurnNode: Node {
  static let kind = "whole-turn"
  static let summary = "Makes a turn of all of a session's sound."
  static let ending = Ending.explicit
  static let opensTurns = true

  struct Ports: PortSet {
    let audio: Input<AudioChunk>
    let speech: Output<AudioChunk>
    init(_ bind: inout PortBinder, _ parameters: NoParameters) throws {
      audio = bind.input("audio", type: .audio(rate: 16_000, channels: 1), help: "Sound.")
      speech = bind.output("speech", type: .audio(rate: 16_000, channels: 1), help: "The same, in a turn.")
    }
  }

  private let context: NodeContext
  private var turns: [Session: Turn] = [:]

  init(_ parameters: NoParameters, _ context: NodeContext) { self.context = context }

  mutating func run(_ ports: Ports) async throws {
    for try await event in ports.audio.events {
      switch event {
      case .message(let chunk):
        let turn = turns[chunk.session] ?? context.beginTurn(in: chunk.session)
        turns[chunk.session] = turn
        try await ports.speech.send(chunk.value, turn: turn)
      case .sessionEnded(let session):
        if let turn = turns.removeValue(forKey: session) { context.endTurn(turn) }
        context.endSession(session)
      case .sessionBegan, .turnEnded, .turnCut: break
      }
    }
  }
}

/// The shipped graphs of Mini-Omni2 on the micro checkpoint, whose weights are random: its answers are the references',
/// token by token, and mean nothing.
@Suite struct GraphTests {
  private let goldens: Goldens
  private let folder: URL
  private let catalog = NodeCatalog(nodes: Catalog.nodes + [WholeTurnNode.self], messages: MessageTypes.all)

  init() throws {
    goldens = try Goldens()
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("antiphon-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }

  private func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

  /// Writes spoken question `seed` to a file.
  private func question(_ seed: Int) throws -> String {
    let samples = Goldens.speech(seed)
    var bytes = Data("RIFF".utf8)
    func put<Number: FixedWidthInteger>(_ number: Number) {
      withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }
    put(UInt32(36 + 2 * samples.count))
    bytes.append(contentsOf: "WAVEfmt ".utf8)
    for number in [UInt32(16), 0x1_0001, 16_000, 32_000, 0x10_0002] { put(number) }
    bytes.append(contentsOf: "data".utf8)
    put(UInt32(2 * samples.count))
    for sample in samples { put(sample) }
    let path = path("question\(seed).wav")
    try bytes.write(to: URL(fileURLWithPath: path))
    return path
  }

  /// A shipped graph on the micro checkpoint.
  private func graph(
    _ name: String, _ overrides: [String] = [], parts: [[String]] = [], over carrier: Carrier = .direct,
    clock: any TimeSource = SystemTime()
  ) throws -> TestRun {
    let voice = ["codec=\(goldens.codec)", "answer=\(path("answer.wav"))", "decoder.noise=0"]
    let models = ["model=\(goldens.release)", "weights=stored"] + (name == "mini-omni2-picture" ? [] : voice)
    let senses = name == "mini-omni2-text" ? [] : ["encoder-weights=stored"]
    let file = Goldens.shippedFolder + "/../../../Graphs/\(name).yaml"
    return try TestRun(
      file: file, overrides: models + senses + overrides,
      swaps: ["mini-omni2-text", "mini-omni2-picture"].contains(name) ? [] : ["voice-activity=whole-turn"],
      parts: parts, over: carrier, catalog: catalog, clock: clock)
  }

  private func ask(
    _ name: String, _ overrides: [String] = [], parts: [[String]] = [], over carrier: Carrier = .direct
  ) async throws -> TestRun {
    let run = try graph(name, overrides, parts: parts, over: carrier)
    let summary = try await run.run()
    #expect(summary.failure == nil)
    return run
  }

  /// How the text of an answer is printed.
  private func line(_ text: String, label: String = "") -> [String] {
    let words = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    return words.isEmpty ? [] : [label + words]
  }

  private func samples(_ file: String) throws -> [Float] {
    let data = try Data(contentsOf: URL(fileURLWithPath: path(file)))
    return stride(from: 44, to: data.count - 1, by: 2).map {
      Float(Int16(bitPattern: UInt16(data[$0]) | UInt16(data[$0 + 1]) << 8)) / 32768
    }
  }

  // MARK: Tasks

  @Test func aSpokenQuestionIsAnsweredAsTheReferenceDoes() async throws {
    let run = try await ask("mini-omni2", ["question=\(try question(0))"])
    #expect(run.printed == line(try goldens.answer("a1a2.0").text, label: "answer: "))
    #expect(run.turns.map(\.outcome) == [.completed])
    // The codec's golden of that name is the sound of that answer.
    let expected = try goldens.tensors("snac").floats("answer.wave")
    let found = try samples("answer.wav")
    try #require(found.count == expected.count)
    let worst = zip(found, expected).map { abs($0 - min(max($1, -1), 1)) }.max() ?? 1
    #expect(worst <= 1.0 / 32768 + 1e-4, "16 bits and the bound of the codec's parity")
  }

  @Test(arguments: ["a1t2", "a1t1"]) func speechIsAnsweredOrWrittenDown(task: String) async throws {
    for seed in 0..<3 {
      let run = try await ask("mini-omni2", ["question=\(try question(seed))", "task=\(task)"])
      #expect(run.printed == line(try goldens.answer("\(task).\(seed)").text, label: "answer: "))
    }
    #expect(!FileManager.default.fileExists(atPath: path("answer.wav")))
  }

  @Test(arguments: ["t1a2", "t1t2"]) func writtenQuestionsAreAnswered(task: String) async throws {
    for number in [0, 1, 4] {
      let expected = try goldens.answer("\(task).\(number)")
      let question = try #require(expected.question)
      let run = try await ask(
        "mini-omni2-text", ["question.text=[\"\(question.replacing("\n", with: "\\n"))\"]", "task=\(task)"])
      #expect(run.printed == line(expected.text))
    }
  }

  @Test(arguments: ["image-a1a2", "image-a1t2", "caption"]) func picturesAreAnswered(task: String) async throws {
    for (number, picture) in [(0, "picture.png"), (2, "transparent.png")] {
      let run = try await ask(
        "mini-omni2-vision",
        ["question=\(try question(number))", "picture=\(goldens.folder)/\(picture)", "task=\(task)"])
      #expect(run.printed == line(try goldens.answer("\(task).\(number)").text, label: "answer: "), "\(run.turns)")
    }
  }

  @Test(arguments: ["image-t1t2", "caption"]) func typedQuestionsAboutPicturesAreAnswered(task: String) async throws {
    for (number, picture) in [(0, "picture.png"), (2, "transparent.png")] {
      let expected = try goldens.answer("\(task).\(number)")
      let question = expected.question.map { ["question.text=[\"\($0.replacing("\n", with: "\\n"))\"]"] } ?? []
      let run = try await ask(
        "mini-omni2-picture", ["picture=\(goldens.folder)/\(picture)", "task=\(task)"] + question)
      #expect(run.printed == line(expected.text))
    }
  }

  // MARK: Placement and sessions

  private static let three = [
    ["capture", "voice-activity", "encoder", "adapter"], ["prompt", "llm-step", "audio-token-head", "answer"],
  ]

  @Test func theBytesAreTheSameInOneProcessAndSpreadOut() async throws {
    var bytes: [Data] = []
    for (carrier, parts) in [
      (Carrier.direct, []), (.inproc, []), (.ipc, Self.three), (.tcp, Self.three),
      // The token loop between two parts.
      (.ipc, [["audio-token-head"], ["decoder"]]),
    ] as [(Carrier, [[String]])] {
      let run = try await ask("mini-omni2", ["question=\(try question(3))"], parts: parts, over: carrier)
      #expect(run.printed == line(try goldens.answer("a1a2.3").text, label: "answer: "))
      bytes.append(try Data(contentsOf: URL(fileURLWithPath: path("answer.wav"))))
    }
    #expect(bytes[0].count > 2048 * 28)
    #expect(Set(bytes).count == 1)
  }

  @Test func picturesAndTextsAreAnsweredTheSameSpreadOut() async throws {
    let eyes = [
      "picture", "vision-encoder", "vision-adapter", "capture", "voice-activity", "encoder", "speech-adapter",
    ]
    let mind = ["prompt", "llm-step", "audio-token-head", "answer"]
    for (graph, overrides, parts) in [
      ("mini-omni2-vision", ["question=\(try question(0))", "picture=\(goldens.folder)/picture.png"], [eyes, mind]),
      ("mini-omni2-text", ["question.text=[Tell me a joke.]"], [["question"], mind]),
    ] {
      var bytes: [Data] = []
      for carrier in [Carrier.direct, .ipc, .tcp] {
        let run = try await ask(graph, overrides, parts: carrier == .direct ? [] : parts, over: carrier)
        let expected = try goldens.answer(graph.hasSuffix("text") ? "t1a2.4" : "image-a1a2.0").text
        #expect(run.printed == line(expected, label: graph.hasSuffix("text") ? "" : "answer: "))
        bytes.append(try Data(contentsOf: URL(fileURLWithPath: path("answer.wav"))))
      }
      #expect(Set(bytes).count == 1, "\(graph)")
    }
  }

  @Test func sessionsDoNotMix() async throws {
    var alone: [Int: Data] = [:]
    for seed in 1...3 {
      _ = try await ask("mini-omni2", ["question=\(try question(seed))"])
      alone[seed] = try Data(contentsOf: URL(fileURLWithPath: path("answer.wav")))
    }
    // More than the loop holds at once: each asks three times over.
    let names = (1...3).flatMap { seed in ["", "b", "c"].map { (seed, "\(seed)\($0)") } }
    for (seed, name) in names where name.count > 1 {
      try FileManager.default.copyItem(atPath: try question(seed), toPath: path("question\(name).wav"))
    }
    let files = names.map { path("question\($0.1).wav") }
    let run = try await ask(
      "mini-omni2",
      [
        "capture.path=[\(files.joined(separator: ", "))]", "answer.label='{session}: '",
        "speaker.path=\(path("{session}.wav"))",
      ])
    let expected = try names.flatMap { seed, name in
      line(try goldens.answer("a1a2.\(seed)").text, label: "question\(name): ")
    }
    #expect(run.printed.sorted() == expected.sorted())
    #expect(run.turns.count == 9 && run.turns.allSatisfy { $0.outcome == .completed })
    for (seed, name) in names {
      #expect(try Data(contentsOf: URL(fileURLWithPath: path("question\(name).wav"))) == alone[seed], "\(name)")
    }
  }

  /// A sink that takes its time holds up the loop; however many sessions wait, it goes round.
  @Test(.timeLimit(.minutes(2))) func manySessionsDoNotBlockTheLoop() async throws {
    let clock = ManualClock()
    let files = try (0..<30).map { number in
      let file = path("q\(number).wav")
      try FileManager.default.copyItem(atPath: try question(number % 4), toPath: file)
      return file
    }
    let run = try graph(
      "mini-omni2",
      [
        "capture.path=[\(files.joined(separator: ", "))]", "speaker.pace=device",
        "speaker.path=\(path("{session}-a.wav"))",
      ], clock: clock)
    let running = Task { try await run.run() }
    while run.turns.count < files.count, run.failure == nil {
      clock.advance(by: 1_000_000_000)
      try await Task.sleep(for: .milliseconds(1))
    }
    #expect(try await running.value.failure == nil)
    #expect(run.turns.allSatisfy { $0.outcome == .completed })
  }

  @Test func drawnAnswersRepeatWithTheirSeedWhereverTheyAreDrawn() async throws {
    var lines: [[String]] = []
    var bytes: [Data] = []
    for (seed, carrier) in [(1, Carrier.direct), (1, .ipc), (2, .direct)] {
      let drawn = [
        "audio-token-head.temperature=1.5", "audio-token-head.seed=\(seed)", "decoder.noise=1", "llm-step.limit=64",
      ]
      let run = try await ask(
        "mini-omni2", ["question=\(try question(0))"] + drawn, parts: carrier == .ipc ? Self.three : [], over: carrier)
      lines.append(run.printed)
      bytes.append(try Data(contentsOf: URL(fileURLWithPath: path("answer.wav"))))
    }
    #expect(lines[0] == lines[1] && bytes[0] == bytes[1])
    #expect(lines[0] != lines[2])
  }

  // MARK: Limits and faults

  @Test func anAnswerEndsWhereTheContextDoes() async throws {
    let expected = try goldens.answer("a1a2-limit.0")
    let limit = try #require(expected.limit)
    let run = try await ask("mini-omni2", ["question=\(try question(0))", "llm-step.limit=\(limit)"])
    #expect(run.printed == line(expected.text, label: "answer: "))
    #expect(run.turns.map(\.outcome) == [.completed])
    #expect(try samples("answer.wav").count == 2048 * (expected.frames ?? 0))
  }

  @Test func aQuestionThatFillsTheContextFailsByName() async throws {
    let run = try await ask("mini-omni2", ["question=\(try question(5))", "llm-step.limit=16"])
    #expect("\(run.turns.map(\.outcome))".contains("the prompt has 24 positions and the context holds 16"))
  }

  @Test func aQuestionLongerThanAnyContextFailsByName() async throws {
    let run = try await ask("mini-omni2-text", ["question.text=[\(String(repeating: "long ", count: 200))]"])
    #expect("\(run.turns.map(\.outcome))".contains("and the context holds 256"), "\(run.turns)")
  }

  @Test func whatBelongsToNoTurnIsSaidToBeLost() async throws {
    let models = [
      "model=\(goldens.release)", "codec=\(goldens.codec)", "answer=\(path("answer.wav"))", "weights=stored",
      "encoder-weights=stored",
    ]
    let run = try TestRun(
      file: Goldens.shippedFolder + "/../../../Graphs/mini-omni2.yaml",
      overrides: models + ["question=\(try question(0))", "voice-activity.threshold=0"],
      swaps: ["voice-activity=voice-gate"],
      catalog: catalog)
    _ = try? await run.run()
    #expect("\(run.turns)".contains("belongs to no turn"), "\(run.turns) \(run.failure ?? "")")
  }

  @Test func aPictureThatCannotBeReadFailsTheTurnByName() async throws {
    let broken = path("broken.png")
    let whole = try Data(contentsOf: URL(fileURLWithPath: "\(goldens.folder)/picture.png"))
    try whole.write(to: URL(fileURLWithPath: broken))
    let run = try graph("mini-omni2-vision", ["question=\(try question(0))", "picture=[\(broken), \(broken)]"])
    try whole.prefix(200).write(to: URL(fileURLWithPath: broken))
    let summary = try await run.run()
    #expect(summary.failure == nil)
    #expect("\(run.turns.map(\.outcome))".contains("broken.png"), "\(run.turns)")
  }

  // MARK: Interruption

  @Test func anInterruptedAnswerFallsSilentAndItsRecordHoldsWhatWasHeard() async throws {
    let clock = ManualClock()
    let run = try graph(
      "mini-omni2", ["question=\(try question(11))", "speaker.pace=device"], clock: clock)
    let running = Task { try await run.run() }
    // The device plays two seconds, and would play on for three more.
    let enough = 44 + 2 * 48_000
    func written() -> Int {
      (try? FileManager.default.attributesOfItem(atPath: path("answer.wav"))[.size] as? Int) ?? 0
    }
    while written() < enough, run.turns.isEmpty {
      clock.advance(by: 10_000_000)
      try await Task.sleep(for: .milliseconds(1))
    }
    run.interrupt(session: nil)
    // The device goes on until it has played what it was given.
    let time = Task {
      while true {
        clock.advance(by: 10_000_000)
        try await Task.sleep(for: .milliseconds(1))
      }
    }
    defer { time.cancel() }
    _ = try await running.value
    let record = try #require(run.turns.first)
    #expect(run.turns.count == 1)
    #expect(record.outcome == .interrupted(reason: "the test says so"))
    let played = try #require(record.played)
    #expect(played >= 2_000_000_000 && played < 5_000_000_000)
    // By the rule: what ends before the time played, of text spread evenly over 64 frames.
    let text = try goldens.answer("a1a2.11").text
    let heard = try #require(record.heard)
    #expect(!heard.isEmpty && text.hasPrefix(heard) && heard.count < text.count)
  }
}
