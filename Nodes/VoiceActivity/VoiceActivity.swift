public import Dataflow
public import Messages
internal import ModelKit

/// Cuts a session's sound into utterances, each a turn: finds where speech begins and where it ends, by its energy or by a
/// neural network.
///
/// All decisions are taken on counted samples, so the same sound is cut the same way at any speed.
public struct VoiceActivityNode: Node {
  public static let kind = "voice-activity"
  public static let summary = "Cuts sound into utterances; each utterance becomes a turn."
  public static let ending = Ending.explicit
  public static let opensTurns = true

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let rate: Int
    let settings: UtteranceCutter.Settings
    let judging: SpeechJudges.Settings

    public init(_ read: inout ParameterReader) {
      rate = read("rate", default: 16_000, in: 4_000...192_000, unit: "Hz", help: "Rate of the sound.")
      var settings = UtteranceCutter.Settings()
      settings.silence = read(
        "silence", default: settings.silence, in: 40...30_000, unit: "ms", help: "Silence that ends an utterance.")
      settings.tail = read(
        "tail", default: settings.tail, in: 0...30_000, unit: "ms",
        help: "So much of that silence belongs to the utterance.")
      settings.speech = read(
        "speech", default: settings.speech, in: 20...5_000, unit: "ms",
        help: "Speech that it takes to begin an utterance; shorter sounds (clicks, coughs) are dropped.")
      settings.preRoll = read(
        "pre-roll", default: settings.preRoll, in: 0...5_000, unit: "ms",
        help: "Sound before the speech that belongs to the utterance, for soft beginnings.")
      settings.longest = read(
        "longest", default: settings.longest, in: 2...600, unit: "s",
        help: "Length at which an utterance is cut in two, at the quietest place of its last seconds.")
      var judging = SpeechJudges.Settings()
      judging.kind = read(
        "judge", default: judging.kind,
        help: "What tells speech: its 'energy' above the background, or 'silero', a small neural network (16 kHz only).")
      judging.margin = read(
        "margin", default: judging.margin, in: 3...40, unit: "dB",
        help: "How far speech stands above the background noise, for 'energy'.")
      judging.level = read(
        "level", default: judging.level, in: -100...0, unit: "dBFS",
        help: "RMS level below which nothing is speech, for 'energy'.")
      judging.model = read.model(
        "model", default: judging.model, help: "The network: its name in the model cache, or its folder or file.")
      judging.threshold = read(
        "threshold", default: judging.threshold, in: 0.05...0.95,
        help: "Probability above which speech begins, for 'silero'; within speech, 0.15 less is enough.")
      if judging.kind == .silero, rate != SileroModel.rate {
        read.reject("rate", "the judge 'silero' hears \(SileroModel.rate) Hz only; resample, or let 'energy' judge")
      }
      self.judging = judging
      self.settings = settings
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let audio: Input<AudioChunk>
    public let speech: Output<AudioChunk>
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      audio = bind.input(
        "audio", type: .audio(rate: parameters.rate, channels: 1), help: "The session's sound, from its start.")
      speech = bind.output(
        "speech", type: .audio(rate: parameters.rate, channels: 1),
        help: """
          The utterances, each in a turn of its own, with some silence at both ends. An empty chunk says that the utterance \
          may be over: what it takes to answer can begin.
          """)
    }
  }

  /// A session on its way through the node.
  private struct Track {
    var cutter: UtteranceCutter
    /// The utterance that is being sent.
    var turn: Turn?
  }

  private let parameters: Parameters
  private let context: NodeContext
  private let judges: SpeechJudges
  private var tracks: [Session: Track] = [:]

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    judges = try SpeechJudges(parameters.judging, rate: parameters.rate) {
      if context.isStopping { throw CancellationError() }
    }
  }

  public mutating func run(_ ports: Ports) async throws {
    for try await event in ports.audio.events {
      switch event {
      case .message(let chunk):
        var track = tracks[chunk.session] ?? newTrack()
        let cuts = track.cutter.feed(chunk.value.samples)
        try await follow(cuts, &track, in: chunk.session, ports.speech)
        tracks[chunk.session] = track
      case .turnCut(let cut):
        // Whoever goes on speaking begins a new utterance.
        if let turn = tracks[cut.session]?.turn, turn.epoch <= cut.epoch {
          tracks[cut.session]?.turn = nil
          tracks[cut.session]?.cutter.abandon()
        }
      case .sessionEnded(let session):
        if var track = tracks.removeValue(forKey: session) {
          let cuts = track.cutter.finish()
          try await follow(cuts, &track, in: session, ports.speech)
        }
        context.endSession(session)
      case .sessionBegan, .turnEnded: break
      }
    }
  }

  private func newTrack() -> Track {
    Track(cutter: UtteranceCutter(parameters.settings, rate: parameters.rate, judge: judges.make()))
  }

  private func follow(
    _ cuts: [UtteranceCutter.Cut], _ track: inout Track, in session: Session, _ output: Output<AudioChunk>
  ) async throws {
    for cut in cuts {
      switch cut {
      case .begin: track.turn = context.beginTurn(in: session)
      case .audio(let samples, let start):
        guard let turn = track.turn else { continue }
        try await output.send(
          AudioChunk(samples: SharedBuffer(samples), rate: parameters.rate), turn: turn,
          time: Int64(start) * 1_000_000_000 / Int64(parameters.rate))
      case .pause:
        guard let turn = track.turn else { continue }
        try await output.send(AudioChunk(samples: SharedBuffer([]), rate: parameters.rate), turn: turn)
      case .end:
        if let turn = track.turn { context.endTurn(turn) }
        track.turn = nil
      }
    }
  }
}
