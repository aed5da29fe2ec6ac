public import Dataflow
public import Messages
internal import Sound

/// A room with a loudspeaker, somebody who speaks, and a microphone, for experiments and tests without any of them: adds
/// to a voice what is played, late, reverberating and quieter, and noise.
///
/// It never waits for what is played; what has not come when it is due is not heard.
public struct RoomNode: Node {
  public static let kind = "room"
  public static let summary =
    "A simulated room: a voice, the echo of what is played, and noise, as a microphone hears them."

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    let delay: Int
    let gain: Double
    let reverberation: Int
    let noise: Acoustics.Noise
    let noisePath: String
    let noiseLevel: Double
    let seed: Int

    public init(_ read: inout ParameterReader) {
      delay = read(
        "delay", default: 40, in: 20...1_000, unit: "ms", help: "What the echo takes; below 20 ms it could not be here."
      )
      gain = read(
        "gain", default: -10.0, in: -80...20, unit: "dB", help: "Loudness of the echo beside what is played.")
      reverberation = read(
        "reverberation", default: 80, in: 1...400, unit: "ms", help: "How long the echo lasts, until it is 60 dB down.")
      noise = read(
        "noise", default: .none,
        help: "What else is to be heard: babble is of voices that say nothing, 'file' what noise-path names.")
      noisePath = read.path(
        "noise-path", default: "", help: "An audio file, of which up to a minute is heard over and over.")
      noiseLevel = read(
        "noise-level", default: -46.0, in: -100...0, unit: "dBFS",
        help: "RMS level of the noise; speech is often at -26.")
      if (noise == .file) != !noisePath.isEmpty {
        read.reject("noise-path", "it goes with noise: file, and noise: file needs it")
      }
      seed = read("seed", default: 0, in: 0...Int.max, help: "Of walls and noise; 0 takes the run's.")
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let voice: Input<AudioChunk>
    public let playback: Input<AudioChunk>
    public let audio: Output<AudioChunk>
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      let type = PortType.audio(rate: rate, channels: 1)
      voice = bind.input("voice", type: type, help: "What is said in the room, from the session's start.")
      playback = bind.input(
        "playback", type: type, help: "What the loudspeaker plays, stamped with when; a feedback edge brings it.")
      audio = bind.output("audio", type: type, help: "What the microphone hears, chunk by chunk as the voice comes.")
    }
  }

  private static let rate = 16_000

  /// A session's air.
  private struct Track {
    var clock = SampleClock(rate: rate)
    var played = AlignedSound(rate: rate, seconds: 4)
    var noise: Acoustics.NoiseSource
  }

  private let parameters: Parameters
  private let seed: UInt64
  /// The last tap first.
  private let response: [Float]
  private let recording: [Float]
  private var tracks: [Session: Track] = [:]

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    seed = parameters.seed == 0 ? context.seed : UInt64(parameters.seed)
    response = Acoustics.response(
      count: parameters.reverberation * Self.rate / 1_000, gain: parameters.gain, seed: seed
    ).reversed()
    recording = parameters.noise == .file ? try Self.recording(parameters.noisePath) { context.log($0) } : []
  }

  /// Up to a minute of a file.
  private static func recording(_ path: String, log: @escaping (String) -> Void) throws -> [Float] {
    let file = try AudioFile(path: path, log: log)
    let source: any SampleSource = file.rate == rate ? file : try Resampler(file, to: rate, path: path)
    var samples: [Float] = []
    var piece = [Float](repeating: 0, count: rate)
    for _ in 0..<60 {
      let count = try source.read(into: &piece)
      samples += piece[..<count].map { $0.isFinite ? $0 : 0 }
      if count < piece.count { break }
    }
    return samples
  }

  public mutating func run(_ ports: Ports) async throws {
    for try await arrival in arrivals(on: ports.voice, ports.playback) {
      if let event = try ports.voice.event(of: arrival) {
        switch event {
        case .message(let chunk):
          let heard = hear(chunk)
          try await ports.audio.send(AudioChunk(samples: SharedBuffer(heard), rate: Self.rate), following: chunk)
        case .sessionBegan(let session): tracks[session] = newTrack()
        case .sessionEnded(let session): tracks[session] = nil
        case .turnEnded, .turnCut: break
        }
      } else if case .message(let chunk)? = try ports.playback.event(of: arrival) {
        tracks[chunk.session]?.played.write(chunk)
      }
    }
  }

  private func newTrack() -> Track {
    Track(
      noise: Acoustics.NoiseSource(
        parameters.noise, level: parameters.noiseLevel, rate: Self.rate, seed: seed &+ 1, recording: recording))
  }

  private mutating func hear(_ chunk: Received<AudioChunk>) -> [Float] {
    var track = tracks.removeValue(forKey: chunk.session) ?? newTrack()
    let first = track.clock.take(chunk)
    let taps = response.count
    var played = [Float](repeating: 0, count: chunk.value.frames + taps - 1)
    let due = track.played.position(of: track.clock.time(of: first) - Int64(parameters.delay) * 1_000_000)
    if track.played.hasBegun {
      _ = played.withUnsafeMutableBufferPointer { track.played.read(at: due - taps + 1, into: $0) }
    }
    var heard = Array(chunk.value.samples)
    played.withUnsafeBufferPointer { played in
      response.withUnsafeBufferPointer { response in
        for index in heard.indices {
          var echo: Float = 0
          for tap in 0..<taps { echo += response[tap] * played[index + tap] }
          heard[index] += echo + track.noise.next()
        }
      }
    }
    tracks[chunk.session] = track
    return heard
  }
}
