import AudioCapture
import Dataflow
import DataflowTesting
import Foundation
import Messages
import Testing

/// What came out of a session.
private struct Heard {
  var samples: [Float] = []
  var times: [Int64] = []
  var isEnded = false
}

/// Runs the node over files and collects what it sends, by session name.
private func capture(_ parameters: [String: ParameterValue], order: ((String) -> Void)? = nil) async throws
  -> (heard: [String: Heard], failures: [String])
{
  var heard: [String: Heard] = [:]
  var failures: [String] = []
  try await withNode(AudioCaptureNode.self, parameters: parameters) { node in
    while let event = try await node.next() {
      switch event {
      case .message(_, let value, let turn, let time):
        #expect(turn.epoch == 0, "a microphone knows no turns")
        let chunk = try #require(value as? AudioChunk)
        #expect(chunk.channels == 1)
        #expect(heard[turn.session.name]?.isEnded != true, "sound after the session's end")
        heard[turn.session.name, default: Heard()].samples += Array(chunk.samples)
        heard[turn.session.name, default: Heard()].times.append(time)
        order?(turn.session.name)
      case .sessionEnded(_, let session): heard[session.name, default: Heard()].isEnded = true
      case .turnEnded, .turnCut: break
      }
    }
    failures = node.logged
  }
  return (heard, failures)
}

/// The message with which a run over one file fails.
private func failure(_ path: String) async throws -> String {
  do {
    _ = try await capture(["path": .string(path)])
    Issue.record("'\(path)' was read")
    return ""
  } catch {
    return "\(error)"
  }
}

@Suite struct AudioCaptureTests {
  @Test func aFileComesOutAsItIs() async throws {
    let folder = try Folder()
    let sound = tone(seconds: 0.25, rate: 16_000)
    let path = try folder.write(wave(sound, rate: 16_000, form: .float32), as: "a.wav")
    let heard = try #require(try await capture(["path": .string(path)]).heard["a"])
    #expect(heard.samples == sound)
    #expect(heard.times.prefix(3) == [0, 20_000_000, 40_000_000], "20 ms a chunk")
    #expect(heard.isEnded)
  }

  @Test(arguments: SampleForm.allCases, [1, 2, 5]) func anyFormAndChannelsAreRead(
    form: SampleForm, channels: Int
  ) async throws {
    let folder = try Folder()
    let sound = tone(seconds: 0.1, rate: 16_000)
    let interleaved = sound.flatMap { [Float](repeating: $0, count: channels) }
    let path = try folder.write(wave(interleaved, rate: 16_000, channels: channels, form: form), as: "a.wav")
    let heard = try #require(try await capture(["path": .string(path)]).heard["a"])
    #expect(heard.samples.count == sound.count)
    let error = zip(heard.samples, sound).map { abs($0 - $1) }.max() ?? 1
    #expect(error < (form == .bits8 ? 0.02 : 0.0001))
  }

  @Test func channelsAreAveraged() async throws {
    let folder = try Folder()
    let interleaved = (0..<3_200).map { $0 % 2 == 0 ? Float(0.5) : -0.25 }
    let path = try folder.write(wave(interleaved, rate: 16_000, channels: 2, form: .float32), as: "a.wav")
    #expect(try await capture(["path": .string(path)]).heard["a"]?.samples.allSatisfy { $0 == 0.125 } == true)
  }

  #if Resampling
    @Test(arguments: [8_000, 11_025, 22_050, 44_100, 48_000, 96_000]) func otherRatesAreResampled(
      rate: Int
    ) async throws {
      let folder = try Folder()
      let path = try folder.write(wave(tone(seconds: 0.5, rate: rate), rate: rate), as: "a.wav")
      let heard = try #require(try await capture(["path": .string(path)]).heard["a"])
      #expect(abs(heard.samples.count - 8_000) <= 2)
      // The same tone, away from the edges, where the filter has no past or future.
      let expected = tone(seconds: 0.5, rate: 16_000)
      let error = (1_000..<7_000).map { abs(heard.samples[$0] - expected[$0]) }.max() ?? 1
      #expect(error < 0.005)
    }
  #endif

  @Test func numbersThatAreNoneBecomeSilence() async throws {
    let folder = try Folder()
    var sound = [Float](repeating: 0.5, count: 1_600)
    (sound[10], sound[11], sound[12]) = (.nan, .infinity, -.infinity)
    let path = try folder.write(wave(sound, rate: 16_000, form: .float32), as: "a.wav")
    let result = try await capture(["path": .string(path)])
    #expect(result.heard["a"]?.samples[9..<14] == [0.5, 0, 0, 0, 0.5])
    #expect(result.failures.contains { $0.contains("3 samples") && $0.contains("NaN") })
  }

  @Test func everyFileIsASessionOfItsOwn() async throws {
    let folder = try Folder()
    try FileManager.default.createDirectory(atPath: folder.path("more"), withIntermediateDirectories: true)
    let paths = try [("a.wav", 0.1), ("b.wav", 0.2), ("more/a.wav", 0.3)].map { name, seconds in
      try folder.write(wave(tone(seconds: seconds, rate: 16_000), rate: 16_000), as: name)
    }
    let heard = try await capture(["path": .list(paths.map { .string($0) })]).heard
    #expect(heard.mapValues(\.samples.count) == ["a": 1_600, "b": 3_200, "a-2": 4_800])
    #expect(heard.values.allSatisfy { $0.isEnded })
  }

  @Test func liveSourcesRunSideBySide() async throws {
    let folder = try Folder()
    let sound = wave(tone(seconds: 0.1, rate: 16_000), rate: 16_000)
    let paths = try ["a.wav", "b.wav"].map { ParameterValue.string(try folder.write(sound, as: $0)) }
    var order: [String] = []
    let heard = try await capture(["path": .list(paths), "pace": .string("real-time")]) { order.append($0) }.heard
    #expect(heard.mapValues(\.samples.count) == ["a": 1_600, "b": 1_600])
    #expect(order.prefix(4) == ["a", "b", "a", "b"])
  }

  @Test func badFilesAreNamedWithTheirFault() async throws {
    let folder = try Folder()
    let sound = tone(seconds: 0.2, rate: 16_000)
    let whole = wave(sound, rate: 16_000)
    let faults: [(name: String, data: Data?, words: [String])] = [
      ("missing.wav", nil, ["there is no such file"]),
      ("empty.wav", Data(), ["empty"]),
      ("text.wav", Data("This is no sound at all, whatever its name says.".utf8), ["not an audio file", "ffmpeg"]),
      ("silent.wav", wave([], rate: 16_000), ["no sound"]),
      ("cut.wav", whole.prefix(whole.count / 2), ["cut off", "6400"]),
      ("header.wav", whole.prefix(20), ["cannot read"]),
      ("noise.wav", Data((0..<4_000).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ 13) }), ["cannot read"]),
    ]
    for fault in faults {
      let path = try fault.data.map { try folder.write($0, as: fault.name) } ?? folder.path(fault.name)
      let message = try await failure(path)
      #expect(message.contains(path), "\(message)")
      for word in fault.words { #expect(message.contains(word), "\(message)") }
    }
    #expect(try await failure(folder.url.path).contains("is a folder"))
  }

  @Test func aStreamedHeaderPromisesNothing() async throws {
    let folder = try Folder()
    let sound = tone(seconds: 0.1, rate: 16_000)
    for size in [0xffff_ffff, 0x7fff_f000] {
      let path = try folder.write(wave(sound, rate: 16_000, claimedBytes: size), as: "a.wav")
      #expect(try await capture(["path": .string(path)]).heard["a"]?.samples.count == 1_600)
    }
  }

  @Test func oneBadFileAmongSeveralFailsAlone() async throws {
    let folder = try Folder()
    let good = try folder.write(wave(tone(seconds: 0.1, rate: 16_000), rate: 16_000), as: "good.wav")
    let result = try await capture(["path": .list([.string(folder.path("bad.wav")), .string(good)])])
    #expect(result.heard["good"]?.samples.count == 1_600)
    #expect(result.heard["bad"]?.isEnded == true)
    #expect(result.heard["bad"]?.samples.isEmpty == true)
  }

  @Test func severalBadFilesFailTheRun() async throws {
    let folder = try Folder()
    let paths = ["x.wav", "y.wav"].map { ParameterValue.string(folder.path($0)) }
    await #expect(throws: (any Error).self) { _ = try await capture(["path": .list(paths)]) }
  }

  @Test func standardInputAndFilesDoNotMix() async throws {
    await #expect(throws: (any Error).self) {
      _ = try await capture(["path": .list([.string("-"), .string("a.wav")])])
    }
    await #expect(throws: (any Error).self) { _ = try await capture(["path": .list([])]) }
  }
}
