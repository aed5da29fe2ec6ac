import Dataflow
import DataflowTesting
import Foundation
import Messages
import Microphone
import Testing

/// A folder with one sound file of 16 bits, gone when the test is.
private final class SoundFile {
  let path: String
  private let url = FileManager.default.temporaryDirectory.appendingPathComponent("antiphon-test-\(UUID().uuidString)")

  init(_ samples: [Int16], rate: Int = 16_000) throws {
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = url.appendingPathComponent("question.wav").path
    var data = Data()
    func put(_ value: some FixedWidthInteger) {
      withUnsafeBytes(of: value.littleEndian) { data.append(contentsOf: $0) }
    }
    data.append(contentsOf: "RIFF".utf8)
    put(UInt32(36 + samples.count * 2))
    data.append(contentsOf: "WAVEfmt ".utf8)
    put(UInt32(16))
    for value in [UInt16(1), 1] { put(value) }
    for value in [UInt32(rate), UInt32(rate * 2)] { put(value) }
    for value in [UInt16(2), 16] { put(value) }
    data.append(contentsOf: "data".utf8)
    put(UInt32(samples.count * 2))
    for sample in samples { put(sample) }
    try data.write(to: URL(fileURLWithPath: path))
  }
  deinit { try? FileManager.default.removeItem(at: url) }
}

private struct Heard {
  var session = ""
  var samples: [Float] = []
  var times: [Int64] = []
  /// By the clock, when each chunk was seen.
  var moments: [Int64] = []
}

/// Runs the node on virtual time, which goes on whenever the node sleeps.
private func listen(_ parameters: [String: ParameterValue]) async throws -> (heard: Heard, logged: [String]) {
  let clock = ManualClock()
  var heard = Heard()
  var harness: NodeHarness?
  try await withNode(MicrophoneNode.self, parameters: parameters, clock: clock) { node in
    harness = node
    let ticking = Task {
      while !Task.isCancelled {
        if clock.sleepers > 0 { clock.advance(by: 1_000_000) }
        await Task.yield()
      }
    }
    defer { ticking.cancel() }
    while let event = try await node.next() {
      guard case .message(_, let value, let turn, let time) = event else { continue }
      let chunk = try #require(value as? AudioChunk)
      #expect(turn.epoch == 0 && chunk.rate == 16_000 && chunk.channels == 1)
      heard.session = turn.session.name
      heard.samples += Array(chunk.samples)
      heard.times.append(time)
      heard.moments.append(clock.now)
    }
  }
  return (heard, harness?.logged ?? [])
}

@Suite struct MicrophoneTests {
  @Test func aFileComesAtItsOwnPaceAndAsItIs() async throws {
    let sound = (0..<8_100).map { Int16(truncatingIfNeeded: $0 &* 7_919) }
    let file = try SoundFile(sound)
    let heard = try await listen(["path": .string(file.path)]).heard
    #expect(heard.session == "question")
    #expect(heard.samples == sound.map { Float($0) / 32_768 })
    #expect(heard.times == (0..<26).map { Int64($0) * 20_000_000 }, "the last chunk holds what is left")
    // A chunk comes when its last sample has been heard, and soon.
    for (time, moment) in zip(heard.times, heard.moments) { #expect(moment >= time + 20_000_000) }
  }

  @Test(arguments: [300.0, -300]) func aDeviceThatIsOffIsFollowed(drift: Double) async throws {
    // As the device counts: its second holds a few samples more, or fewer.
    let actual = 16_000 * (1 + drift / 1e6)
    let sound = (0..<Int(actual * 20)).map { Int16(16_384 * sin(2 * Double.pi * 200 * Double($0) / actual)) }
    let file = try SoundFile(sound)
    let (heard, logged) = try await listen(["path": .string(file.path), "drift": .double(drift)])
    #expect(abs(heard.samples.count - 320_000) <= 2, "20 s by the clock: \(heard.samples.count) samples")
    let expected = (160_000..<319_000).map { Float(0.5 * sin(2 * Double.pi * 200 * Double($0) / 16_000)) }
    let worst = zip(heard.samples[160_000..<319_000], expected).map { abs($0 - $1) }.max() ?? 1
    #expect(worst < 0.02, "off by \(worst)")
    #expect(logged.contains { $0.contains("ppm of the clock") })
  }

  @Test func whatCannotBeIsRefused() async throws {
    let file = try SoundFile([1, 2, 3])
    let faults: [([String: ParameterValue], String)] = [
      (["path": .string(file.path + "x")], "there is no such file"),
      (["path": .string("-")], "standard input"),
      (["drift": .double(10)], "a real device has its own"),
      (["path": .string(file.path), "rate": .int(11_025), "chunk": .int(1)], "no whole number of samples"),
    ]
    for (parameters, words) in faults {
      do {
        _ = try await listen(parameters)
        Issue.record("\(parameters) was taken")
      } catch {
        #expect("\(error)".contains(words), "\(error)")
      }
    }
  }
}
