public import Dataflow
public import Messages
public import ModelKit
internal import Tensors

/// Hears spoken commands with a Mini-Omni2's own listener: one more row of its language model, which reads the sound as the
/// codec's codes and says at each frame whether a command was spoken (arXiv 2410.11190, section 3.4).
///
/// What is found depends on the sound alone, not on the chunks it comes in nor on the clock. Which of its commands it was
/// the model does not say.
public struct ListenerDetectorNode: Node {
  public static let kind = "listener-detector"
  public static let summary = "Hears spoken commands with a Mini-Omni2 that was trained to listen."

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let model: String
    public let codec: String
    public let weights: WeightPrecision
    public let language: String
    public let commands: [String]
    public let threshold: Float
    public let refractory: Int

    public init(_ read: inout ParameterReader) {
      model = read.model(
        "model", default: "./models/omni",
        help: "The Mini-Omni2: its name in the model cache, or its folder, with a listener.json that training wrote.")
      codec = read.model(
        "codec", default: "",
        help: "Its SNAC codec: the name in the model cache, or the folder; if empty, 'snac' in the model's folder.")
      weights = read(
        "weights", default: .bf16,
        help: "How the matrices are kept and multiplied; shared with an llm-step of the same model and weights.")
      language = read("language", default: "en", help: "Code of the commands' language.")
      commands = read(
        "commands", default: [],
        help: "What to listen for; empty: what it was taught, all of which it takes for one and cannot tell apart.")
      threshold = read(
        "threshold", default: 0, in: 0...1,
        help: "Probability from which a command is taken for said; 0 is what the model's maker recommends.")
      refractory = read(
        "refractory", default: 600, in: 0...60_000, unit: "ms", help: "After a command nothing is found for so long.")
      // Where the model is not there, the machine that runs the node will tell.
      guard (try? ModelFolder.path(model)) != nil else { return }
      do {
        let known = try ModelHeader.listener(model, codec: codecPath)
        if let fault = fault(known) { read.reject(fault.parameter, fault.problem) }
      } catch {
        read.reject("model", "\(error)")
      }
    }

    /// Nil for the one in the model's folder.
    var codecPath: String? { codec.isEmpty ? nil : codec }

    /// What is asked for and was not taught.
    func fault(_ known: MiniOmni2ListenerConfiguration) -> ParameterError? {
      let all = known.commands.joined(separator: ", ")
      if known.language != language {
        return ParameterError(
          "language", "'\(language)' is not known to \(model), whose commands are of '\(known.language)'")
      }
      if let phrase = known.unknown(of: commands) {
        return ParameterError("commands", "'\(phrase)' is not known to \(model); it knows \(all)")
      }
      if !commands.isEmpty, let phrase = known.missing(in: commands) {
        return ParameterError(
          "commands",
          "'\(phrase)' cannot be left out: \(model) was taught \(all) as one; give all of them, or none")
      }
      return nil
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let audio: Input<AudioChunk>
    public let detections: Output<Detection>
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      audio = bind.input("audio", type: .audio(rate: rate, channels: 1), help: "The session's sound, from its start.")
      detections = bind.output("detections", help: "A command when it has been said, timed by its end.")
    }
  }

  private static let rate = 16_000

  /// A session on its way through the node.
  private struct Track {
    let stream: MiniOmni2ListenerStream
    var sound: CodecSound
    var clock = SampleClock(rate: rate)
    var decision: KeywordDecision
  }

  private let parameters: Parameters
  private let context: NodeContext
  private let listener: MiniOmni2Listener
  private let runner: MiniOmni2ListenerRunner
  private let label: String
  private var tracks: [Session: Track] = [:]
  /// Streams whose sessions are over, for those to come.
  private var idle: [MiniOmni2ListenerStream] = []

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    Compute.setThreads(context.threads)
    let folder = try ModelFolder.path(parameters.model)
    listener = try ModelStore.shared.miniOmni2Listener(
      at: folder, codec: ModelFolder.path(parameters.codecPath ?? "\(folder)/snac"), weights: parameters.weights
    ) {
      if context.isStopping { throw CancellationError() }
    }
    let known = listener.configuration
    if let fault = parameters.fault(known) { throw fault }
    label = known.commands.count == 1 ? parameters.commands.first ?? known.commands[0] : "irq"
    runner = try MiniOmni2ListenerRunner(listener)
    idle.append(try MiniOmni2ListenerStream(listener))
  }

  public mutating func run(_ ports: Ports) async throws {
    for try await event in ports.audio.events {
      switch event {
      case .message(let chunk):
        for detection in try listen(to: chunk) {
          try await ports.detections.send(detection, following: chunk, time: detection.end)
        }
      case .sessionEnded(let session):
        guard let stream = tracks.removeValue(forKey: session)?.stream else { break }
        stream.reset()
        idle.append(stream)
      case .sessionBegan, .turnEnded, .turnCut: break
      }
    }
  }

  private mutating func listen(to chunk: Received<AudioChunk>) throws -> [Detection] {
    var track = try tracks.removeValue(forKey: chunk.session) ?? newTrack()
    track.clock.take(chunk)
    let (context, runner, label, stream) = (context, runner, label, track.stream)
    let rate = listener.codec.configuration.sampleRate
    let clock = track.clock
    var decision = track.decision
    var found: [Detection] = []
    try chunk.value.samples.withUnsafeBufferPointer { samples in
      try track.sound.push(samples) { sound in
        try runner.push(
          sound, to: stream, checkCancelled: { if context.isStopping { throw CancellationError() } }
        ) { probability in
          guard let hit = decision.feed(probability) else { return }
          let extent = stream.extent()
          found.append(
            Detection(
              .command, label: label, start: clock.time(of: extent.lowerBound * Self.rate / rate),
              end: clock.time(of: extent.upperBound * Self.rate / rate), score: hit.score))
        }
      }
    }
    track.decision = decision
    tracks[chunk.session] = track
    return found
  }

  private mutating func newTrack() throws -> Track {
    let (known, codec) = (listener.configuration, listener.codec.configuration)
    return Track(
      stream: try idle.popLast() ?? MiniOmni2ListenerStream(listener),
      sound: CodecSound(from: Self.rate, to: codec.sampleRate),
      decision: KeywordDecision(
        wanted: [0], threshold: parameters.threshold > 0 ? parameters.threshold : known.threshold,
        average: known.average, refractory: parameters.refractory * codec.sampleRate / 1_000 / codec.frameSamples))
  }
}
