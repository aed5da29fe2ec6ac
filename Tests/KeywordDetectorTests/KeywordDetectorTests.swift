import Dataflow
import DataflowTesting
import Foundation
import KeywordDetector
import Messages
import ModelKit
import Tensors
import Testing

@Suite struct KeywordDetectorTests {
  /// "stop", "stop omni" and "wait" by two voices, from `tools/train/keyword goldens`.
  private let samples: [Float]

  init() throws {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let file = try Checkpoints.open(folder.appendingPathComponent("Goldens/keyword/commands.safetensors").path)
    samples = try file.stored("samples").tensor().floats().map { $0 / 32_768 }
  }

  private func chunks(_ samples: [Float], _ count: Int = 320) -> [AudioChunk] {
    stride(from: 0, to: samples.count, by: count).map {
      AudioChunk(samples: SharedBuffer(samples[$0..<min($0 + count, samples.count)]), rate: 16_000)
    }
  }

  /// What is detected in sounds whose chunks come by turns, each a session.
  private func detections(
    _ sounds: [[AudioChunk]], _ parameters: [String: ParameterValue] = [:], from offset: Int64 = 0,
    over carrier: Carrier = .direct
  ) async throws -> [[Detection]] {
    var found = [[Detection]](repeating: [], count: sounds.count)
    try await withNode(KeywordDetectorNode.self, parameters: parameters, over: carrier) { node in
      var sessions: [Session] = []
      for index in sounds.indices { sessions.append(try await node.beginSession("\(index)")) }
      var positions = [Int](repeating: 0, count: sounds.count)
      for place in 0..<(sounds.map(\.count).max() ?? 0) {
        for (index, sound) in sounds.enumerated() where place < sound.count {
          let time = offset + Int64(positions[index]) * 62_500
          try await node.send(sound[place], to: "audio", turn: Turn(sessions[index], epoch: 0), time: time)
          positions[index] += sound[place].frames
        }
      }
      for session in sessions { node.endSession(session) }
      node.finish()
      while let event = try await node.next() {
        guard case .message(_, let value, let turn, let time) = event, let detection = value as? Detection,
          let index = Int(turn.session.name)
        else { continue }
        #expect(turn.epoch == 0)
        #expect(time == detection.end)
        found[index].append(detection)
      }
    }
    return found
  }

  @Test(arguments: Carrier.allCases) func commandsAreFoundWhereTheyAre(over carrier: Carrier) async throws {
    let found = try await detections([chunks(samples)], over: carrier)[0]
    #expect(found.map(\.label) == ["stop", "stop omni", "wait"])
    #expect(found.allSatisfy { $0.kind == .command && $0.score > 0.5 && $0.start < $0.end })
    // The first begins after half a second of silence.
    let first = try #require(found.first)
    #expect((400_000_000...650_000_000).contains(first.start))
    #expect((200_000_000...700_000_000).contains(first.end - first.start))
  }

  @Test func whatIsFoundDoesNotDependOnTheChunks() async throws {
    let whole = try await detections([chunks(samples)])[0]
    for count in [160, 441, 5_000] { #expect(try await detections([chunks(samples, count)])[0] == whole) }
  }

  @Test func timesCountAsTheStampsDo() async throws {
    let early = try await detections([chunks(samples)])[0]
    let late = try await detections([chunks(samples)], from: 7_000_000_000)[0]
    #expect(late.map(\.start) == early.map { $0.start + 7_000_000_000 })
    #expect(late.map(\.end) == early.map { $0.end + 7_000_000_000 })
  }

  @Test func sessionsAreHeardApart() async throws {
    let reversed = Array(samples.reversed())
    let both = try await detections([chunks(samples), chunks(reversed, 500), chunks(samples, 333)])
    let alone = try await detections([chunks(samples)])[0]
    #expect(both[0] == alone)
    #expect(both[2] == alone)
    let aloneReversed = try await detections([chunks(reversed)])[0]
    #expect(both[1] == aloneReversed)
  }

  @Test func onlyWhatIsAskedForIsFound() async throws {
    let found = try await detections([chunks(samples)], ["commands": .list([.string("Wait!")])])[0]
    #expect(found.map(\.label) == ["Wait!"])
  }

  @Test func nothingIsFoundInSilenceAndNonsense() async throws {
    let silence = [Float](repeating: 0, count: 48_000)
    var state: UInt32 = 1
    let noise: [Float] = (0..<48_000).map { _ in
      state = state &* 1_664_525 &+ 1_013_904_223
      return Float(state >> 8) / Float(1 << 24) - 0.5
    }
    let broken = samples.indices.map { $0 % 3 == 0 ? Float.nan : .infinity }
    let found = try await detections([silence, noise, broken].map { chunks($0) })
    #expect(found.allSatisfy { $0.isEmpty })
    #expect(try await detections([[AudioChunk(samples: SharedBuffer([]), rate: 16_000)]])[0].isEmpty)
  }

  @Test(arguments: [
    (["language": ParameterValue.string("zh")], "language: 'zh' is not known to keyword-en"),
    (["commands": .list([.string("stop"), .string("halt")])], "commands: 'halt' is not known to keyword-en"),
    (["commands": .list([])], "commands: there is none to listen for"),
    (["language": .string("xx")], "commands: must be given"),
  ])
  func whatTheNetworkDoesNotKnowIsRefused(_ parameters: [String: ParameterValue], _ fault: String) {
    let errors = KeywordDetectorNode.manifest(reading: ParameterReader(parameters)).errors
    #expect(errors.contains { $0.description.hasPrefix(fault) }, "\(errors)")
  }
}
