public import Dataflow
public import Messages
public import ModelKit
internal import Tensors

/// Hears once more what a detector has found, by Whisper, and lets pass only what may well be the command.
///
/// It does not write down what is said, for a single word is easily misheard; it asks how likely the text is to begin with
/// the command, beside what is likeliest. Nothing is computed but for a detection, and the same sound and detections give
/// the same at any speed.
public struct DetectionCheckNode: Node {
  public static let kind = "detection-check"
  public static let summary =
    "Hears what a detector took for a command once more, with Whisper, and drops what is none."

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let model: String
    public let weights: WeightPrecision
    public let language: String
    public let commands: [String]
    public let threshold: Double
    let window: Int
    let after: Int
    let padding: Int

    public init(_ read: inout ParameterReader) {
      model = read.model(
        "model", default: "whisper-tiny.en", help: "The Whisper model: its name in the model cache, or its folder.")
      weights = read(
        "weights", default: .bf16, help: "How the encoder's matrices are kept and multiplied; see whisper-encoder.")
      language = read("language", default: "en", help: "Code of the commands' language, such as en or zh.")
      commands = read(
        "commands", default: CommandSet.defaults[language],
        help: "What a detection may be that is not called by its command; one that is need not be among them.")
      threshold = read(
        "threshold", default: -6.5, in: -60...0,
        help: """
          A detection passes if the text is at least so likely to begin with the command, beside its likeliest \
          beginning, as a natural logarithm: nearer to 0, and more is dropped.
          """)
      window = read(
        "window", default: 1_200, in: 300...10_000, unit: "ms",
        help: "So much sound is heard: the command, and what was said before it.")
      after = read(
        "after", default: 50, in: 0...1_000, unit: "ms",
        help: "So much of it lies behind the detection's end; a detector that waits for silence has heard it already.")
      padding = read(
        "padding", default: 3_000, in: 0...28_000, unit: "ms",
        help: "Silence behind it, in which Whisper, which was trained on half a minute, hears better; it takes longer.")
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let audio: Input<AudioChunk>
    public let detections: Input<Detection>
    public let checked: Output<Detection>

    /// - Throws: `ParameterError` for a language that the model does not know.
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      audio = bind.input(
        "audio", type: .audio(rate: LogMel.sampleRate, channels: 1),
        help: "The sound in which the detector found something, from the session's start.")
      detections = bind.input("detections", help: "What a detector found; speech, which is no command, passes.")
      checked = bind.output("detections", help: "Those that pass, as they came and in their order.")
      // A model that is not there may be on the machine that runs this.
      if let refusal = try? ModelHeader.refusal(of: parameters.language, by: parameters.model) {
        throw ParameterError("language", refusal)
      }
    }
  }

  private let parameters: Parameters
  private let context: NodeContext
  private let ear: WhisperEar
  /// What the text may begin with for each command, and for a detection that is called by none of them.
  private let openings: [String: Set<Int32>]
  private let anyOpening: Set<Int32>
  private var tracks: [Session: CheckTrack] = [:]

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    Compute.setThreads(context.threads)
    let folder = try ModelFolder.path(parameters.model)
    func checkCancelled() throws { if context.isStopping { throw CancellationError() } }
    ear = try WhisperEar(at: folder, weights: parameters.weights, checkCancelled: checkCancelled)
    let tokenizer = ear.decoder.model.tokenizer
    openings = parameters.commands.reduce(into: [:]) {
      $0[$1] = CommandOpenings.tokens($1, language: parameters.language, tokenizer)
    }
    anyOpening = openings.values.reduce(into: []) { $0.formUnion($1) }
  }

  public mutating func run(_ ports: Ports) async throws {
    for try await arrival in arrivals(on: ports.audio, ports.detections) {
      if let cut = arrival.cut {
        tracks[cut.session]?.forget(through: cut.epoch)
      } else if let event = try ports.audio.event(of: arrival) {
        switch event {
        case .message(let chunk): try await change(chunk.session, ports) { $0.take(chunk) }
        case .sessionEnded(let session): try await change(session, ports) { $0.endSound() }
        case .sessionBegan, .turnEnded, .turnCut: break
        }
      } else if let event = try ports.detections.event(of: arrival) {
        switch event {
        case .message(let found): try await change(found.session, ports) { $0.take(found) }
        case .sessionEnded(let session): try await change(session, ports) { $0.endDetections() }
        case .sessionBegan, .turnEnded, .turnCut: break
        }
      }
    }
  }

  /// Lets something happen in a session's track, and sends what can be decided then.
  private mutating func change(
    _ session: Session, _ ports: Ports, _ happening: (inout CheckTrack) -> Void
  ) async throws {
    var track =
      tracks.removeValue(forKey: session)
      ?? CheckTrack(window: Self.samples(parameters.window), after: Self.samples(parameters.after))
    happening(&track)
    while let (found, sound) = track.next() {
      guard try passes(found.value, sound) else { continue }
      try await ports.checked.send(found.value, following: found, time: found.stamp.time)
    }
    if !track.isOver { tracks[session] = track }
  }

  private static func samples(_ milliseconds: Int) -> Int { milliseconds * LogMel.sampleRate / 1_000 }

  /// - Parameter sound: nil if it is no longer there, and nothing can be said against the detection.
  private func passes(_ detection: Detection, _ sound: [Float]?) throws -> Bool {
    guard detection.kind == .command, let sound else { return true }
    let context = context
    func checkCancelled() throws { if context.isStopping { throw CancellationError() } }
    let silence = Self.samples(parameters.padding)
    guard let features = try ear.features(of: sound, silence: silence, checkCancelled: checkCancelled) else {
      return false
    }
    let opening =
      openings[detection.label]
      ?? CommandOpenings.tokens(detection.label, language: parameters.language, ear.decoder.model.tokenizer)
      .union(anyOpening)
    let likelihood = try ear.decoder.likelihood(
      of: opening, openingTextOf: features, language: parameters.language, checkCancelled: checkCancelled)
    return Double(likelihood) >= parameters.threshold
  }
}
