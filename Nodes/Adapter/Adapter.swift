public import Dataflow
public import Messages
public import ModelKit
internal import Tensors

/// Brings an encoder's features to the width of Mini-Omni2's language model.
public struct AdapterNode: Node {
  public static let kind = "adapter"
  public static let summary = "Mini-Omni2's adapters: features of speech or of a picture in, the language model's out."

  public enum Modality: String, CaseIterable, Sendable {
    case speech, vision
  }

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let model: String
    public let weights: WeightPrecision
    public let modality: Modality
    public init(_ read: inout ParameterReader) {
      model = read.model(
        "model", default: "mini-omni2", help: "The Mini-Omni2: its name in the model cache, or its folder.")
      weights = read(
        "weights", default: .bf16,
        help: """
          How the matrices are kept and multiplied: 'stored' computes with what the file holds in 32 bits, as f32 does; \
          bf16, int8 and int4 round weights and activations, and are faster (docs/performance.md).
          """)
      modality = read(
        "modality", default: .speech, help: "'speech': for Whisper's features; 'vision': for CLIP's.")
    }

    fileprivate var known: MiniOmni2Adapters.Modality { modality == .speech ? .speech : .vision }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let features: Input<Features>
    public let adapted: Output<Features>
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      let (model, modality) = (parameters.model, parameters.known)
      features = bind.input(
        "features", found: .features(dim: try ModelHeader.adapterWidths(model, modality).inputs),
        help: "The encoder's.")
      adapted = bind.output(
        "adapted", found: .features(dim: try ModelHeader.adapterWidths(model, modality).outputs),
        help: "As many rows, as wide as the language model's embeddings.")
    }
  }

  private let context: NodeContext
  private let adapter: MiniOmni2Adapter

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.context = context
    Compute.setThreads(context.threads)
    let model = try ModelStore.shared.adapters(at: ModelFolder.path(parameters.model), weights: parameters.weights) {
      if context.isStopping { throw CancellationError() }
    }
    adapter = try MiniOmni2Adapter(model, parameters.known)
  }

  public mutating func run(_ ports: Ports) async throws {
    for try await features in ports.features {
      guard let adapted = try adapt(features) else { continue }
      try await ports.adapted.send(
        Features(values: SharedBuffer(adapted.values), rows: adapted.rows, dim: adapted.columns), following: features)
    }
  }

  /// Nil when the turn was interrupted, or the features are another model's.
  private func adapt(_ features: Received<Features>) throws -> Matrix? {
    let (context, turn, value) = (context, features.turn, features.value)
    guard let rows = Matrix(rows: value.rows, columns: value.dim, values: Array(value.values)) else { return nil }
    do {
      return try adapter.apply(rows) {
        if context.isStopping { throw CancellationError() }
        try turn.check()
      }
    } catch is TurnCut {
      return nil
    } catch let error as ModelInputError {
      context.fail(turn, because: "\(error)")
      return nil
    }
  }
}
