#if EchoCancelling
  import Dataflow
  import DataflowTesting
  import EchoCanceller
  import Foundation
  import Messages
  import Testing

  private let rate = 16_000

  /// Bursts of noise through a low-pass that come and go as syllables do, with longer pauses between sentences.
  private func talk(seconds: Int, seed: UInt64) -> [Float] {
    var random = seed &* 0x9e37_79b9_7f4a_7c15 | 1
    var (low, slow, slower): (Float, Float, Float) = (0, 0, 0)
    return (0..<seconds * rate).map { index in
      random ^= random << 13
      random ^= random >> 7
      random ^= random << 17
      low = 0.7 * low + 0.3 * Float(Int64(bitPattern: random) >> 40) / Float(1 << 23)
      // No voice goes far below 150 Hz.
      slow += 0.06 * (low - slow)
      slower += 0.06 * (low - slow - slower)
      let voice = low - slow - slower
      let time = Float(index) / Float(rate)
      let syllable = max(0, sinf(2 * .pi * 2.3 * time + Float(seed)))
      return time.truncatingRemainder(dividingBy: 4) < 3.2 ? 0.7 * voice * syllable : 0
    }
  }

  /// What comes back of a sound in a room: late, quieter, with reflections that decay.
  private func echo(of sound: [Float], delay: Int, gain: Float) -> [Float] {
    let taps: [(Int, Float)] = (0..<60).map { index in
      (delay + index * 16, gain * (index == 0 ? 1 : 0.4 * cosf(Float(index * index)) * expf(-Float(index) / 12)))
    }
    return sound.indices.map { index in
      taps.reduce(0) { index >= $1.0 ? $0 + $1.1 * sound[index - $1.0] : $0 }
    }
  }

  private func power(_ samples: some Collection<Float>) -> Float {
    samples.reduce(0) { $0 + $1 * $1 } / Float(max(1, samples.count))
  }

  /// Between -1 and 1; 1 for sounds that differ in loudness alone.
  private func correlation(_ a: some Collection<Float>, _ b: some Collection<Float>) -> Float {
    zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } / (power(a) * power(b)).squareRoot() / Float(max(1, min(a.count, b.count)))
  }

  private struct Outcome {
    var samples: [Float] = []
    var meter: [Int] = []
    var log: [String] = []
    /// Whether each chunk begins where the one before ended.
    var isSeamless = true
  }

  /// Sends two streams through the canceller, in chunks that alternate.
  ///
  /// - Parameter lateness: chunks by which the reference comes later than it should.
  private func cancel(
    _ microphone: [Float], reference: [Float]?, _ parameters: [String: Dataflow.ParameterValue] = [:],
    lateness: Int = 0, chunk: Int = 320
  ) async throws -> Outcome {
    var outcome = Outcome()
    var harness: NodeHarness?
    try await withNode(EchoCancellerNode.self, parameters: parameters) { node in
      harness = node
      let session = try await node.beginSession("a")
      func send(_ samples: [Float], _ start: Int, to port: String) async throws {
        guard start >= 0, start < samples.count else { return }
        let piece = samples[start..<min(start + chunk, samples.count)]
        try await node.send(
          AudioChunk(samples: SharedBuffer(piece), rate: rate), to: port, turn: Turn(session, epoch: 0),
          time: Int64(start) * 62_500)
      }
      for start in stride(from: 0, to: microphone.count, by: chunk) {
        if let reference { try await send(reference, start - lateness * chunk, to: "reference") }
        try await send(microphone, start, to: "audio")
      }
      node.endSession(session)
      node.finish()
      while let event = try await node.next() {
        guard case .message(let port, let value, _, let time) = event else { continue }
        if port == "audio", let audio = value as? AudioChunk {
          outcome.isSeamless = outcome.isSeamless && abs(time - Int64(outcome.samples.count) * 62_500) < 62_500
          outcome.samples += audio.samples
        }
        if port == "meter", let control = value as? Control { outcome.meter.append(Int(control.detail) ?? -1) }
      }
    }
    // The run is over, and all has been logged.
    outcome.log = harness?.logged ?? []
    return outcome
  }

  @Suite struct EchoCancellerTests {
    private let played = talk(seconds: 12, seed: 3)
    private var returned: [Float] { echo(of: played, delay: 560, gain: 0.3) }

    @Test(arguments: [false, true])
    func echoIsTakenOut(suppress: Bool) async throws {
      let outcome = try await cancel(returned, reference: played, ["suppress": .bool(suppress)])
      #expect(outcome.samples.count == returned.count)
      #expect(outcome.isSeamless)
      let last = 6 * rate..<12 * rate
      let loss = 10 * log10f(power(returned[last]) / max(power(outcome.samples[last]), 1e-12))
      #expect(loss > (suppress ? 25 : 15), "\(loss) dB")
      #expect(outcome.meter.count >= 10)
      #expect((outcome.meter.last ?? 0) > 15)
      #expect(outcome.log.contains { $0.contains("echo return loss enhancement") })
      #expect(!outcome.log.contains { $0.contains("was not there") }, "\(outcome.log)")
    }

    @Test(arguments: [false, true])
    func whatIsSaidMeanwhileStays(suppress: Bool) async throws {
      // The near end speaks in the second half, when the room is known.
      let voice = [Float](repeating: 0, count: 6 * rate) + talk(seconds: 6, seed: 8)
      let microphone = zip(returned, voice).map { $0 + $1 }
      let outcome = try await cancel(microphone, reference: played, ["suppress": .bool(suppress)])
      let last = 7 * rate..<12 * rate
      let before = correlation(microphone[last], voice[last])
      let after = correlation(outcome.samples[last], voice[last])
      #expect(after > (suppress ? 0.9 : 0.95), "\(before) before, \(after) after")
      #expect(after > before)
    }

    @Test(arguments: [false, true])
    func withoutAnEchoNothingIsAdded(suppress: Bool) async throws {
      // On headphones: the near end talks into what is played, and then only listens.
      let voice = talk(seconds: 6, seed: 8) + [Float](repeating: 0, count: 6 * rate)
      let outcome = try await cancel(voice, reference: played, ["suppress": .bool(suppress)])
      #expect(outcome.samples[(6 * rate + 1_600)...].allSatisfy { abs($0) < 0.001 })
      #expect(correlation(outcome.samples[..<(6 * rate)], voice[..<(6 * rate)]) > 0.9)
    }

    @Test func withoutAReferenceNothingIsTakenOut() async throws {
      let voice = talk(seconds: 3, seed: 5)
      let outcome = try await cancel(voice, reference: nil, ["suppress": .bool(false)])
      #expect(outcome.samples.count == voice.count)
      #expect(correlation(outcome.samples, voice) > 0.98)
      #expect(outcome.meter.isEmpty)
      #expect(outcome.log.contains { $0.contains("nothing was played") })
    }

    @Test func aReferenceThatComesTooLateIsCountedAndNotWaitedFor() async throws {
      let outcome = try await cancel(returned, reference: played, lateness: 4)
      #expect(outcome.samples.count == returned.count)
      #expect(outcome.log.contains { $0.contains("was not there") })
      // Late by less than the delay that is allowed for, it is in time.
      let delayed = try await cancel(returned, reference: played, ["delay": .int(30)], lateness: 1)
      #expect(!delayed.log.contains { $0.contains("was not there") }, "\(delayed.log)")
      #expect((delayed.meter.last ?? 0) > 15)
    }

    @Test func theLoudspeakerMayStartLater() async throws {
      let silence = [Float](repeating: 0, count: 5 * rate)
      let reference = silence + talk(seconds: 8, seed: 3)
      let microphone = echo(of: reference, delay: 560, gain: 0.3)
      let outcome = try await cancel(microphone, reference: reference)
      #expect((outcome.meter.last ?? 0) > 15)
    }

    @Test(arguments: [1, 100, 160, 481, 16_000])
    func chunksOfAnySizeGiveTheSameSound(chunk: Int) async throws {
      let sound = Array(returned[..<(chunk < 100 ? 3_203 : 40_001)])
      let whole = try await cancel(sound, reference: nil)
      let parts = try await cancel(sound, reference: nil, chunk: chunk)
      #expect(parts.samples == whole.samples)
      #expect(parts.samples.count == sound.count)
      #expect(parts.isSeamless)
    }

    @Test func samplesThatAreNotNumbersDoNoHarm() async throws {
      var (microphone, reference) = (returned, played)
      for index in stride(from: 0, to: rate, by: 7) {
        microphone[index] = index % 2 == 0 ? .nan : .infinity
        reference[index] = index % 2 == 0 ? -.infinity : 1e30
      }
      let outcome = try await cancel(microphone, reference: reference)
      #expect(outcome.samples.allSatisfy { $0.isFinite && abs($0) <= 1 })
      #expect((outcome.meter.last ?? 0) > 10, "it has recovered")
    }
  }
#endif
