public import Dataflow
public import Messages
internal import ModelKit
internal import Tensors

/// Turns speech into Whisper's features, once a turn, or once every 30 seconds of it.
///
/// Sound that belongs to no turn is encoded too, in windows of 30 seconds of the session: a file can be transcribed
/// without ``speech-end``.
public struct WhisperEncoderNode: Node {
  public static let kind = "whisper-encoder"
  public static let summary = "Log-mel spectrogram and Whisper's encoder: speech in, features out."

  public struct Parameters: NodeParameters {
    public let model: String
    public init(_ read: inout ParameterReader) {
      model = read.model(
        "model", default: "whisper-tiny.en",
        help: "The Whisper model: its name in the model cache, or its folder.")
    }
  }

  public struct Ports: PortSet {
    public let audio: Input<AudioChunk>
    public let features: Output<Features>
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      audio = bind.input(
        "audio", type: .audio(rate: LogMel.sampleRate, channels: 1), help: "Speech; the turn's end completes it.")
      features = bind.output(
        "features", found: .features(dim: try ModelHeader.whisperWidth(parameters.model)),
        help: "1500 rows for each 30 s (the rest of the last window is padding).")
    }
  }

  /// What has come of a turn since its last window.
  private struct Speech {
    var samples: [Float] = []
    var stamp = Stamp()
  }

  private let context: NodeContext
  private let mel: LogMel
  private let encoder: WhisperEncoder
  private var turns: [Turn: Speech] = [:]

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.context = context
    Compute.setThreads(context.threads)
    let model = try ModelStore.shared.whisper(at: ModelFolder.path(parameters.model)) {
      if context.isStopping { throw CancellationError() }
    }
    mel = LogMel(bins: model.configuration.melBins)
    encoder = WhisperEncoder(model)
  }

  public mutating func run(_ ports: Ports) async throws {
    for try await event in ports.audio.events {
      switch event {
      case .message(let chunk):
        var speech = turns.removeValue(forKey: chunk.turn) ?? Speech(stamp: chunk.stamp)
        speech.samples.append(contentsOf: chunk.value.samples)
        while speech.samples.count >= LogMel.windowSamples {
          let window = Array(speech.samples[..<LogMel.windowSamples])
          try await encode(window, chunk.turn, speech.stamp, ports.features)
          speech.samples.removeFirst(LogMel.windowSamples)
          speech.stamp = chunk.stamp
        }
        if !speech.samples.isEmpty { turns[chunk.turn] = speech }
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

  private mutating func finish(_ turn: Turn, _ output: Output<Features>) async throws {
    guard let speech = turns.removeValue(forKey: turn) else { return }
    try await encode(speech.samples, turn, speech.stamp, output)
  }

  /// Encodes a window; an interruption is noticed at the next layer.
  private func encode(_ samples: [Float], _ turn: Turn, _ stamp: Stamp, _ output: Output<Features>) async throws {
    let context = context
    let features: Matrix
    do {
      features = try encoder.encode(mel.features(samples)) {
        if context.isStopping { throw CancellationError() }
        try turn.check()
      }
    } catch is TurnCut {
      return
    }
    try await output.send(
      Features(values: SharedBuffer(features.values), rows: features.rows, dim: features.columns), turn: turn,
      time: stamp.time, trace: stamp.trace)
  }
}
