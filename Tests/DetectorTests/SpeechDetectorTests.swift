import Dataflow
import DataflowTesting
import Messages
import ModelKit
import SpeechDetector
import Testing

@Suite struct SpeechDetectorTests {
  private let quiet = noise(milliseconds: 1_000, level: -80)

  @Test(arguments: Carrier.allCases)
  func sustainedSpeechIsToldOnceAStretch(over carrier: Carrier) async throws {
    let sound = quiet + noise(milliseconds: 1_000, level: -20) + quiet + noise(milliseconds: 600, level: -20) + quiet
    let found = try await detections(SpeechDetectorNode.self, in: [sound], over: carrier)[0]
    #expect(found.map(\.label) == ["speech", "speech"])
    #expect(found.allSatisfy { $0.kind == .speech && $0.score > 0.5 })
    for (detection, start) in zip(found, [1_000, 3_000] as [Int64]) {
      #expect(abs(detection.start / 1_000_000 - start) <= 20)
      #expect(abs(detection.end / 1_000_000 - start - 400) <= 20, "as soon as it has lasted long enough")
    }
  }

  @Test func whatIsShorterIsNotTold() async throws {
    let cough = quiet + noise(milliseconds: 300, level: -15) + quiet
    // Taps of 40 ms, five a second.
    let taps =
      quiet + (0..<15).flatMap { _ in noise(milliseconds: 40, level: -10) + noise(milliseconds: 160, level: -80) }
    let found = try await detections(SpeechDetectorNode.self, in: [cough, taps, [], quiet])
    #expect(found == [[], [], [], []])
    let eager = try await detections(SpeechDetectorNode.self, ["sustained": .int(200)], in: [cough])
    #expect(eager[0].count == 1)
  }

  @Test func aPauseWithinSpeechDividesNothing() async throws {
    let talk =
      quiet + (0..<6).flatMap { _ in noise(milliseconds: 300, level: -20) + noise(milliseconds: 120, level: -80) }
    #expect(try await detections(SpeechDetectorNode.self, in: [talk])[0].count == 1)
    #expect(
      try await detections(SpeechDetectorNode.self, ["gap": .int(60), "sustained": .int(250)], in: [talk])[0].count == 6
    )
  }

  @Test func neitherChunksNorNeighboursMatter() async throws {
    let one = quiet + noise(milliseconds: 700, level: -20) + quiet + noise(milliseconds: 700, level: -20)
    let other = noise(milliseconds: 900, level: -20, seed: 5) + quiet
    let alone = try await detections(SpeechDetectorNode.self, in: [one])[0]
    #expect(alone.count == 2)
    for chunk in [7, 333, 16_000] {
      let both = try await detections(SpeechDetectorNode.self, in: [one, other], chunk: chunk)
      #expect(both[0] == alone, "chunks of \(chunk)")
      #expect(both[1].count == 1)
    }
  }

  @Test func timesAreThoseOfTheStamps() async throws {
    let sound = quiet + noise(milliseconds: 700, level: -20)
    let early = try await detections(SpeechDetectorNode.self, in: [sound])[0]
    let late = try await detections(SpeechDetectorNode.self, in: [sound], from: 5_000_000_000)[0]
    #expect(late.map(\.start) == early.map { $0.start + 5_000_000_000 })
    #expect(late.map(\.end) == early.map { $0.end + 5_000_000_000 })
  }

  @Test(.needs("silero-vad")) func theNetworkTellsSpeechFromNoise() async throws {
    let hiss = noise(milliseconds: 3_000, level: -20)
    let found = try await detections(SpeechDetectorNode.self, ["judge": .string("silero")], in: [quiet + hiss])
    #expect(found == [[]])
    #expect(try await detections(SpeechDetectorNode.self, in: [quiet + hiss])[0].count == 1, "energy cannot tell")
  }
}

extension Trait where Self == ConditionTrait {
  /// Skips the test where a model has not been fetched.
  static func needs(_ model: String) -> Self {
    .enabled(if: (try? ModelFolder.path(model)) != nil, "\(model) is not there; tools/models fetch \(model)")
  }
}
