public import Dataflow
public import Messages
internal import ModelKit

/// Cuts a session's sound into utterances, each a turn: finds where speech begins and where it ends.
///
/// All decisions are taken on counted samples, so the same sound is cut the same way at any speed. Told of answers and of
/// a detector's findings, it also decides who has the floor: while an answer is thought of or played, what is said opens no
/// turn, unless a detection says so.
public struct VoiceActivityNode: Node {
  public static let kind = "voice-activity"
  public static let summary =
    "Cuts sound into utterances, each a turn, and decides who has the floor while an answer is played."
  public static let ending = Ending.explicit
  public static let opensTurns = true

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let rate: Int
    let settings: UtteranceCutter.Settings
    let judging: SpeechJudges.Settings
    let floor: Floor.Settings

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
      self.settings = settings
      var judging = SpeechJudges.Settings()
      judging.kind = read(
        "judge", default: judging.kind,
        help: "What tells speech: its 'energy' above the background, or 'silero', a small neural network (16 kHz only)."
      )
      judging.margin = read(
        "margin", default: judging.margin, in: 3...40, unit: "dB",
        help: "For 'energy': how far speech stands above the background noise.")
      judging.level = read(
        "level", default: judging.level, in: -100...0, unit: "dBFS",
        help: "For 'energy': RMS level below which nothing is speech.")
      judging.model = read.model(
        "model", default: judging.model, help: "For 'silero': its name in the model cache, or its folder or file.")
      judging.threshold = read(
        "threshold", default: judging.threshold, in: 0.05...0.95,
        help: "For 'silero': probability above which speech begins; within speech, 0.15 less is enough.")
      if judging.kind == .silero, rate != SileroModel.rate {
        read.reject("rate", "the judge 'silero' hears \(SileroModel.rate) Hz only; resample, or let 'energy' judge")
      }
      self.judging = judging
      var floor = Floor.Settings()
      floor.overlap = read(
        "overlap", default: floor.overlap, in: 0...10_000, unit: "ms",
        help:
          "What is said into an answer's last moments is a question, if it begins no longer before the answer's end.")
      floor.settle = read(
        "settle", default: floor.settle, in: 0...10_000, unit: "ms",
        help: """
          After a command: what is over before so long, such as the echo of the answer's last words, is no question.
          """)
      floor.resumeAfter = read(
        "resume-after", default: floor.resumeAfter, in: 0...60_000, unit: "ms",
        help: """
          0: a detection ends the answer. Otherwise it holds the answer back, and unless something is said within so \
          long, the answer goes on where it stopped.
          """)
      floor.earnest = read(
        "earnest", default: floor.earnest, in: 0...10_000, unit: "ms",
        help: "With resume-after: speech of this length ends the answer; what is shorter (a cough, 'mhm') does not.")
      self.floor = floor
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let audio: Input<AudioChunk>
    public let detections: Input<Detection>
    public let own: Input<Detection>
    public let answer: Input<AnswerState>
    public let speech: Output<AudioChunk>
    public let floor: Output<Control>

    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      audio = bind.input(
        "audio", type: .audio(rate: parameters.rate, channels: 1), help: "The session's sound, from its start.")
      detections = bind.input(
        "detections", optional: true,
        help: """
          What a detector hears. A command silences the answer, and what is said after it is the next question; speech does \
          the same, and is the question itself.
          """)
      own = bind.input(
        "own", optional: true,
        help: """
          What a detector hears in the sound that the loudspeaker plays; a feedback edge brings it. A command that is \
          heard there too is the assistant's own word.
          """)
      answer = bind.input(
        "answer", optional: true,
        help: """
          Where the answers stand; a feedback edge brings it. From a question's end until its answer is finished or cut, \
          nothing else is taken for a question.
          """)
      speech = bind.output(
        "speech", type: .audio(rate: parameters.rate, channels: 1),
        help: """
          The utterances, each in a turn of its own, with some silence at both ends. An empty chunk says that the utterance \
          may be over: what it takes to answer can begin.
          """)
      floor = bind.output("floor", help: "'pause' and 'resume', for what plays the answer; see resume-after.")
    }
  }

  private let parameters: Parameters
  private let context: NodeContext
  private let judges: SpeechJudges
  private var tracks: [Session: Floor] = [:]

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    judges = try SpeechJudges(parameters.judging, rate: parameters.rate) {
      if context.isStopping { throw CancellationError() }
    }
  }

  public mutating func run(_ ports: Ports) async throws {
    if ports.detections.isConnected, !ports.answer.isConnected {
      throw ParameterError(
        "answer", "nothing tells when an answer is played: connect playback-gate's answer, or leave detections out")
    }
    for try await arrival in arrivals(on: ports.audio, ports.detections, ports.own, ports.answer) {
      if let cut = arrival.cut {
        tracks[cut.session]?.cut(through: cut.epoch)
      } else if let event = try ports.audio.event(of: arrival) {
        switch event {
        case .message(let chunk): try await change(chunk.session, ports) { $0.hear(chunk.value.samples) }
        case .sessionEnded(let session):
          try await change(session, ports) { $0.finish() }
          tracks[session] = nil
          context.endSession(session)
        case .sessionBegan, .turnEnded, .turnCut: break
        }
      } else if case .message(let found)? = try ports.detections.event(of: arrival) {
        try await change(found.session, ports) { $0.note(found.value) }
      } else if case .message(let found)? = try ports.own.event(of: arrival) {
        tracks[found.session]?.noteOwn(found.value)
      } else if case .message(let state)? = try ports.answer.event(of: arrival), tracks[state.session] != nil {
        try await change(state.session, ports) { $0.note(state.value) }
      }
    }
  }

  /// Lets something happen in a session's track, and does what follows from it.
  private mutating func change(
    _ session: Session, _ ports: Ports, _ happening: (inout Floor) -> [Floor.Action]
  ) async throws {
    let context = context
    var track =
      tracks[session]
      ?? Floor(
        parameters.floor,
        cutter: UtteranceCutter(parameters.settings, rate: parameters.rate, judge: judges.make()),
        rate: parameters.rate, hearsOfAnswers: ports.answer.isConnected, beginTurn: { context.beginTurn(in: session) })
    for action in happening(&track) {
      switch action {
      case .audio(let turn, let samples, let start):
        try await ports.speech.send(
          AudioChunk(samples: SharedBuffer(samples), rate: parameters.rate), turn: turn,
          time: Int64(start) * 1_000_000_000 / Int64(parameters.rate))
      case .pause(let turn):
        try await ports.speech.send(AudioChunk(samples: SharedBuffer([]), rate: parameters.rate), turn: turn)
      case .end(let turn): context.endTurn(turn)
      case .interrupt(let epoch, let reason): context.interrupt(Turn(session, epoch: epoch), because: reason)
      case .hold: try await ports.floor.send(Control("pause"), turn: Turn(session, epoch: 0))
      case .release: try await ports.floor.send(Control("resume"), turn: Turn(session, epoch: 0))
      }
    }
    tracks[session] = track
  }
}
