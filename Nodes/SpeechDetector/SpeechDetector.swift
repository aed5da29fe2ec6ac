public import Dataflow
public import Messages
internal import ModelKit

/// Tells when somebody has spoken for a while: the detector for those who want to interrupt an assistant by talking.
public struct SpeechDetectorNode: Node {
  public static let kind = "speech-detector"
  public static let summary = "Detects that somebody speaks, once for each stretch of sustained speech."

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    let sustained: Int
    let gap: Int
    let judging: SpeechJudges.Settings

    public init(_ read: inout ParameterReader) {
      sustained = read(
        "sustained", default: 400, in: 20...10_000, unit: "ms", help: "How long it takes until speech is told of.")
      gap = read(
        "gap", default: 200, in: 20...5_000, unit: "ms",
        help: "Quiet that ends a stretch of speech; what follows is another, and told of again.")
      var judging = SpeechJudges.Settings()
      judging.kind = read(
        "judge", default: judging.kind,
        help: "What tells speech: its 'energy' above the background, or 'silero', a small neural network.")
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
      self.judging = judging
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let audio: Input<AudioChunk>
    public let detections: Output<Detection>
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      audio = bind.input("audio", type: .audio(rate: rate, channels: 1), help: "The session's sound, from its start.")
      detections = bind.output("detections", help: "'speech', when it has lasted long enough; it may go on.")
    }
  }

  private static let rate = 16_000
  /// Of a stretch so much must be speech: taps on a table have gaps that are longer than they are.
  private static let leastShare = 0.6

  /// A session on its way through the node.
  private struct Track {
    var stretches: SpeechStretches
    var clock = SampleClock(rate: rate)
    var isTold = false
  }

  private let parameters: Parameters
  private let judges: SpeechJudges
  private var tracks: [Session: Track] = [:]

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    judges = try SpeechJudges(parameters.judging, rate: Self.rate) {
      if context.isStopping { throw CancellationError() }
    }
  }

  public mutating func run(_ ports: Ports) async throws {
    for try await event in ports.audio.events {
      switch event {
      case .message(let chunk):
        for detection in hear(chunk) {
          try await ports.detections.send(detection, following: chunk, time: detection.end)
        }
      case .sessionEnded(let session): tracks[session] = nil
      case .sessionBegan, .turnEnded, .turnCut: break
      }
    }
  }

  private mutating func hear(_ chunk: Received<AudioChunk>) -> [Detection] {
    let gap = parameters.gap * Self.rate / 1_000
    var track =
      tracks.removeValue(forKey: chunk.session) ?? Track(stretches: SpeechStretches(judge: judges.make(), gap: gap))
    track.clock.take(chunk)
    let (clock, needed) = (track.clock, parameters.sustained * Self.rate / 1_000)
    var isTold = track.isTold
    var found: [Detection] = []
    track.stretches.feed(chunk.value.samples) { stretch in
      let length = stretch.end - stretch.start
      if !isTold, length >= needed, Double(stretch.speech) >= Self.leastShare * Double(length) {
        isTold = true
        found.append(
          Detection(
            .speech, label: "speech", start: clock.time(of: stretch.start), end: clock.time(of: stretch.end),
            score: min(max(stretch.probability, 0), 1)))
      }
      if stretch.isOver { isTold = false }
    }
    track.isTold = isTold
    tracks[chunk.session] = track
    return found
  }
}
