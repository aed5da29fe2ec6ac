import Dataflow
import Foundation
import ModelKit
import Testing
import VoiceActivity

/// Utterances as Silero's network finds them.
@Suite struct JudgeTests {
  /// 16-bit mono samples of one of the clips of the models' tests.
  private static func clip(_ name: String) throws -> [Float] {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("ModelKitTests/Golden/\(name)")
    let bytes = [UInt8](try Data(contentsOf: file)).dropFirst(44)
    return stride(from: bytes.startIndex, to: bytes.endIndex - 1, by: 2).map {
      Float(Int16(bitPattern: UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8)) / 32_768
    }
  }

  /// Where utterances begin and end, in milliseconds, without the quiet around them.
  private static func spans(_ sound: [Float], _ judge: any SpeechJudge, chunk: Int = 320) -> [ClosedRange<Int>] {
    let settings = UtteranceCutter.Settings()
    var cutter = UtteranceCutter(settings, rate: 16_000, judge: judge)
    var cuts: [UtteranceCutter.Cut] = []
    for start in stride(from: 0, to: sound.count, by: chunk) {
      cuts += cutter.feed(sound[start..<min(start + chunk, sound.count)])
    }
    cuts += cutter.finish()
    var spans: [ClosedRange<Int>] = []
    for case .audio(let samples, let start) in cuts {
      let (first, last) = (start / 16 + settings.preRoll, (start + samples.count) / 16 - settings.tail)
      if let open = spans.last, open.upperBound + settings.tail >= start / 16 {
        spans[spans.count - 1] = open.lowerBound...max(open.lowerBound, last)
      } else {
        spans.append(first...max(first, last))
      }
    }
    return spans
  }

  private static func silero() throws -> SileroJudge {
    SileroJudge(try ModelStore.shared.silero(at: ModelFolder.path("silero-vad")))
  }

  @Test(.needs("silero-vad"), arguments: [nil, 10, 0] as [Float?])
  func speechIsFoundInNoise(ratio: Float?) throws {
    let clip = try Self.clip("question.wav")
    let padding = [Float](repeating: 0, count: 48_000)
    let power = clip.reduce(0) { $0 + $1 * $1 } / Float(clip.count)
    let level = ratio.map { (power / powf(10, $0 / 10)).squareRoot() } ?? 0
    var random: UInt64 = 88_172_645_463_325_252
    let sound = (padding + clip + padding).map { sample in
      random ^= random << 13
      random ^= random >> 7
      random ^= random << 17
      return sample + level * 1.732 * Float(Int64(bitPattern: random) >> 40) / Float(1 << 23)
    }
    let spans = Self.spans(sound, try Self.silero())
    #expect(spans.count == 1)
    guard let span = spans.first else { return }
    #expect(abs(span.lowerBound - 3_000) < 400, "\(span)")
    #expect(abs(span.upperBound - 3_000 - clip.count / 16) < 400, "\(span)")
  }

  @Test(.needs("silero-vad")) func theCutDoesNotDependOnTheChunks() throws {
    let padding = [Float](repeating: 0, count: 16_000)
    let sound = try Self.clip("weather.wav") + padding + Self.clip("german.wav") + padding
    let whole = Self.spans(sound, try Self.silero(), chunk: sound.count)
    #expect(whole.count == 2)
    for chunk in [160, 513, 4_000] { #expect(Self.spans(sound, try Self.silero(), chunk: chunk) == whole) }
  }

  @Test func theNetworkHearsOneRateOnly() {
    let errors = VoiceActivityNode.manifest(
      reading: ParameterReader(["judge": .string("silero"), "rate": .int(24_000)])
    ).errors
    #expect(errors.map(\.parameter) == ["rate"])
    #expect(throws: ModelInputError.self) {
      var settings = SpeechJudges.Settings()
      settings.kind = .silero
      _ = try SpeechJudges(settings, rate: 8_000)
    }
  }
}

extension Trait where Self == ConditionTrait {
  /// Skips the test where a model has not been fetched.
  fileprivate static func needs(_ model: String) -> Self {
    .enabled(if: (try? ModelFolder.path(model)) != nil, "\(model) is not there; tools/models fetch \(model)")
  }
}
