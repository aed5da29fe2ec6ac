import Dataflow
import DataflowRuntime
import DataflowTesting
import Foundation
import Messages
import Speaker
import Testing

@Suite struct SpeakerTests {
  /// Plays chunks as the turns of one session.
  private func play(_ turns: [[AudioChunk]], parameters: [String: ParameterValue]) async throws {
    try await withNode(SpeakerNode.self, parameters: parameters) { node in
      let session = try await node.beginSession("a")
      for chunks in turns {
        let turn = try await node.beginTurn(in: session)
        for chunk in chunks { try await node.send(chunk, to: "audio", turn: turn) }
        node.endTurn(turn)
      }
      node.endSession(session)
    }
  }

  @Test func turnsFollowEachOtherInOneFile() async throws {
    let folder = try Folder()
    let path = folder.path("new/folder/answer.wav")
    try await play(
      [[chunk([0, 0.5, -0.5]), chunk([1])], [chunk([-1, 2, -2, .nan, .infinity])]],
      parameters: ["path": .string(path)])
    let file = try Wave(path)
    #expect(file.samples == [0, 16_384, -16_384, 32_767, -32_767, 32_767, -32_767, 0, 32_767])
    #expect(file.rate == 16_000)
    #expect(file.channels == 1)
  }

  @Test(arguments: ["fast", "device"]) func theBytesDoNotDependOnThePace(pace: String) async throws {
    let folder = try Folder()
    let sound = (0..<777).map { Float($0 % 100) / 100 }
    try await play(
      [[chunk(sound)]], parameters: ["path": .string(folder.path("a.wav")), "pace": .string(pace)])
    #expect(try Wave(folder.path("a.wav")).samples == sound.map { Int16(($0 * 32_767).rounded()) })
  }

  @Test func eachSessionHasAFileOfItsOwn() async throws {
    let folder = try Folder()
    for (pattern, names) in [
      ("answer.wav", ["answer.wav", "answer-b.wav", "answer-_.._c.wav"]),
      ("{session}/out.wav", ["a/out.wav", "b/out.wav", "_.._c/out.wav"]),
    ] {
      try await withNode(SpeakerNode.self, parameters: ["path": .string(folder.path(pattern))]) { node in
        let sessions = [
          try await node.beginSession("a"), try await node.beginSession("b"), try await node.beginSession("/../c"),
        ]
        // Interleaved.
        for round in 0..<3 {
          for (index, session) in sessions.enumerated() {
            let sound = chunk([Float(index + 1) / 8 + Float(round)])
            try await node.send(sound, to: "audio", turn: Turn(session, epoch: 0))
          }
        }
        for session in sessions { node.endSession(session) }
      }
      for (index, name) in names.enumerated() {
        #expect(try Wave(folder.path(name)).samples.first == Int16((Float(index + 1) / 8 * 32_767).rounded()))
      }
    }
  }

  @Test func soundOfAnotherRateFailsItsTurnOnly() async throws {
    let folder = try Folder()
    let path = folder.path("a.wav")
    try await withNode(SpeakerNode.self, parameters: ["path": .string(path)]) { node in
      let session = try await node.beginSession("a")
      for rate in [16_000, 24_000, 16_000] {
        let turn = try await node.beginTurn(in: session)
        try await node.send(chunk([0.5, 0.5], rate: rate), to: "audio", turn: turn)
        node.endTurn(turn)
      }
      node.endSession(session)
      while node.turns.count < 3 { await Task.yield() }
      let outcome = "\(node.turns[1].outcome)"
      #expect(outcome.contains("failed") && outcome.contains("24000") && outcome.contains("16000"))
    }
    #expect(try Wave(path).samples.count == 4)
  }

  @Test func nothingToPlayLeavesOldFilesAlone() async throws {
    let folder = try Folder()
    let path = folder.path("a.wav")
    try Data("old".utf8).write(to: URL(fileURLWithPath: path))
    try await play([[]], parameters: ["path": .string(path)])
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data("old".utf8))
  }

  @Test func whereNothingCanBeWrittenIsSaidAtOnce() async throws {
    let folder = try Folder()
    try Data().write(to: URL(fileURLWithPath: folder.path("file")))
    for (path, words) in [(folder.url.path, "is a folder"), (folder.path("file/a.wav"), "not a folder")] {
      do {
        try await withNode(SpeakerNode.self, parameters: ["path": .string(path)]) { _ in }
        Issue.record("'\(path)' was taken")
      } catch {
        #expect("\(error)".contains(words), "\(error)")
      }
    }
  }

  @Test(.enabled(if: FileManager.default.fileExists(atPath: "/dev/full"), "needs /dev/full"))
  func aFullDiskIsAClearError() async throws {
    do {
      try await play([[chunk([0.5])]], parameters: ["path": .string("/dev/full")])
      Issue.record("a full disk took it")
    } catch {
      #expect("\(error)".contains("No space left") && "\(error)".contains("/dev/full"), "\(error)")
    }
  }
}
