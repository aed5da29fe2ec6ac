import Dataflow
import DataflowTesting
import Foundation
import Messages
import Room
import Testing

@Suite struct RoomTests {
  /// What a microphone in the room hears, of voice and playback that come side by side.
  private func hear(
    voice: [Float], playback: [Float], _ parameters: [String: Dataflow.ParameterValue] = [:], seed: UInt64 = 1
  ) async throws -> [Float] {
    var heard: [Float] = []
    try await withNode(RoomNode.self, parameters: parameters, seed: seed) { node in
      let session = try await node.beginSession("a")
      for start in stride(from: 0, to: voice.count, by: 320) {
        for (samples, port) in [(playback, "playback"), (voice, "voice")] where start < samples.count {
          try await node.send(
            AudioChunk(samples: SharedBuffer(samples[start..<min(start + 320, samples.count)]), rate: 16_000), to: port,
            turn: Turn(session, epoch: 0), time: Int64(start) * 62_500)
        }
      }
      node.endSession(session)
      node.finish()
      while let event = try await node.next() {
        if case .message(_, let value, _, _) = event, let audio = value as? AudioChunk { heard += audio.samples }
      }
    }
    return heard
  }

  private func level(_ samples: some Collection<Float>) -> Float {
    10 * log10f(samples.reduce(0) { $0 + $1 * $1 } / Float(samples.count))
  }

  private let silence = [Float](repeating: 0, count: 16_000)

  @Test func anImpulseComesBackLateAndDecays() async throws {
    var impulse = silence
    impulse[1_600] = 1
    let heard = try await hear(voice: silence, playback: impulse, ["delay": .int(50), "gain": .double(-6)])
    #expect(heard.count == silence.count)
    #expect(heard[..<2_400].allSatisfy { $0 == 0 })
    #expect(heard[2_400] > 0.2)
    let energy = heard.reduce(0) { $0 + $1 * $1 }
    #expect(abs(10 * log10f(energy) + 6) < 0.1, "the gain is that of all that comes back")
    let (early, late) = (heard[2_401..<2_800], heard[3_200..<3_600])
    #expect(level(early) > level(late) + 10)
    #expect(heard[3_680...].allSatisfy { $0 == 0 })
  }

  @Test func theVoiceIsHeardAsItIs() async throws {
    let voice = (0..<16_000).map { sinf(Float($0) * 0.1) }
    #expect(try await hear(voice: voice, playback: []) == voice)
  }

  @Test(arguments: ["white", "hum", "babble"])
  func noiseHasItsLevelAndItsSeed(kind: String) async throws {
    let parameters: [String: Dataflow.ParameterValue] = ["noise": .string(kind), "noise-level": .double(-30)]
    let voice = [Float](repeating: 0, count: 64_000)
    let heard = try await hear(voice: voice, playback: [], parameters)
    #expect(abs(level(heard) + 30) < (kind == "babble" ? 4 : 0.5), "\(level(heard))")
    #expect(try await hear(voice: voice, playback: [], parameters) == heard)
    if kind != "hum" {
      #expect(try await hear(voice: voice, playback: [], parameters.merging(["seed": .int(9)]) { $1 }) != heard)
    }
  }

  @Test func aRecordingIsHeardOverAndOver() async throws {
    let clip = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("ModelKitTests/Golden/question.wav").path
    let voice = [Float](repeating: 0, count: 3 * 34_483)
    let heard = try await hear(
      voice: voice, playback: [], ["noise": .string("file"), "noise-path": .string(clip), "noise-level": .double(-20)])
    #expect(abs(level(heard) + 20) < 0.1)
    #expect(heard[..<34_483] == heard[34_483..<2 * 34_483])
    for parameters in [["noise": Dataflow.ParameterValue.string("file")], ["noise-path": .string(clip)]] {
      #expect(RoomNode.manifest(reading: ParameterReader(parameters)).errors.map(\.parameter) == ["noise-path"])
    }
  }
}
