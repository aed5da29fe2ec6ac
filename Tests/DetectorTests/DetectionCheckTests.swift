import Dataflow
import DataflowTesting
import DetectionCheck
import Messages
import ModelKit
import Testing

#if Flite
  import FliteSpeech
#endif

@Suite struct DetectionCheckTests {
  @Test(.needs("whisper-tiny.en")) func aLanguageThatTheModelDoesNotKnowIsRefused() {
    let errors = DetectionCheckNode.manifest(reading: ParameterReader(["language": .string("zh")])).errors
    #expect(
      errors.map(\.description) == ["language: the model whisper-tiny.en does not know 'zh'; it knows en"])
  }

  /// What the test does, one after the other.
  private enum Step {
    case sound([Float])
    case detection(Detection)
    case interruption
  }

  /// What passes; detections are of a turn, the sound is the session's.
  private func passed(
    _ steps: [Step], _ parameters: [String: ParameterValue] = [:], chunk: Int = 320, over carrier: Carrier = .direct
  ) async throws -> [Detection] {
    var passed: [Detection] = []
    try await withNode(DetectionCheckNode.self, parameters: parameters, over: carrier) { node in
      let session = try await node.beginSession("a")
      var turn = Turn(session, epoch: 0)
      if steps.contains(where: { if case .interruption = $0 { true } else { false } }) {
        turn = try await node.beginTurn(in: session)
      }
      var position = 0
      for step in steps {
        switch step {
        case .sound(let samples):
          for first in stride(from: 0, to: samples.count, by: chunk) {
            let piece = SharedBuffer(samples[first..<min(first + chunk, samples.count)])
            try await node.send(
              AudioChunk(samples: piece, rate: 16_000), to: "audio", turn: Turn(session, epoch: 0),
              time: Int64(position) * 62_500)
            position += piece.count
          }
        case .detection(let detection):
          try await node.send(detection, to: "detections", turn: turn, time: detection.end)
        case .interruption: node.interrupt(session)
        }
      }
      node.endSession(session)
      node.finish()
      while let event = try await node.next() {
        guard case .message("detections", let value, _, let time) = event, let detection = value as? Detection else {
          continue
        }
        #expect(time == detection.end)
        passed.append(detection)
      }
    }
    return passed
  }

  private static func command(_ label: String = "stop", endingAt sample: Int, _ kind: Detection.Kind = .command)
    -> Detection
  {
    let end = Int64(sample) * 62_500
    return Detection(kind, label: label, start: max(0, end - 400_000_000), end: end, score: 0.9)
  }

  @Test(.needs("whisper-tiny.en")) func whatCameTooLateToBeHeardPassesAsItCame() async throws {
    let late = Self.command(endingAt: 16_000)
    let sound = noise(milliseconds: 40_000, level: -60)
    #expect(try await passed([.sound(sound), .detection(late)], chunk: 16_000) == [late])
  }

  @Test(.needs("whisper-tiny.en")) func aSessionMayEndWithoutSoundOrDetections() async throws {
    #expect(try await passed([]).isEmpty)
    #expect(try await passed([.sound(noise(milliseconds: 500, level: -40))]).isEmpty)
    let speech = Self.command("speech", endingAt: 1_000_000, .speech)
    #expect(try await passed([.detection(speech)]) == [speech])
    // There is nothing that could be the command.
    #expect(try await passed([.detection(Self.command(endingAt: 8_000))], ["padding": .int(0)]).isEmpty)
  }

  #if Flite
    private static let quiet = noise(milliseconds: 700, level: -75)

    /// Speech, and behind its last sound nothing.
    private static func spoken(_ text: String, voice: String = "slt") throws -> [Float] {
      let samples = try Flite.speak(text, voice: voice, speed: 1).samples
      let last = samples.lastIndex { abs($0) > 0.02 } ?? 0
      return quiet + samples[...last]
    }

    @Test(.needs("whisper-tiny.en"), arguments: Carrier.allCases)
    func commandsPassAndTheEndsOfSentencesDoNot(over carrier: Carrier) async throws {
      let (stop, top, wait) = (
        try Self.spoken("Stop."), try Self.spoken("My friend was at the top."), try Self.spoken("Wait.", voice: "rms")
      )
      let ends = [stop.count, stop.count + top.count, stop.count + top.count + wait.count]
      let found = [
        Self.command(endingAt: ends[0]), Self.command(endingAt: ends[1]), Self.command("wait", endingAt: ends[2]),
      ]
      let steps: [Step] =
        zip([stop, top, wait], found).flatMap { [.sound($0), .detection($1)] } + [.sound(Self.quiet)]
      #expect(try await passed(steps, over: carrier) == [found[0], found[2]])
      // Which of them passes does not depend on what is wanted of the others.
      #expect(try await passed(steps, ["threshold": .double(-60)], over: carrier) == found)
    }

    @Test(.needs("whisper-tiny.en")) func neitherChunksNorWhoComesFirstMatters() async throws {
      let sound = try Self.spoken("Stop.") + Self.spoken("The children are up there.") + Self.quiet
      let found = [
        Self.command(endingAt: try Self.spoken("Stop.").count), Self.command(endingAt: sound.count - Self.quiet.count),
      ]
      let detections = found.map { Step.detection($0) }
      for chunk in [160, 441, 16_000] {
        #expect(try await passed([.sound(sound)] + detections, chunk: chunk) == [found[0]])
        #expect(try await passed(detections + [.sound(sound)], chunk: chunk) == [found[0]])
      }
    }

    @Test(.needs("whisper-tiny.en")) func whatIsNotCalledByItsCommandMayBeAny() async throws {
      let sound = try Self.spoken("Stop.")
      let irq = Self.command("irq", endingAt: sound.count)
      #expect(try await passed([.sound(sound), .detection(irq), .sound(Self.quiet)]) == [irq])
      let top = try Self.spoken("My friend was at the top.")
      let other = Self.command("irq", endingAt: top.count)
      #expect(try await passed([.sound(top), .detection(other), .sound(Self.quiet)]).isEmpty)
      let wait = Self.command("wait", endingAt: sound.count)
      #expect(try await passed([.sound(sound), .detection(wait), .sound(Self.quiet)], ["threshold": .int(-3)]).isEmpty)
    }

    @Test(.needs("whisper-tiny.en")) func theyKeepTheirOrder() async throws {
      let sound = try Self.spoken("Stop.")
      let stop = Self.command(endingAt: sound.count)
      // It could pass at once, but came after one that waits for its sound.
      let speech = Self.command("speech", endingAt: 4_000, .speech)
      #expect(
        try await passed([.detection(stop), .detection(speech), .sound(sound + Self.quiet)]) == [stop, speech])
    }

    @Test(.needs("whisper-tiny.en")) func whatTheSessionsEndCutsOffIsDecidedByWhatThereIs() async throws {
      let sound = try Self.spoken("Stop.")
      let stop = Self.command(endingAt: sound.count)
      #expect(try await passed([.sound(sound), .detection(stop)]) == [stop])
    }

    @Test(.needs("whisper-tiny.en")) func aCommandPassesThoughTalkFollowsAtOnce() async throws {
      let sound = try Self.spoken("Stop.")
      let talk = try Flite.speak("What is the capital of France?", voice: "slt", speed: 1).samples
      let stop = Self.command(endingAt: sound.count)
      #expect(try await passed([.sound(sound), .detection(stop), .sound(talk)]) == [stop])
    }

    @Test(.needs("whisper-tiny.en")) func whatWaitsInATurnThatIsCutIsForgotten() async throws {
      let sound = try Self.spoken("Stop.")
      let stop = Self.command(endingAt: sound.count)
      #expect(try await passed([.detection(stop), .interruption, .sound(sound + Self.quiet)]).isEmpty)
    }
  #endif
}
