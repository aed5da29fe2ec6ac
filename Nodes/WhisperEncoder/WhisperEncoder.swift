public import Dataflow
public import Messages
public import ModelKit
internal import Tensors

/// Turns speech into Whisper's features, once a turn, or once every 30 seconds of it.
///
/// Sound that belongs to no turn is encoded too, in windows of 30 seconds of the session: a file can be transcribed
/// without ``voice-activity``.
public struct WhisperEncoderNode: Node {
  public static let kind = "whisper-encoder"
  public static let summary = "Log-mel spectrogram and Whisper's encoder: speech in, features out."

  public enum Rows: String, CaseIterable, Sendable {
    case window, heard
  }
  public enum Extent: String, CaseIterable, Sendable {
    case padded, tight
  }
  public enum Padding: String, CaseIterable, Sendable {
    case zeros, silence
  }

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let model: String
    public let weights: WeightPrecision
    public let rows: Rows
    public let encode: Extent
    public let padding: Padding
    public let ahead: Bool
    public init(_ read: inout ParameterReader) {
      model = read.model(
        "model", default: "whisper-tiny.en",
        help: """
          The Whisper model: its name in the model cache, its folder, or a file of openai-whisper's such as small.pt, \
          which may lie in the folder of a Mini-Omni2.
          """)
      weights = read(
        "weights", default: .bf16,
        help: """
          How the matrices are kept and multiplied: 'stored' computes with what the file holds in 32 bits, as f32 does; \
          bf16, int8 and int4 round weights and activations, and are faster (docs/performance.md).
          """)
      rows = read(
        "rows", default: .window,
        help: """
          'window': all rows of every 30 s; 'heard': of the first 30 s, those before the sound ended, which is what \
          Mini-Omni2 takes.
          """)
      encode = read(
        "encode", default: .padded,
        help: """
          'padded': 30 s are encoded, as the model was trained; 'tight': only what was heard, which is faster and gives \
          other features.
          """)
      padding = read(
        "padding", default: .zeros,
        help: """
          What stands after the end of the sound. 'zeros': zeros in place of features, as in transcription; 'silence': \
          features of silence, which Mini-Omni2 was trained on.
          """)
      ahead = read(
        "ahead", default: true,
        help: """
          Whether to encode where the speaker pauses (an empty chunk says so), before it is known that the turn is over; \
          if speech goes on, that was in vain. The features are the same.
          """)
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let audio: Input<AudioChunk>
    public let features: Output<Features>
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      audio = bind.input(
        "audio", type: .audio(rate: LogMel.sampleRate, channels: 1),
        help: "Speech; the turn's end completes it, and an empty chunk says that it may come.")
      features = bind.output(
        "features", found: .features(dim: try ModelHeader.whisperWidth(parameters.model)),
        help: "Rows of 20 ms: 1500 for each 30 s (the rest of the last window is padding), or those that were heard.")
    }
  }

  /// What has come of a turn since its last window.
  private struct Speech {
    var samples: [Float] = []
    var stamp = Stamp()
    /// What was encoded of these samples at a pause.
    var ahead: Matrix?
    /// Whether the turn has had all that it gets; what comes after is dropped, and the user told.
    var isFull = false
    var isTold = false
  }

  private let parameters: Parameters
  private let context: NodeContext
  private let mel: LogMel
  private let encoder: WhisperEncoder
  private var turns: [Turn: Speech] = [:]
  /// What came while it was encoding ahead, in order.
  private var later: [InputEvent<AudioChunk>] = []

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    Compute.setThreads(context.threads)
    let model = try ModelStore.shared.whisperEncoder(
      at: ModelFolder.path(parameters.model), weights: parameters.weights
    ) {
      if context.isStopping { throw CancellationError() }
    }
    mel = LogMel(bins: model.configuration.melBins, padding: parameters.padding == .zeros ? .zeros : .silence)
    encoder = WhisperEncoder(model)
  }

  public mutating func run(_ ports: Ports) async throws {
    var events = ports.audio.events.makeAsyncIterator()
    while let event = try await later.isEmpty ? events.next() : later.removeFirst() {
      switch event {
      case .message(let chunk) where chunk.value.samples.isEmpty: try encodeAhead(of: chunk.turn, &events)
      case .message(let chunk): try await hear(chunk, ports.features)
      case .turnEnded(let turn): try await finish(turn, ports.features)
      case .turnCut(let cut):
        turns = turns.filter { $0.key.session != cut.session || $0.key.epoch > cut.epoch || $0.key.epoch == 0 }
      case .sessionEnded(let session):
        try await finish(Turn(session, epoch: 0), ports.features)
        turns = turns.filter { $0.key.session != session }
      case .sessionBegan: break
      }
    }
  }

  /// Encodes a window as soon as it is full.
  private mutating func hear(_ chunk: Received<AudioChunk>, _ output: Output<Features>) async throws {
    var speech = turns.removeValue(forKey: chunk.turn) ?? Speech(stamp: chunk.stamp)
    speech.samples.append(contentsOf: chunk.value.samples)
    speech.ahead = nil
    while speech.samples.count >= LogMel.windowSamples, !speech.isFull {
      let window = Array(speech.samples[..<LogMel.windowSamples])
      try await encode(window, chunk.turn, speech.stamp, output)
      speech.samples.removeFirst(LogMel.windowSamples)
      speech.stamp = chunk.stamp
      speech.isFull = parameters.rows == .heard
    }
    if speech.isFull, !speech.samples.isEmpty {
      // Mini-Omni2's release trims what it hears to a window, too.
      if !speech.isTold { context.log("\(chunk.turn) is longer than 30 s; the rest is not heard") }
      (speech.samples, speech.isTold) = ([], true)
    }
    if !speech.samples.isEmpty || speech.isFull { turns[chunk.turn] = speech }
  }

  private mutating func finish(_ turn: Turn, _ output: Output<Features>) async throws {
    guard let speech = turns.removeValue(forKey: turn), !speech.isFull else { return }
    if let features = speech.ahead {
      try await send(features, turn, speech.stamp, output)
    } else {
      try await encode(speech.samples, turn, speech.stamp, output)
    }
  }

  /// Encodes what has come of a turn, for the case that nothing more comes; gives up as soon as there is other work.
  private mutating func encodeAhead(
    of turn: Turn, _ events: inout InputEvents<AudioChunk>.AsyncIterator
  ) throws {
    guard parameters.ahead, let speech = turns[turn], !speech.isFull, speech.ahead == nil, later.isEmpty else { return }
    var came: [InputEvent<AudioChunk>] = []
    var isOver = false
    do {
      let features = try features(of: speech.samples, turn) {
        while !isOver, let event = try events.waiting() {
          came.append(event)
          if case .turnEnded(turn) = event { isOver = true } else { throw OtherWork() }
        }
      }
      turns[turn]?.ahead = features
    } catch is TurnCut {
    } catch is OtherWork {
    }
    later += came
  }

  /// Something else is to be done than to encode ahead.
  private struct OtherWork: Error {}

  /// Encodes a window.
  private func encode(_ samples: [Float], _ turn: Turn, _ stamp: Stamp, _ output: Output<Features>) async throws {
    do {
      try await send(features(of: samples, turn), turn, stamp, output)
    } catch is TurnCut {
    }
  }

  /// A window's features; an interruption is noticed at the next layer, where `check` is asked, too.
  private func features(of samples: [Float], _ turn: Turn, check: CancellationCheck = {}) throws -> Matrix {
    let context = context
    let heard = min(LogMel.heardRows(samples.count), encoder.model.configuration.context)
    var frames = mel.features(samples)
    if parameters.encode == .tight { frames = frames.prefix(2 * heard) }
    let features = try encoder.encode(frames) {
      if context.isStopping { throw CancellationError() }
      try turn.check()
      try check()
    }
    return parameters.rows == .heard ? features.prefix(heard) : features
  }

  private func send(_ features: Matrix, _ turn: Turn, _ stamp: Stamp, _ output: Output<Features>) async throws {
    try await output.send(
      Features(values: SharedBuffer(features.values), rows: features.rows, dim: features.columns), turn: turn,
      time: stamp.time, trace: stamp.trace)
  }
}
