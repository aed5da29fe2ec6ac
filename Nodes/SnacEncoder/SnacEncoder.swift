public import Dataflow
public import Messages
internal import ModelKit
internal import Tensors

/// Turns sound into a SNAC codec's codes, frame by frame as it comes: what a listener reads, and what data sets hold.
public struct SnacEncoderNode: Node {
  public static let kind = "snac-encoder"
  public static let summary = "Turns sound into a SNAC codec's codes, frame by frame."

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let model: String
    public init(_ read: inout ParameterReader) {
      model = read.model(
        "model", default: "snac_24khz", help: "The SNAC codec: its name in the model cache, or its folder.")
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let audio: Input<AudioChunk>
    public let codes: Output<AudioCodes>
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      audio = bind.input(
        "audio", type: .audio(channels: 1),
        found: .reading { .audio(rate: try ModelHeader.snac(parameters.model).sampleRate) },
        help: "Sound of the codec's rate; the turn's end completes it.")
      codes = bind.output(
        "codes",
        found: .reading {
          let shape = try ModelHeader.snac(parameters.model)
          return .codes(layers: shape.layers, size: shape.codebookSize)
        }, help: "Frames of codes, timed as the sound they stand for; the last is filled up with silence.")
    }
  }

  /// What is known of a turn.
  private enum Sound {
    /// The stamp is that of the first chunk, the count that of the frames sent.
    case encoding(SnacEncoderStream, Stamp, sent: Int)
    case failed
  }

  private let parameters: Parameters
  private let context: NodeContext
  private let shape: SnacConfiguration
  private let encoder: SnacEncoder
  private var sounds: [Turn: Sound] = [:]
  /// Streams whose sounds are over, for those to come.
  private var idle: [SnacEncoderStream] = []
  private var codes: [Int32] = []

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    Compute.setThreads(context.threads)
    let model = try ModelStore.shared.snac(at: ModelFolder.path(parameters.model)) {
      if context.isStopping { throw CancellationError() }
    }
    shape = model.configuration
    encoder = try SnacEncoder(model)
    idle.append(SnacEncoderStream(model))
  }

  public mutating func run(_ ports: Ports) async throws {
    for try await event in ports.audio.events {
      switch event {
      case .message(let chunk): try await encode(chunk, ports.codes)
      case .turnEnded(let turn): try await finish(turn, ports.codes)
      case .turnCut(let cut):
        for turn in sounds.keys where turn.session == cut.session && turn.epoch <= cut.epoch && turn.epoch > 0 {
          forget(turn)
        }
      case .sessionEnded(let session):
        try await finish(Turn(session, epoch: 0), ports.codes)
        for turn in sounds.keys where turn.session == session { forget(turn) }
      case .sessionBegan: break
      }
    }
  }

  private mutating func encode(_ chunk: Received<AudioChunk>, _ output: Output<AudioCodes>) async throws {
    let (turn, audio) = (chunk.turn, chunk.value)
    if sounds[turn] == nil {
      sounds[turn] = .encoding(idle.popLast() ?? SnacEncoderStream(encoder.model), chunk.stamp, sent: 0)
    }
    guard case .encoding(let stream, _, _)? = sounds[turn] else { return }
    guard audio.rate == shape.sampleRate, audio.channels == 1 else {
      forget(turn)
      sounds[turn] = .failed
      return context.fail(
        turn,
        because: """
          \(audio.type) cannot be encoded; \(parameters.model) takes \
          \(PortType.audio(rate: shape.sampleRate, channels: 1))
          """)
    }
    var start = 0
    while start < audio.samples.count, !turn.isCut {
      let end = min(start + shape.frameSamples, audio.samples.count)
      try audio.samples.withUnsafeBufferPointer {
        try encoder.push(UnsafeBufferPointer(rebasing: $0[start..<end]), to: stream, into: &codes)
      }
      start = end
      try await send(turn, chunk.stamp.trace, output)
    }
  }

  private mutating func finish(_ turn: Turn, _ output: Output<AudioCodes>) async throws {
    defer { forget(turn) }
    guard case .encoding(let stream, _, _)? = sounds[turn], !turn.isCut else { return }
    try encoder.finish(stream, into: &codes)
    try await send(turn, nil, output)
  }

  /// Sends the codes that have come together.
  private mutating func send(_ turn: Turn, _ trace: UInt64?, _ output: Output<AudioCodes>) async throws {
    guard case .encoding(let stream, let stamp, let sent)? = sounds[turn], !codes.isEmpty else { return }
    let value = AudioCodes(codes: SharedBuffer(codes), layers: shape.layers, size: shape.codebookSize)
    codes.removeAll(keepingCapacity: true)
    sounds[turn] = .encoding(stream, stamp, sent: sent + value.frames)
    let offset = Int64(sent * shape.frameSamples) * 1_000_000_000 / Int64(shape.sampleRate)
    try await output.send(value, turn: turn, time: stamp.time + offset, trace: trace)
  }

  private mutating func forget(_ turn: Turn) {
    if case .encoding(let stream, _, _)? = sounds.removeValue(forKey: turn) {
      stream.reset()
      idle.append(stream)
    }
  }
}
