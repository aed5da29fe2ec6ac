public import Dataflow
public import Messages
internal import ModelKit
internal import Tensors

/// Writes down what Whisper's encoder heard.
///
/// A window's text is sent when it is whole: only then is it sure that it was speech and not noise.
public struct WhisperDecoderNode: Node {
  public static let kind = "whisper-decoder"
  public static let summary = "Whisper's decoder: features in, the transcript out."

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let model: String
    public let language: String
    public init(_ read: inout ParameterReader) {
      model = read.model(
        "model", default: "whisper-tiny.en",
        help: "The Whisper model: its name in the model cache, or its folder; the same as the encoder's.")
      language = read(
        "language", default: "en", help: "Code of the language that is spoken, such as en, de, zh.")
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let features: Input<Features>
    public let text: Output<Text>
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      features = bind.input(
        "features", found: .features(dim: try ModelHeader.whisperWidth(parameters.model)),
        help: "The encoder's output, a message a window.")
      text = bind.output("text", help: "The transcript, a piece a window; nothing where nobody speaks.")
    }
  }

  private let parameters: Parameters
  private let context: NodeContext
  private let decoder: WhisperDecoder
  /// Turns of which some text has been sent.
  private var begun: Set<Turn> = []

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    Compute.setThreads(context.threads)
    let model = try ModelStore.shared.whisperDecoder(at: ModelFolder.path(parameters.model)) {
      if context.isStopping { throw CancellationError() }
    }
    let refusal = ModelHeader.refusal(of: parameters.language, by: parameters.model, thatKnows: model.languages)
    if let refusal {
      throw ParameterError("language", refusal)
    }
    decoder = try WhisperDecoder(model)
  }

  public mutating func run(_ ports: Ports) async throws {
    for try await event in ports.features.events {
      switch event {
      case .message(let window): try await transcribe(window, ports.text)
      case .turnEnded(let turn): begun.remove(turn)
      case .turnCut(let cut):
        begun = begun.filter { $0.session != cut.session || $0.epoch > cut.epoch || $0.epoch == 0 }
      case .sessionEnded(let session): begun = begun.filter { $0.session != session }
      case .sessionBegan: break
      }
    }
  }

  private mutating func transcribe(_ window: Received<Features>, _ output: Output<Text>) async throws {
    let value = window.value
    guard let features = Matrix(rows: value.rows, columns: value.dim, values: Array(value.values)) else { return }
    let context = context
    let turn = window.turn
    let transcription: Transcription
    do {
      transcription = try decoder.transcribe(
        features, language: parameters.language,
        checkCancelled: {
          if context.isStopping { throw CancellationError() }
          try turn.check()
        })
    } catch is TurnCut {
      return
    }
    guard !transcription.text.isEmpty else { return }
    let separator = begun.insert(turn).inserted ? "" : " "
    try await output.send(Text(separator + transcription.text), following: window)
  }
}
