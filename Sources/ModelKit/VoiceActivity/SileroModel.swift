internal import Tensors

/// The weights of Silero's voice activity detector for sound of 16 kHz, versions 5 and 6, from the file `silero_vad.onnx`
/// of its release or a folder that holds it as `model.onnx`. It never changes and is shared; ``SileroRunner`` computes
/// with it.
///
/// Source: github.com/snakers4/silero-vad (MIT).
public final class SileroModel: Sendable {
  /// Samples a second.
  public static let rate = 16_000
  /// Samples of a frame: 32 ms.
  public static let frame = 512

  /// Samples before a frame that are looked at again, and samples that are mirrored behind it.
  static let context = 64
  /// Samples of an analysis window, and between one and the next.
  static let window = 256
  static let hop = 128
  /// Windows of a frame with its context and what is mirrored.
  static let windows = (context + frame + context - window) / hop + 1
  static let frequencies = window / 2 + 1
  /// Columns of the convolutions of three taps that follow, and how many rows each makes one of.
  static let layers: [(columns: Int, stride: Int)] = [(128, 1), (64, 2), (64, 2), (128, 1)]
  /// Floats of the recurrent layer's state.
  static let hidden = 128

  /// Its file in a folder.
  static let files = ["model.onnx"]

  /// The windows' Fourier transform: real parts, then imaginary ones.
  let transform: PackedLinear
  /// Each takes three rows, one after the other.
  let convolutions: [PackedLinear]
  /// An input and a state side by side; gates in, forget, cell, out.
  let recurrent: PackedLinear
  let output: [Float]
  let outputBias: Float

  /// - Throws: ``ModelError``, `ComputeError` for a wrong `ANTIPHON_CPU`, or what `checkCancelled` throws.
  package init(path: String, checkCancelled: CancellationCheck = {}) throws {
    try Compute.check()
    let file = try Checkpoints.open(path, checkCancelled: checkCancelled)
    let names = try Names(file)
    func floats(_ name: String, _ shape: [Int]) throws(ModelError) -> [Float] {
      try file.tensor(names.prefix + name, shape: shape).floats()
    }
    let basis = try floats(Names.transform, Names.transformShape)
    transform = PackedLinear(outputs: 2 * Self.frequencies, inputs: Self.window) { basis[$0 * Self.window + $1] }
    var convolutions: [PackedLinear] = []
    var inputs = Self.frequencies
    for (index, layer) in Self.layers.enumerated() {
      let width = inputs
      let weights = try floats(Names.weight(index), [layer.columns, width, 3])
      convolutions.append(
        PackedLinear(
          outputs: layer.columns, inputs: 3 * width, bias: try floats(Names.bias(index), [layer.columns])
        ) { weights[($0 * width + $1 % width) * 3 + $1 / width] })
      inputs = layer.columns
    }
    self.convolutions = convolutions
    let hidden = Self.hidden
    let own = try floats(Names.recurrentInput, [4 * hidden, hidden])
    let past = try floats(Names.recurrentState, [4 * hidden, hidden])
    let biases = try Names.recurrentBiases.map { try floats($0, [4 * hidden]) }
    recurrent = PackedLinear(
      outputs: 4 * hidden, inputs: 2 * hidden, bias: (0..<4 * hidden).map { biases[0][$0] + biases[1][$0] }
    ) { $1 < hidden ? own[$0 * hidden + $1] : past[$0 * hidden + $1 - hidden] }
    output = try floats(Names.output, [1, hidden, 1])
    outputBias = try floats(Names.outputBias, [1])[0]
  }

  /// What the release calls its tensors, behind a prefix for the branch of the graph that is for 16 kHz.
  struct Names {
    let prefix: String

    static let transform = "stft.forward_basis_buffer"
    static let transformShape = [2 * frequencies, 1, window]
    static func weight(_ layer: Int) -> String { "encoder.\(layer).reparam_conv.weight" }
    static func bias(_ layer: Int) -> String { "encoder.\(layer).reparam_conv.bias" }
    static let recurrentInput = "decoder.rnn.weight_ih"
    static let recurrentState = "decoder.rnn.weight_hh"
    static let recurrentBiases = ["decoder.rnn.bias_ih", "decoder.rnn.bias_hh"]
    static let output = "decoder.decoder.2.weight"
    static let outputBias = "decoder.decoder.2.bias"

    /// Finds the branch by its Fourier transform: at 8 kHz the windows are half as long.
    init(_ file: any Checkpoint) throws(ModelError) {
      let found = file.tensors.filter { $0.name.hasSuffix(Self.transform) }
      guard let first = found.first else { throw ModelError(file: file.file, part: Self.transform, .missing) }
      guard let right = found.first(where: { $0.shape == Self.transformShape }) else {
        throw ModelError(
          file: file.file, part: first.name,
          .unexpected(expected: "shape \(Self.transformShape), which is for 16 kHz", found: "\(first.shape)"))
      }
      prefix = String(right.name.dropLast(Self.transform.count))
    }
  }
}

extension CheckpointNeeds {
  /// Silero's detector as ``SileroModel`` finds it.
  package static let silero = CheckpointNeeds(
    kinds: ["voice-activity", "speech-detector"], files: SileroModel.files, formats: [.onnx],
    model: "Silero VAD, 16 kHz",
    // The branch for 8 kHz, and what shapes the tensors on their way.
    ignoredPrefixes: [
      "If_0.else_branch.", "If_0.then_branch.If_0_then_branch__Inline_0__/",
      "If_0.then_branch.If_0_then_branch__Inline_0__self.", "Constant_",
    ]
  ) { checkpoint in
    let prefix = try SileroModel.Names(checkpoint).prefix
    return sileroTensors.map { NeededTensor(prefix + $0.name, $0.shape) }
  }

  /// The tensors, without a prefix.
  package static let sileroTensors: [NeededTensor] = {
    typealias Names = SileroModel.Names
    let hidden = SileroModel.hidden
    var needed = [NeededTensor(Names.transform, Names.transformShape)]
    var inputs = SileroModel.frequencies
    for (index, layer) in SileroModel.layers.enumerated() {
      needed.append(NeededTensor(Names.weight(index), [layer.columns, inputs, 3]))
      needed.append(NeededTensor(Names.bias(index), [layer.columns]))
      inputs = layer.columns
    }
    needed.append(NeededTensor(Names.recurrentInput, [4 * hidden, hidden]))
    needed.append(NeededTensor(Names.recurrentState, [4 * hidden, hidden]))
    needed += Names.recurrentBiases.map { NeededTensor($0, [4 * hidden]) }
    needed.append(NeededTensor(Names.output, [1, hidden, 1]))
    needed.append(NeededTensor(Names.outputBias, [1]))
    return needed
  }()
}
