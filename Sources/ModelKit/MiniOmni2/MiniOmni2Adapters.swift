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
  package init(folder: String, checkCancelled: CancellationCheck = {}) throws {
    try Compute.check()
    let shape = try MiniOmni2Configuration(folder: folder)
    let checkpoint = try Checkpoints.open("\(folder)/\(Self.fileName)", checkCancelled: checkCancelled)
    file = checkpoint.file
    speech = try Self.weights(checkpoint, .speech, shape)
    vision = Self.isThere(.vision, checkpoint) ? try Self.weights(checkpoint, .vision, shape) : nil
  }

  static let fileName = "lit_model.pth"

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
  private static func isThere(_ modality: Modality, _ file: any Checkpoint) -> Bool {
    file.tensors.contains { $0.name.hasPrefix("\(modality.prefix).") }
  }

  /// The tensors of one adapter. `asr_adapter` speaks of the one for speech; the other is gated, or linear where the file
  /// has one matrix.
  private static func needed(
    _ modality: Modality, _ shape: MiniOmni2Configuration, _ file: any Checkpoint
  ) -> [NeededTensor] {
    let (name, inputs) = (modality.prefix, modality.inputs(shape))
    let isLinear = modality == .speech ? shape.adapterForm == .linear : file.contains("\(name).weight")
    if isLinear {
      return [NeededTensor("\(name).weight", [shape.width, inputs]), NeededTensor("\(name).bias", [shape.width])]
    }
    let inner = shape.feedForwardWidth
    return [
      NeededTensor("\(name).fc_1.weight", [inner, inputs]), NeededTensor("\(name).fc_2.weight", [inner, inputs]),
      NeededTensor("\(name).proj.weight", [shape.width, inner]),
    ]
  }

  private static func weights(
    _ file: any Checkpoint, _ modality: Modality, _ shape: MiniOmni2Configuration
  ) throws(ModelError) -> Weights {
    let needed = needed(modality, shape, file)
    var tensors: [Tensor] = []
    for tensor in needed { tensors.append(try file.tensor(tensor.name, shape: tensor.shape)) }
    func linear(_ index: Int, bias: [Float]? = nil) throws(ModelError) -> Linear {
      guard let linear = Linear(tensors[index], bias: bias) else {
        throw ModelError(
          file: file.file, part: needed[index].name,
          .tooLarge(found: UInt64(needed[index].shape[1]), most: UInt64(Linear.mostInputs)))
      }
      return linear
    }
    let form: Weights.Form =
      tensors.count == 2
      ? .linear(try linear(0, bias: tensors[1].floats()))
      : .gated(gate: try linear(0), up: try linear(1), down: try linear(2))
    return Weights(form: form, inputs: modality.inputs(shape), outputs: shape.width)
  }
}

extension CheckpointNeeds {
  /// The adapters in Mini-Omni2's `lit_model.pth`, beside which `model_config.yaml` lies.
  package static let adapters = CheckpointNeeds(
    kinds: ["adapter"], formats: [.pyTorch, .safetensors], model: "Mini-Omni2's adapters",
    ignoredPrefixes: ["transformer.", "lm_head."]
  ) { checkpoint in
    try MiniOmni2Adapters.needed(in: checkpoint)
  }
}

extension MiniOmni2Adapters {
  fileprivate static func needed(in file: any Checkpoint) throws(ModelError) -> [NeededTensor] {
    let folder = file.file.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    let shape = try MiniOmni2Configuration(folder: folder.isEmpty ? "." : folder)
    var needed = needed(.speech, shape, file)
    if isThere(.vision, file) { needed += self.needed(.vision, shape, file) }
    return needed
  }
}
