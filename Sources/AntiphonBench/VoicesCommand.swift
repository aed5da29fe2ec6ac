#if Flite
  import ArgumentParser
  import FliteSpeech
  import Foundation
  import ModelKit
  import VoiceActivity

  /// How well voice-activity's judges find utterances in noise, and what they cost.
  struct VoicesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "voices",
      abstract: "Where the energy and Silero's network find utterances in noise (synthetic speech), and what it costs.")

    @Option(help: "How many sentences are said, one after the other, with pauses of 1.5 s.")
    var sentences = 36

    private static let rate = 16_000

    private struct Span {
      var start: Int
      var end: Int
    }

    private enum Noise: String, CaseIterable { case white, tones }

    func run() throws {
      let (speech, spans) = try spoken()
      print("# \(Machine.current().description)")
      print("# synthetic speech: \(spans.count) utterances in \(speech.count / Self.rate) s; noise that is generated")
      print("judge    noise   SNR dB   found   false   start off ms   end off ms   µs per second of sound")
      for kind in SpeechJudges.Kind.allCases {
        var settings = SpeechJudges.Settings()
        settings.kind = kind
        let judges = try SpeechJudges(settings, rate: Self.rate)
        try measure(judges, kind, "none", nil, speech, spans)
        for noise in Noise.allCases {
          for ratio in [20.0, 10, 0] {
            try measure(judges, kind, noise.rawValue, ratio, mixed(speech, spans, noise, ratio), spans)
          }
        }
      }
    }

    /// Sentences with pauses, and where they are.
    private func spoken() throws -> ([Float], [Span]) {
      var sound = [Float](repeating: 0, count: 2 * Self.rate)
      var spans: [Span] = []
      for (index, text) in SpokenSentences.texts.prefix(sentences).enumerated() {
        let voice = SpokenSentences.voices[index % SpokenSentences.voices.count]
        let samples = try Flite.speak(text, voice: voice, speed: 1).samples
        let loud = samples.indices.filter { abs(samples[$0]) > 0.01 }
        spans.append(Span(start: sound.count + (loud.first ?? 0), end: sound.count + (loud.last ?? samples.count)))
        sound += samples + [Float](repeating: 0, count: Self.rate * 3 / 2)
      }
      return (sound, spans)
    }

    /// With noise so many dB below the speech, by the power of what is said.
    private func mixed(_ speech: [Float], _ spans: [Span], _ noise: Noise, _ ratio: Double) -> [Float] {
      var random = SplitMix(state: 5)
      var power = 0.0
      var count = 0
      for span in spans {
        power += speech[span.start..<span.end].reduce(0) { $0 + Double($1 * $1) }
        count += span.end - span.start
      }
      let level = Float((power / Double(max(1, count)) / pow(10, ratio / 10)).squareRoot())
      return speech.indices.map { index in
        let time = Float(index) / Float(Self.rate)
        let value: Float =
          switch noise {
          case .white: Float.random(in: -1.732...1.732, using: &random)
          // Chords that change twice a second, as music does.
          case .tones:
            [220, 277, 330].reduce(0) {
              $0 + sinf(2 * .pi * $1 * (1 + Float(index / 8_000 % 5) / 12) * time) * 0.816
            }
          }
        return speech[index] + level * value
      }
    }

    private func measure(
      _ judges: SpeechJudges, _ kind: SpeechJudges.Kind, _ noise: String, _ ratio: Double?, _ sound: [Float],
      _ spans: [Span]
    ) throws {
      var cutter = UtteranceCutter(UtteranceCutter.Settings(), rate: Self.rate, judge: judges.make())
      var found: [Span] = []
      let began = ContinuousClock.now
      func take(_ cuts: [UtteranceCutter.Cut]) {
        for case .audio(let samples, let start) in cuts {
          if let last = found.last, last.end == start {
            found[found.count - 1].end += samples.count
          } else {
            found.append(Span(start: start, end: start + samples.count))
          }
        }
      }
      for start in stride(from: 0, to: sound.count, by: 320) {
        take(cutter.feed(sound[start..<min(start + 320, sound.count)]))
      }
      take(cutter.finish())
      let time = (ContinuousClock.now - began).components
      let cost =
        (Double(time.seconds) * 1e6 + Double(time.attoseconds) * 1e-12) * Double(Self.rate) / Double(sound.count)

      // An utterance is found when one begins and ends nearer to it than the pauses are long.
      let near = Self.rate * 3 / 4
      let padding = UtteranceCutter.Settings()
      var (starts, ends) = (Samples(), Samples())
      var matched: Set<Int> = []
      for span in spans {
        let place = found.indices.first {
          abs(found[$0].start + padding.preRoll * 16 - span.start) < near
            && abs(found[$0].end - padding.tail * 16 - span.end) < near
        }
        guard let place, matched.insert(place).inserted else { continue }
        starts.add(abs(Double(found[place].start + padding.preRoll * 16 - span.start)) / 16)
        ends.add(abs(Double(found[place].end - padding.tail * 16 - span.end)) / 16)
      }
      func padded(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
      }
      func whole(_ samples: Samples) -> String { matched.isEmpty ? "-" : String(format: "%.0f", samples.median) }
      print(
        kind.rawValue.padding(toLength: 9, withPad: " ", startingAt: 0)
          + noise.padding(toLength: 6, withPad: " ", startingAt: 0) + padded(ratio.map { "\(Int($0))" } ?? "-", 8)
          + padded("\(matched.count)", 8) + padded("\(found.count - matched.count)", 8) + padded(whole(starts), 15)
          + padded(whole(ends), 13) + padded(String(format: "%.0f", cost), 25))
    }
  }
#endif
