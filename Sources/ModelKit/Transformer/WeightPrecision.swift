package import Tensors

/// How a model's matrices are kept in memory.
public enum WeightPrecision: String, Sendable, CaseIterable {
  /// As the file stores them, which takes no time and, while the file is mapped, no memory of the process's own.
  case stored
  case f32
  case bf16
  /// Blocks of 32 with a scale: 8.5 bits a number. Matrices whose rows do not fill blocks stay as they are.
  case int8

  /// Nil leaves a matrix as it is.
  var type: ElementType? {
    switch self {
    case .stored: nil
    case .f32: .f32
    case .bf16: .bf16
    case .int8: .q80
    }
  }
}

extension Linear {
  /// The matrix kept as asked.
  ///
  /// - Parameter file: where it comes from, for the error.
  /// - Throws: ``ModelError`` when the system has not that much memory.
  package func kept(as precision: WeightPrecision, file: String) throws(ModelError) -> Linear {
    guard let type = precision.type else { return self }
    guard let stored = stored(as: type) else {
      throw ModelError(file: file, part: weight.name, .invalid("there is no memory for it as \(precision.rawValue)"))
    }
    return stored
  }
}
