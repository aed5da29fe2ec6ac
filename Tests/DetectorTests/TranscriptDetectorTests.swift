import Dataflow
import DataflowTesting
import Messages
import ModelKit
import Testing
import TranscriptDetector

#if Flite
  import FliteSpeech
#endif

@Suite struct TranscriptDetectorTests {
  private func faults(_ parameters: [String: ParameterValue]) -> [String] {
    TranscriptDetectorNode.manifest(reading: ParameterReader(parameters)).errors.map(\.description)
  }

  @Test func languagesWithoutCommandsOfTheirOwnNeedSome() {
    #expect(faults(["language": .string("de")]).contains { $0.hasPrefix("commands: ") })
    #expect(
      faults(["commands": .list([.string("stop"), .string("!?")])]).contains { $0.contains("'!?' holds no word") })
    #expect(
      faults(["language": .string("zh"), "commands": .string("stop")]).contains { $0.contains("'stop' holds no") })
  }

  @Test(.needs("whisper-tiny.en")) func aLanguageThatTheModelDoesNotKnowIsRefused() {
    #expect(
      faults(["language": .string("zh")])
        == ["language: the model whisper-tiny.en does not know 'zh'; it knows en"])
    #expect(faults([:]).isEmpty)
  }

  @Test(.needs("whisper-base")) func aModelOfManyLanguagesTakesThem() {
    #expect(faults(["model": .string("whisper-base"), "language": .string("zh")]).isEmpty)
    let unknown = faults([
      "model": .string("whisper-base"), "language": .string("tlh"), "commands": .string("mev"),
    ])
    #expect(unknown.count == 1 && unknown[0].contains("does not know 'tlh'"))
  }

  @Test(.needs("whisper-tiny.en")) func silenceAndClicksAreNotLookedAt() async throws {
    let click = noise(milliseconds: 40, level: -10)
    let quiet = noise(milliseconds: 1_000, level: -80)
    #expect(try await detections(TranscriptDetectorNode.self, in: [quiet + click + quiet, []]) == [[], []])
  }

  #if Flite
    private static let quiet = noise(milliseconds: 700, level: -75)

    private static func spoken(_ text: String, voice: String = "slt") throws -> [Float] {
      try quiet + Flite.speak(text, voice: voice, speed: 1).samples + quiet
    }

    @Test(.needs("whisper-tiny.en"), arguments: ["slt", "rms", "kal16"])
    func commandsAreHeard(voice: String) async throws {
      // What the model makes of the name is not the same for every voice.
      for command in voice == "rms" ? ["stop", "stop omni", "wait"] : ["stop", "wait"] {
        let sound = try Self.spoken(command, voice: voice)
        let found = try await detections(TranscriptDetectorNode.self, in: [sound])[0]
        #expect(found.count == 1, "\(command)")
        guard let detection = found.first else { continue }
        #expect(detection.label == command)
        #expect(detection.kind == .command && detection.score > 0.5)
        #expect((500...1_100).contains(detection.start / 1_000_000))
        #expect(detection.end <= Int64(sound.count) * 62_500 - 400_000_000)
      }
    }

    @Test(
      .needs("whisper-tiny.en"),
      arguments: [
        "don't stop", "bus stop", "stopwatch", "the omni", "we waited for the stop of the bus",
        "what is the weight of it",
      ])
    func whatOnlyContainsACommandIsNone(text: String) async throws {
      for voice in ["slt", "rms"] {
        let found = try await detections(TranscriptDetectorNode.self, in: [try Self.spoken(text, voice: voice)])
        #expect(found == [[]], "\(text)")
      }
    }

    @Test(.needs("whisper-tiny.en")) func aCommandAfterAPauseIsHeard() async throws {
      let sound = try Self.spoken("Rivers flow to the sea.") + Self.spoken("stop")
      let found = try await detections(TranscriptDetectorNode.self, in: [sound])[0]
      #expect(found.map(\.label) == ["stop"])
      #expect((found.first?.start ?? 0) / 1_000_000 > 2_000)
    }

    @Test(.needs("whisper-tiny.en")) func sessionsAndChunksDoNotMatter() async throws {
      let (one, other) = (try Self.spoken("stop"), try Self.spoken("What time is it?", voice: "rms"))
      let alone = try await detections(TranscriptDetectorNode.self, in: [one])[0]
      let both = try await detections(TranscriptDetectorNode.self, in: [one, other, one], chunk: 1_600)
      #expect(both == [alone, [], alone])
    }

    @Test(.needs("whisper-tiny.en")) func otherPhrasesCanBeCommands() async throws {
      let found = try await detections(
        TranscriptDetectorNode.self, ["commands": .list([.string("enough"), .string("shut up")])],
        in: [try Self.spoken("enough"), try Self.spoken("stop")])
      #expect(found.map { $0.map(\.label) } == [["enough"], []])
    }
  #endif
}
