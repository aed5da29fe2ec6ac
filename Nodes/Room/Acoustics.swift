internal import Glibc

/// What a room does to a loudspeaker's sound on its way to a microphone, and the noise that is in it.
struct Acoustics {
  enum Noise: String, CaseIterable, Sendable {
    /// None; all frequencies alike; a mains hum of 50 Hz with overtones; many voices at once, made up; a recording.
    case none, white, hum, babble, file
  }

  /// A generator of random numbers (SplitMix64), the same on every machine.
  struct Generator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var mixed = state
      mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
      mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
      return mixed ^ mixed >> 31
    }

    /// Evenly distributed, -1 to 1.
    mutating func uniform() -> Float { Float(Int64(bitPattern: next()) >> 40) / Float(1 << 23) }
  }

  /// An impulse response: the direct sound, then reflections that decay by 60 dB over its length.
  ///
  /// - Parameters:
  ///   - count: samples.
  ///   - gain: dB, of all its energy.
  static func response(count: Int, gain: Double, seed: UInt64) -> [Float] {
    var generator = Generator(state: seed)
    let count = max(1, count)
    var response = (0..<count).map { index in
      0.35 * generator.uniform() * powf(10, -3 * Float(index) / Float(count))
    }
    response[0] = 1
    let energy = response.reduce(0) { $0 + $1 * $1 }
    let scale = Float(pow(10, gain / 20)) / energy.squareRoot()
    return response.map { $0 * scale }
  }

  /// Noise without end.
  struct NoiseSource {
    private let kind: Noise
    private let amplitude: Float
    private let rate: Float
    private var generator: Generator
    private var position = 0
    private var talkers: [Talker]
    /// Heard over and over.
    private let recording: [Float]

    /// Pulses of a voice through one resonance, loud and quiet by turns as syllables are.
    private struct Talker {
      var pitch: Float
      var syllables: Float
      var phase: Float
      var formant: Float
      var one: Float = 0
      var two: Float = 0
    }

    /// - Parameters:
    ///   - level: dBFS, root mean square.
    ///   - recording: for the kind `file`; brought to that level.
    init(_ kind: Noise, level: Double, rate: Int, seed: UInt64, recording: [Float] = []) {
      self.kind = kind
      self.rate = Float(rate)
      amplitude = Float(pow(10, level / 20))
      generator = Generator(state: seed)
      let power = recording.reduce(0) { $0 + $1 * $1 } / Float(max(1, recording.count))
      let scale = power > 0 ? amplitude / power.squareRoot() : 0
      self.recording = recording.map { $0 * scale }
      talkers = []
      if kind == .babble {
        for _ in 0..<8 {
          talkers.append(
            Talker(
              pitch: 150 + 60 * generator.uniform(), syllables: 4 + generator.uniform(), phase: generator.uniform(),
              formant: 900 + 600 * generator.uniform()))
        }
      }
    }

    mutating func next() -> Float {
      position += 1
      switch kind {
      case .none: return 0
      case .white: return generator.uniform() * amplitude * Float(3).squareRoot()
      case .hum:
        let turn = 2 * Float.pi * Float(position % Int(rate)) * 50 / rate
        return (sinf(turn) + 0.5 * sinf(2 * turn) + 0.3 * sinf(3 * turn)) * amplitude * 1.22
      case .babble: return babble()
      case .file: return recording.isEmpty ? 0 : recording[(position - 1) % recording.count]
      }
    }

    private mutating func babble() -> Float {
      var sum: Float = 0
      let time = Float(position % (Int(rate) * 600)) / rate
      for index in talkers.indices {
        var talker = talkers[index]
        talker.phase += talker.pitch / rate
        var pulse = 0.05 * generator.uniform()
        if talker.phase >= 1 {
          talker.phase -= 1
          pulse += 1
        }
        // A resonance of some 120 Hz.
        let radius: Float = 1 - Float.pi * 120 / rate
        let out =
          pulse + 2 * radius * cosf(2 * Float.pi * talker.formant / rate) * talker.one - radius * radius * talker.two
        (talker.one, talker.two) = (out, talker.one)
        let syllable = sinf(Float.pi * talker.syllables * time + Float(index))
        sum += out * syllable * syllable
        talkers[index] = talker
      }
      return sum * amplitude * 0.35
    }
  }
}
