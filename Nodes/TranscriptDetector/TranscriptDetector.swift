public import Dataflow
public import Messages
public import ModelKit
internal import Tensors

/// Hears commands by writing down what is said: Whisper looks at the last seconds again and again, and a command is an
/// utterance that consists of nothing else.
///
/// Nothing is computed while nobody speaks. All decisions are taken on counted samples: the same sound gives the same
/// detections at any speed.
public struct TranscriptDetectorNode: Node {
  public static let kind = "transcript-detector"
  public static let summary = "Detects spoken commands with Whisper: any phrase of a language that the model knows."

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let model: String
    public let weights: WeightPrecision
    public let language: String
    public let commands: [String]
    let window: Int
    let every: Int
    let pause: Int
    let padding: Int
    let margin: Double
    let level: Double

    public init(_ read: inout ParameterReader) {
      model = read.model(
        "model", default: "whisper-tiny.en", help: "The Whisper model: its name in the model cache, or its folder.")
      weights = read(
        "weights", default: .bf16,
        help: "How the encoder's matrices are kept and multiplied; see whisper-encoder.")
      language = read("language", default: "en", help: "Code of the commands' language, such as en or zh.")
      commands = read(
        "commands", default: CommandSet.defaults[language],
        help: "Phrases to listen for, in that language; en and zh have some of their own.")
      window = read(
        "window", default: 2_000, in: 500...10_000, unit: "ms", help: "So much of an utterance is looked at, its end.")
      every = read(
        "every", default: 300, in: 100...5_000, unit: "ms",
        help: "How often an utterance is looked at while it goes on; two looks must find the same. Its end needs one.")
      pause = read(
        "pause", default: 160, in: 60...2_000, unit: "ms",
        help: "Quiet that ends an utterance; shorter, and commands are heard sooner, but also within other speech.")
      padding = read(
        "padding", default: 6_000, in: 0...28_000, unit: "ms",
        help: """
          Silence behind the sound that Whisper looks at. It was trained on half a minute: with little, it is fast and \
          mishears more.
          """)
      margin = read(
        "margin", default: 10.0, in: 3...40, unit: "dB", help: "How far speech stands above the background noise.")
      level = read(
        "level", default: -66.0, in: -100...0, unit: "dBFS", help: "RMS level below which nothing is speech.")
      do throws(CommandMatcher.PhraseError) {
        _ = try CommandMatcher(CommandSet(language: language, phrases: commands))
      } catch {
        read.reject("commands", "\(error)")
      }
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let audio: Input<AudioChunk>
    public let detections: Output<Detection>

    /// - Throws: `ParameterError` for a language that the model does not know.
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      audio = bind.input(
        "audio", type: .audio(rate: LogMel.sampleRate, channels: 1), help: "The session's sound, from its start.")
      detections = bind.output("detections", help: "A command, when its utterance is over or has been heard twice.")
      // A model that is not there may be on the machine that runs this.
      if let refusal = try? ModelHeader.refusal(of: parameters.language, by: parameters.model) {
        throw ParameterError("language", refusal)
      }
    }
  }

  /// A session on its way through the node.
  private struct Track {
    var watch: UtteranceWatch
    var clock = SampleClock(rate: LogMel.sampleRate)
    /// The utterance that is being looked at, by its first sample: what was found last, and whether it has been told.
    var utterance = -1
    var last: CommandMatcher.Match?
    var isTold = false
  }

  /// Commands are short: what goes on longer is none.
  private static let mostTokens = 16
  private let parameters: Parameters
  private let context: NodeContext
  private let matcher: CommandMatcher
  private let ear: WhisperEar
  private var tracks: [Session: Track] = [:]

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    Compute.setThreads(context.threads)
    matcher = try CommandMatcher(CommandSet(language: parameters.language, phrases: parameters.commands))
    let folder = try ModelFolder.path(parameters.model)
    func checkCancelled() throws { if context.isStopping { throw CancellationError() } }
    ear = try WhisperEar(at: folder, weights: parameters.weights, checkCancelled: checkCancelled)
  }

  public mutating func run(_ ports: Ports) async throws {
    for try await event in ports.audio.events {
      switch event {
      case .message(let chunk):
        for detection in try hear(chunk) {
          try await ports.detections.send(detection, following: chunk, time: detection.end)
        }
      case .sessionEnded(let session): tracks[session] = nil
      case .sessionBegan, .turnEnded, .turnCut: break
      }
    }
  }

  private mutating func hear(_ chunk: Received<AudioChunk>) throws -> [Detection] {
    var track = tracks.removeValue(forKey: chunk.session) ?? newTrack()
    track.clock.take(chunk)
    var found: [Detection] = []
    for look in track.watch.feed(chunk.value.samples) {
      if look.start != track.utterance { (track.utterance, track.last, track.isTold) = (look.start, nil, false) }
      guard !track.isTold else { continue }
      let match = try match(look)
      if let match, look.isWhole || match.command == track.last?.command {
        track.isTold = true
        found.append(
          Detection(
            .command, label: match.command, start: track.clock.time(of: look.start),
            end: track.clock.time(of: look.end), score: match.score))
      }
      track.last = match
    }
    tracks[chunk.session] = track
    return found
  }

  private func newTrack() -> Track {
    let second = LogMel.sampleRate
    let settings = UtteranceWatch.Settings(
      window: parameters.window * second / 1_000, every: parameters.every * second / 1_000,
      pause: parameters.pause * second / 1_000, shortest: second / 10)
    return Track(
      watch: UtteranceWatch(
        settings, judge: SpeechLevel(rate: second, margin: parameters.margin, level: parameters.level)))
  }

  /// The command that the sound is.
  private func match(_ look: UtteranceWatch.Look) throws -> CommandMatcher.Match? {
    let context = context
    func checkCancelled() throws { if context.isStopping { throw CancellationError() } }
    let silence = parameters.padding * LogMel.sampleRate / 1_000
    guard let features = try ear.features(of: look.samples, silence: silence, checkCancelled: checkCancelled) else {
      return nil
    }
    let transcription = try ear.decoder.transcribe(
      features, language: parameters.language, atMost: Self.mostTokens, checkCancelled: checkCancelled)
    guard transcription.isSpeech, let match = matcher.match(transcription.text) else { return nil }
    return match
  }
}
