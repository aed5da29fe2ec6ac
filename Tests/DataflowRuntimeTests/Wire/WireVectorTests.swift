import Dataflow
import DataflowRuntime
import Foundation
import Messages
import Testing

/// The wire format as `docs/wire-vectors` pins it down. A difference means that other implementations, and other
/// releases, are no longer understood. After a change on purpose: `ANTIPHON_WRITE_VECTORS=1` and these tests write the
/// bytes anew, `tools/python/explain docs/wire-vectors/*.hex` comments them.
@Suite struct WireVectorTests {
  @Test(arguments: WireVector.all)
  func theWriterWritesTheseBytes(_ vector: WireVector) throws {
    if ProcessInfo.processInfo.environment["ANTIPHON_WRITE_VECTORS"] != nil { try vector.write() }
    #expect(try WireVector.read(vector.file) == vector.frames)
  }

  @Test func everyFileIsTested() throws {
    let files = try FileManager.default.contentsOfDirectory(atPath: WireVector.folder.path)
    #expect(Set(files.filter { $0.hasSuffix(".hex") }) == Set(WireVector.all.map { "\($0.name).hex" }))
  }

  @Test func theGreetingIsReadBack() throws {
    let greeting = try frame("hello") { bytes in
      var reader = ByteReader(bytes)
      #expect(try reader.takePreamble() == .hello)
      return try Greeting(afterPreamble: &reader)
    }
    #expect(greeting == WireVector.greeting)
  }

  @Test(arguments: [
    ("welcome", Answer.welcome(attempt: 1, credits: 16)), ("refuse", .refuse(reason: "main runs another graph")),
    ("credit", .credit(4)), ("who-is-there", .whoIsThere),
  ])
  func answersAreReadBack(name: String, answer: Answer) throws {
    #expect(try frame(name) { try Answer($0) } == answer)
  }

  @Test func aWholeSessionIsReadBack() throws {
    let read = try ReadData(frames("data-turn"), as: Text.self)
    #expect((read.edge, read.incarnation, read.number) == (3, WireVector.greeting.incarnation, 2))
    #expect(read.records.map(\.content) == [.sessionBegan, .value, .value, .turnEnded, .sessionEnded, .closed])
    #expect(read.records.compactMap { ($0.value as? Text)?.string } == ["Good morning.", "Grüße, 你好 🎧"])
    #expect(read.records[0].name == "kitchen")
    #expect(read.records.dropLast().map(\.session) == Array(repeating: WireVector.session.id, count: 5))
    #expect(read.records.map(\.epoch) == [0, 1, 1, 1, 0, 0])
    #expect(read.records[1].stamp == WireVector.stamp)
    #expect(read.records[2].stamp.time == -1)
    #expect(read.records[1].schema == PortType.text.schemaID)
  }

  @Test(arguments: WireVector.values.map(\.name))
  func valuesAreReadBack(name: String) throws {
    let expected = try #require(WireVector.values.first { $0.name == name }?.value)
    let records = try ReadData(frames(name), as: type(of: expected)).records
    #expect(records.count == 1)
    let value = try #require(records.first?.value)
    switch expected {
    case let audio as AudioChunk: #expect(value as? AudioChunk == audio)
    case let features as Features: #expect(value as? Features == features)
    case let tokens as Tokens: #expect(value as? Tokens == tokens)
    case let image as ImageFrame: #expect(value as? ImageFrame == image)
    case let codes as AudioCodes: #expect(value as? AudioCodes == codes)
    case let control as Control: #expect(value as? Control == control)
    case let detection as Detection: #expect(value as? Detection == detection)
    case let playhead as Playhead: #expect(value as? Playhead == playhead)
    case let state as AnswerState: #expect(value as? AnswerState == state)
    case let said as Said: #expect(value as? Said == said)
    default: Issue.record("no comparison for \(name)")
    }
  }

  @Test func aValueOfAnotherTypeIsRefused() throws {
    #expect(throws: WireError.self) { try ReadData(frames("data-tokens"), as: AudioChunk.self) }
    #expect(throws: WireError.self) { try ReadData(Array(frames("data-audio-frame").prefix(1)), as: AudioChunk.self) }
    #expect(throws: WireError.self) { try ReadData(frames("data-image") + [[1]], as: ImageFrame.self) }
  }

  @Test(
    arguments: [
      Detection(.command, label: "stop", start: -1, end: 2, score: 0.5),
      Detection(.command, label: "stop", start: 3, end: 2, score: 0.5),
      Detection(.speech, label: "speech", start: 1, end: 2, score: 1.5),
      Detection(.speech, label: "speech", start: 1, end: 2, score: .nan),
      Playhead(frames: 1 << 48, rate: 24000), Playhead(frames: 1, rate: 0), Playhead(frames: 1, rate: 1_000_001),
      AnswerState(.paused, epoch: 1, played: -1, heard: ""),
    ] as [any Message])
  func aValueThatItsTypeDoesNotAllowIsRefused(_ value: any Message) {
    var writer = DataWriter(inlineLimit: 1024)
    writer.append(Envelope(.value(value), turn: Turn(WireVector.session, epoch: 1)), schema: value.type.schemaID)
    let head = writer.takeBatch().head
    #expect(throws: WireError.self) { try ReadData([head], as: type(of: value)) }
  }

  @Test(
    arguments: [("data-detection", [0, 3]), ("data-answer-state", [0, 5]), ("data-said", [2])] as [(String, [UInt8])])
  func aNumberWithoutAMeaningIsRefused(name: String, numbers: [UInt8]) throws {
    let vector = try #require(WireVector.all.first { $0.name == name })
    let type = try #require(vector.type)
    for number in numbers {
      var head = vector.frames[0]
      // The fields' first byte, behind the message's header and the record's.
      head[32 + 56] = number
      #expect(throws: WireError.self) { try ReadData([head], as: type) }
    }
  }

  @Test func controlMessagesAreReadBack() throws {
    #expect(try control("join", .join, Joining.self) == WireVector.joining)
    #expect(try control("accept", .accept, Acceptance.self) == WireVector.acceptance)
    #expect(try control("accept-refusal", .accept, Acceptance.self) == WireVector.refusal)
    for (name, event) in WireVector.events { #expect(try control(name, .event, PartEvent.self) == event) }
    for (name, command) in WireVector.commands { #expect(try control(name, .command, PartCommand.self) == command) }
  }

  @Test func anotherMajorVersionIsNamed() throws {
    var bytes = try #require(frames("welcome").first)
    bytes[4] = 2
    let error = #expect(throws: WireError.self) { try bytes.withUnsafeBytes { _ = try Answer($0) } }
    #expect(error?.description.contains("version 2") == true)
    // A later minor version may say more than is known here.
    bytes[4] = 1
    bytes[5] = 9
    bytes += [1, 2, 3]
    #expect(try bytes.withUnsafeBytes { try Answer($0) } == .welcome(attempt: 1, credits: 16))
  }

  @Test func aReportOfAnotherReleaseIsTakenForWhatItSays() throws {
    let json = ##"{"finished":{"_0":{"nodes":[],"weather":"fine"}}}"##
    let bytes = ControlWire.bytes(.event) + Array(json.utf8)
    let event = try bytes.withUnsafeBytes { bytes in
      var reader = ByteReader(bytes)
      _ = try reader.takePreamble()
      return ControlWire.value(PartEvent.self, reader)
    }
    #expect(event == .finished(PartReport()))
  }

  private func frames(_ name: String) -> [[UInt8]] { WireVector.all.first { $0.name == name }?.frames ?? [] }

  private func frame<Result>(_ name: String, _ read: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
    try #require(frames(name).first).withUnsafeBytes(read)
  }

  private func control<Value: Decodable>(
    _ name: String, _ kind: WireFormat.Kind, _ type: Value.Type
  ) throws -> Value {
    try frame(name) { bytes in
      var reader = ByteReader(bytes)
      #expect(try reader.takePreamble() == kind)
      return try #require(ControlWire.value(type, reader))
    }
  }
}
