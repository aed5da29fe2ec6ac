public import Dataflow
public import Messages
internal import ModelKit
internal import Tensors

/// Turns a SNAC codec's codes into sound, frame by frame as they come.
///
/// What is sent is the same, bit by bit, however the codes are divided into messages, and the same as if the whole answer
/// had been decoded at once.
public struct SnacDecoderNode: Node {
  public static let kind = "snac-decoder"
  public static let summary = "Turns a SNAC codec's codes into sound, frame by frame."

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let model: String
    public let noise: Float
    public let early: Int
    public let seed: Int
    public init(_ read: inout ParameterReader) {
      model = read.model(
        "model", default: "snac_24khz", help: "The SNAC codec: its name in the model cache, or its folder.")
      noise = read(
        "noise", default: 1, in: 0...4,
        help: "Level of the noise that the codec puts into breath and hiss; 1 as it was trained, 0 is none.")
      early = read(
        "early", default: 0, in: 0...16, unit: "frames",
        help: """
          So many frames at the beginning of an answer are heard as soon as they come, before those that follow decide \
          on their exact sound; thereafter the sound fades into the exact one and waits for it.
          """)
      seed = read("seed", default: 0, in: 0...Int.max, help: "Seed of each turn's noise; 0 takes the run's.")
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let codes: Input<AudioCodes>
    public let audio: Output<AudioChunk>
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      codes = bind.input(
        "codes",
        found: .reading {
          let shape = try ModelHeader.snac(parameters.model)
          return .codes(layers: shape.layers, size: shape.codebookSize)
        }, help: "Frames of codes, any number a message; the turn's end completes them.")
      audio = bind.output(
        "audio", type: .audio(channels: 1),
        found: .reading { .audio(rate: try ModelHeader.snac(parameters.model).sampleRate) },
        help: """
          Sound, frame by frame, behind the codes by the 198 ms (of the 24 kHz model) for which convolutions look ahead; \
          its time starts at 0 in each turn.
          """)
    }
  }

  /// What is known of a turn.
  private enum Answer {
    case decoding(SnacStream)
    case failed
  }

  private let parameters: Parameters
  private let context: NodeContext
  private let shape: SnacConfiguration
  private let decoder: SnacDecoder
  private var answers: [Turn: Answer] = [:]
  /// Streams whose answers are over, for those to come.
  private var idle: [SnacStream] = []
  private var samples: [Float] = []

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    Compute.setThreads(context.threads)
    let model = try ModelStore.shared.snac(at: ModelFolder.path(parameters.model)) {
      if context.isStopping { throw CancellationError() }
    }
    shape = model.configuration
    decoder = try SnacDecoder(model)
    idle.append(SnacStream(model, early: parameters.early))
    samples.reserveCapacity(shape.frameSamples + shape.decoderDelay)
  }

  public mutating func run(_ ports: Ports) async throws {
    for try await event in ports.codes.events {
      switch event {
      case .message(let codes): try await decode(codes, ports.audio)
      case .turnEnded(let turn): try await finish(turn, ports.audio)
      case .turnCut(let cut):
        for turn in answers.keys where turn.session == cut.session && turn.epoch <= cut.epoch && turn.epoch > 0 {
          forget(turn)
        }
      case .sessionEnded(let session):
        try await finish(Turn(session, epoch: 0), ports.audio)
        for turn in answers.keys where turn.session == session { forget(turn) }
      case .sessionBegan: break
      }
    }
  }

  private mutating func decode(_ message: Received<AudioCodes>, _ output: Output<AudioChunk>) async throws {
    let (turn, value) = (message.turn, message.value)
    guard case .decoding(let stream) = answer(turn) else { return }
    guard value.layers == shape.layers, value.size == shape.codebookSize else {
      return fail(turn, because: "\(value.type) cannot be decoded; \(parameters.model) takes \(expected)")
    }
    for frame in 0..<value.frames {
      if turn.isCut { return }
      let first = stream.given
      samples.removeAll(keepingCapacity: true)
      do {
        let codes = value.codes[frame * shape.layers..<(frame + 1) * shape.layers]
        try decoder.push(codes, to: stream, into: &samples)
      } catch {
        return fail(turn, because: "\(error)")
      }
      try await send(first, turn, message.stamp.trace, output)
    }
  }

  /// Sends what the turn's last frames still owe.
  private mutating func finish(_ turn: Turn, _ output: Output<AudioChunk>) async throws {
    defer { forget(turn) }
    guard case .decoding(let stream)? = answers[turn], !turn.isCut else { return }
    let first = stream.given
    samples.removeAll(keepingCapacity: true)
    try decoder.finish(stream, into: &samples)
    try await send(first, turn, nil, output)
  }

  /// Sends the samples, the first of which is the turn's `first`.
  private func send(_ first: Int, _ turn: Turn, _ trace: UInt64?, _ output: Output<AudioChunk>) async throws {
    guard !samples.isEmpty else { return }
    try await output.send(
      AudioChunk(samples: SharedBuffer(samples), rate: shape.sampleRate), turn: turn,
      time: Int64(first) * 1_000_000_000 / Int64(shape.sampleRate), trace: trace)
  }

  private var expected: PortType { .codes(layers: shape.layers, size: shape.codebookSize) }

  private mutating func answer(_ turn: Turn) -> Answer {
    if let answer = answers[turn] { return answer }
    // A turn's noise depends on its number and not on what other sessions do meanwhile.
    let seed = parameters.seed == 0 ? context.seed : UInt64(parameters.seed)
    let noise = SnacNoise.seeded(seed &+ UInt64(turn.epoch) &* 0x9e37_79b9_7f4a_7c15, level: parameters.noise)
    let stream = idle.popLast() ?? SnacStream(decoder.model, early: parameters.early)
    stream.reset(noise: noise)
    answers[turn] = .decoding(stream)
    return .decoding(stream)
  }

  /// The rest of the turn is skipped.
  private mutating func fail(_ turn: Turn, because reason: String) {
    forget(turn)
    answers[turn] = .failed
    context.fail(turn, because: reason)
  }

  private mutating func forget(_ turn: Turn) {
    if case .decoding(let stream)? = answers.removeValue(forKey: turn) { idle.append(stream) }
  }
}
