import ConversationRecorder
import Dataflow
import DataflowTesting
import Foundation
import Messages
import Testing

#if canImport(FoundationXML)
  import FoundationXML
#endif

@Suite struct ConversationRecorderTests {
  /// What stands in the JSON file, as far as the tests ask.
  private struct Written: Decodable {
    struct Question: Decodable { var epoch: Int, start: Double, end: Double, text: String }
    struct Command: Decodable { var label: String, start: Double, end: Double }
    struct Answer: Decodable {
      var start: Double, end: Double, outcome: String, played: Double, heard: String, pauses: [Double]
    }
    struct Queue: Decodable { var edge: String, waiting: [Int] }
    var length: Double
    var questions: [Question]
    var commands: [Command]
    var answers: [Answer]
    var looks: [Double]
    var queues: [Queue]
  }

  private static func folder() throws -> URL {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("recorder-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    return folder
  }

  /// A WAV file's samples of 16 bits, frame by frame.
  private static func samples(_ file: URL) throws -> [Int16] {
    let bytes = [UInt8](try Data(contentsOf: file))
    #expect(bytes[22] == 2)
    return stride(from: 44, to: bytes.count - 1, by: 2).map { Int16(bytes[$0]) | Int16(bytes[$0 + 1]) << 8 }
  }

  private static func sound(_ level: Float, _ frames: Int) -> AudioChunk {
    AudioChunk(samples: SharedBuffer([Float](repeating: level, count: frames)), rate: 16_000)
  }

  @Test func bothSidesAreRecordedBySessionTime() async throws {
    let folder = try Self.folder()
    defer { try? FileManager.default.removeItem(at: folder) }
    let path = folder.appendingPathComponent("talk.wav").path
    try await withNode(ConversationRecorderNode.self, parameters: ["path": .string(path)]) { node in
      let session = try await node.beginSession("a")
      let stream = Turn(session, epoch: 0)
      try await node.send(Self.sound(0.25, 1_600), to: "user", turn: stream, time: 0)
      // The assistant begins later, overlaps a little with itself, and goes on for longer.
      try await node.send(Self.sound(0.5, 800), to: "assistant", turn: stream, time: 50_000_000)
      try await node.send(Self.sound(0.75, 801), to: "assistant", turn: stream, time: 99_937_500)
      node.endSession(session)
    }
    let samples = try Self.samples(folder.appendingPathComponent("talk.wav"))
    #expect(samples.count == 2 * 2_400)
    let left = stride(from: 0, to: samples.count, by: 2).map { samples[$0] }
    let right = stride(from: 1, to: samples.count, by: 2).map { samples[$0] }
    #expect(left[..<1_600].allSatisfy { $0 == 8_192 } && left[1_600...].allSatisfy { $0 == 0 })
    #expect(right[..<800].allSatisfy { $0 == 0 } && right[800..<1_600].allSatisfy { $0 == 16_384 })
    #expect(right[1_600...].allSatisfy { $0 == 24_575 })
  }

  @Test func theTimelineTellsWhatHappenedAndThePictureShowsIt() async throws {
    let folder = try Self.folder()
    defer { try? FileManager.default.removeItem(at: folder) }
    let path = folder.appendingPathComponent("talk.wav").path
    try await withNode(ConversationRecorderNode.self, parameters: ["path": .string(path)]) { node in
      let session = try await node.beginSession("<talk> & more")
      let stream = Turn(session, epoch: 0)
      for chunk in 0..<10 {
        try await node.send(Self.sound(0.1, 1_600), to: "user", turn: stream, time: Int64(chunk) * 100_000_000)
      }
      let turn = try await node.beginTurn(in: session)
      try await node.send(Self.sound(0.1, 1_600), to: "speech", turn: turn, time: 100_000_000)
      try await node.send(Self.sound(0.1, 1_600), to: "speech", turn: turn, time: 200_000_000)
      for text in ["What", " is <that>?"] { try await node.send(Text(text), to: "text", turn: turn) }
      func answer(_ phase: AnswerState.Phase, played: Int64, heard: String, at time: Int64) async throws {
        let state = AnswerState(phase, epoch: 1, played: played, heard: heard)
        try await node.send(state, to: "answer", turn: stream, time: time)
      }
      try await answer(.speaking, played: 0, heard: "", at: 400_000_000)
      try await answer(.paused, played: 100_000_000, heard: "It", at: 500_000_000)
      try await answer(.speaking, played: 100_000_000, heard: "It", at: 600_000_000)
      let found = Detection(.command, label: "stop", start: 700_000_000, end: 800_000_000, score: 0.9)
      try await node.send(found, to: "detections", turn: stream, time: 800_000_000)
      try await answer(.cut, played: 350_000_000, heard: "It is", at: 850_000_000)
      node.endSession(session)
    }
    let written = try JSONDecoder().decode(
      Written.self, from: Data(contentsOf: folder.appendingPathComponent("talk.json")))
    #expect(written.length == 1)
    #expect(written.questions.map(\.text) == ["What is <that>?"])
    #expect(written.questions.first?.start == 0.1 && written.questions.first?.end == 0.3)
    #expect(written.commands.map(\.label) == ["stop"] && written.commands.first?.end == 0.8)
    let answer = try #require(written.answers.first)
    #expect(written.answers.count == 1 && answer.outcome == "cut" && answer.heard == "It is")
    #expect(answer.start == 0.4 && answer.end == 0.85 && answer.played == 0.35 && answer.pauses == [0.5, 0.6])
    #expect(written.looks.count == 10 && written.queues.allSatisfy { $0.waiting.count == 10 })
    #expect(written.queues.contains { $0.edge == "feeder.user -> node.user" })
    let picture = try Data(contentsOf: folder.appendingPathComponent("talk.svg"))
    #expect(XMLParser(data: picture).parse())
    let text = String(decoding: picture, as: UTF8.self)
    for shown in ["&lt;talk&gt; &amp; more", "What is &lt;that&gt;?", "stop", "cut after 0.35 s"] {
      #expect(text.contains(shown), "\(shown)")
    }
  }

  @Test func aSessionOfWhichNothingComesLeavesAnEmptyRecording() async throws {
    let folder = try Self.folder()
    defer { try? FileManager.default.removeItem(at: folder) }
    let path = folder.appendingPathComponent("talk.wav").path
    try await withNode(ConversationRecorderNode.self, parameters: ["path": .string(path)]) { node in
      node.endSession(try await node.beginSession("a"))
    }
    #expect(try Self.samples(folder.appendingPathComponent("talk.wav")).isEmpty)
    #expect(XMLParser(data: try Data(contentsOf: folder.appendingPathComponent("talk.svg"))).parse())
  }

  @Test func aFileThatIsNoWavFileIsRefused() async throws {
    await #expect(throws: ParameterError.self) {
      try await withNode(ConversationRecorderNode.self, parameters: ["path": .string("talk.mp3")]) { _ in }
    }
  }
}
