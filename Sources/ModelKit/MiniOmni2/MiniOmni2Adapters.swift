public import Tensors

/// What brings features of speech and of pictures to the language model's width: two small networks in `lit_model.pth`.
/// They never change and are shared; ``MiniOmni2Adapter`` computes with one of them.
public final class MiniOmni2Adapters: Sendable {
  /// What a feature is of.
  public enum Modality: String, CaseIterable, Sendable {
    case speech, vision
  }

  /// One network: [rows, inputs] to [rows, outputs].
  struct Weights: Sendable {
    enum Form: Sendable {
      /// `proj(silu(gate x) * up x)`
      case gated(gate: Linear, up: Linear, down: Linear)
      case linear(Linear)
    }
    var form: Form
    var inputs: Int
    var outputs: Int
  }

  let speech: Weights
  /// Mini-Omni2's forerunner does not see.
  let vision: Weights?
  let file: String

  /// Reads a release's folder.
  ///
  /// - Throws: ``ModelError``, `ComputeError` for a wrong `ANTIPHON_CPU`, or what `checkCancelled` throws.
  package init(
    folder: String, precision: WeightPrecision = .stored, checkCancelled: CancellationCheck = {}
  ) throws {
    try Compute.check()
    let release = try MiniOmni2Weights(folder: folder, checkCancelled: checkCancelled)
    file = release.path
    let keeper = WeightKeeper(precision, file: release.path, part: "adapters")
    speech = try Self.weights(of: .speech, in: release, keeper)
    let sees = release.contains(prefix: "\(Modality.vision.prefix).")
    vision = sees ? try Self.weights(of: .vision, in: release, keeper) : nil
    keeper.finish()
  }

  /// - Throws: ``ModelError`` when the checkpoint has no adapter for it.
  func weights(_ modality: Modality) throws(ModelError) -> Weights {
    switch modality {
    case .speech: return speech
    case .vision:
      guard let vision else { throw ModelError(file: file, part: modality.prefix, .missing) }
      return vision
    }
  }
}

/// Applies one adapter; one for each thread that does. Its buffers are allocated once.
public final class MiniOmni2Adapter {
  private let weights: MiniOmni2Adapters.Weights
  private let scratch = Scratch()
  private let gate, up: Floats

  /// Rows that are computed at once: as many as a picture has, or a second of speech.
  private static let block = 64

  /// - Throws: ``ModelError`` when the checkpoint has no adapter for the modality.
  public init(_ model: MiniOmni2Adapters, _ modality: MiniOmni2Adapters.Modality) throws(ModelError) {
    weights = try model.weights(modality)
    var inner = 0
    if case .gated(let gate, _, _) = weights.form { inner = Self.block * gate.outputs }
    (gate, up) = (Floats(inner), Floats(inner))
  }

  /// - Parameter features: rows as the encoder made them.
  /// - Returns: as many rows of the language model's width.
  /// - Throws: ``ModelInputError`` for features of another width, or what `checkCancelled` throws.
  public func apply(_ features: Matrix, checkCancelled: CancellationCheck = {}) throws -> Matrix {
    guard features.columns == weights.inputs else {
      throw ModelInputError.shape(
        expected: "features of \(weights.inputs)", found: "\(features.rows) of \(features.columns)")
    }
    var result = Matrix(rows: features.rows, columns: weights.outputs)
    try features.values.withUnsafeBufferPointer { x in
      try result.withMutableFloats { y in
        guard let x = x.baseAddress, let y = y.baseAddress else { return }
        for first in stride(from: 0, to: features.rows, by: Self.block) {
          try checkCancelled()
          let rows = min(Self.block, features.rows - first)
          apply(x + first * weights.inputs, rows: rows, into: y + first * weights.outputs)
        }
      }
    }
    return result
  }

  private func apply(_ x: UnsafePointer<Float>, rows: Int, into y: UnsafeMutablePointer<Float>) {
    switch weights.form {
    case .linear(let linear): linear.apply(x, rows: rows, into: y, scratch: scratch)
    case .gated(let gateWeights, let upWeights, let downWeights):
      gateWeights.apply(x, rows: rows, into: gate.start, scratch: scratch)
      upWeights.apply(x, rows: rows, into: up.start, scratch: scratch)
      Operations.siluMultiply(gate.start, up.start, count: rows * gateWeights.outputs)
      downWeights.apply(gate.start, rows: rows, into: y, scratch: scratch)
    }
  }
}

// MARK: Reading

extension MiniOmni2Adapters.Modality {
  /// What the names of its tensors begin with.
  fileprivate var prefix: String {
    switch self {
    case .speech: "whisper_adapter"
    case .vision: "vision_adapter"
    }
  }

  func inputs(_ shape: MiniOmni2Configuration) -> Int {
    switch self {
    case .speech: shape.speechWidth
    case .vision: shape.visionWidth
    }
  }
}

extension MiniOmni2Adapters {
  /// Whether an adapter is one matrix. `asr_adapter` speaks of the one for speech; the other is gated, or linear where
  /// the file has one matrix.
  private static func isLinear(
    _ modality: Modality, _ shape: MiniOmni2Configuration, hasMatrix: Bool
  ) -> Bool {
    modality == .speech ? shape.adapterForm == .linear : hasMatrix
  }

  private static func weights(
    of modality: Modality, in release: MiniOmni2Weights, _ keeper: WeightKeeper
  ) throws(ModelError) -> Weights {
    let (name, shape) = (modality.prefix, release.configuration)
    let inputs = modality.inputs(shape)
    func linear(_ name: String, _ outputs: Int, _ inputs: Int, hasBias: Bool = false) throws(ModelError) -> Linear {
      try keeper.keep(release.linear(name, outputs: outputs, inputs: inputs, hasBias: hasBias))
    }
    let inner = shape.feedForwardWidth
    let form: Weights.Form =
      isLinear(modality, shape, hasMatrix: release.contains(prefix: "\(name).weight"))
      ? .linear(try linear(name, shape.width, inputs, hasBias: true))
      : .gated(
        gate: try linear("\(name).fc_1", inner, inputs), up: try linear("\(name).fc_2", inner, inputs),
        down: try linear("\(name).proj", shape.width, inner))
    return Weights(form: form, inputs: inputs, outputs: shape.width)
  }

  /// The tensors of one adapter.
  fileprivate static func needed(
    _ modality: Modality, _ shape: MiniOmni2Configuration, _ file: any Checkpoint
  ) -> [NeededTensor] {
    let (name, inputs, inner) = (modality.prefix, modality.inputs(shape), shape.feedForwardWidth)
    if isLinear(modality, shape, hasMatrix: file.contains("\(name).weight")) {
      return [NeededTensor("\(name).weight", [shape.width, inputs]), NeededTensor("\(name).bias", [shape.width])]
    }
    return [
      NeededTensor("\(name).fc_1.weight", [inner, inputs]), NeededTensor("\(name).fc_2.weight", [inner, inputs]),
      NeededTensor("\(name).proj.weight", [shape.width, inner]),
    ]
  }
}

extension CheckpointNeeds {
  /// The adapters in Mini-Omni2's checkpoint; its configuration lies beside it.
  package static let adapters = CheckpointNeeds(
    kinds: ["adapter"], files: [MiniOmni2Weights.file], formats: [.pyTorch, .safetensors],
    model: "Mini-Omni2's adapters",
    ignoredPrefixes: ["transformer.", "lm_head."]
  ) { checkpoint in
    let folder = checkpoint.file.lastIndex(of: "/").map { String(checkpoint.file[..<$0]) } ?? "."
    let shape = try MiniOmni2Configuration(folder: folder)
    let seen = MiniOmni2Adapters.Modality.allCases.filter { modality in
      modality == .speech || checkpoint.tensors.contains { $0.name.hasPrefix("\(modality.prefix).") }
    }
    return seen.flatMap { MiniOmni2Adapters.needed($0, shape, checkpoint) }
  }
}
