package import Tensors

/// How a model's matrices are kept in memory, and what they are multiplied with.
///
/// `docs/performance.md` says what each costs and what it changes.
public enum WeightPrecision: String, Sendable, CaseIterable {
  /// As the file stores them, with 32-bit activations: takes no time and, while the file is mapped, no memory of the
  /// process's own.
  case stored
  /// 32-bit floats.
  case f32
  /// bf16, with activations rounded to bf16 where there are many rows at once and the processor has such products.
  case bf16
  /// Blocks of 32 with a scale, 8.5 bits a weight, with activations quantized likewise. Matrices whose rows do not fill
  /// blocks stay as they are.
  case int8
  /// Blocks of 32 with a scale, 4.5 bits a weight, with activations of 8 bits.
  case int4

  /// How weights are quantized, if they are.
  package var tiles: TiledWeights.Form? {
    switch self {
    case .stored, .f32, .bf16: nil
    case .int8: .bytes
    case .int4: .nibbles
    }
  }
}
