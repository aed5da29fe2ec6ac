package import Tensors

/// What all files of weights have in common: named tensors, mapped into memory, and a few named settings.
///
/// ``Checkpoints/open(_:checkCancelled:)`` tells the format from the first bytes. Nothing in a file is trusted: sizes
/// are compared with the file before memory is taken, and nothing is ever executed.
package protocol Checkpoint: Sendable {
  var file: String { get }
  var format: CheckpointFormat { get }
  /// In the file's order.
  var tensors: TensorTable { get }
  /// Scalars and texts beside the tensors; those of nested dictionaries are named by their path, as in `dims.n_mels`.
  var settings: [String: Setting] { get }

  /// A tensor of a known shape, in a type that the kernels multiply: as stored where they can, else as floats.
  func tensor(_ name: String, shape: [Int]) throws(ModelError) -> Tensor
}

package enum CheckpointFormat: String, Sendable {
  case gguf = "GGUF"
  case cTranslate2 = "CTranslate2"
  case safetensors = "safetensors"
  case pyTorch = "PyTorch archive"
  case torchScript = "TorchScript archive"
  case onnx = "ONNX"
}

/// A value beside the tensors.
package enum Setting: Sendable, Equatable, CustomStringConvertible {
  case integer(Int64)
  case real(Double)
  case bool(Bool)
  case string(String)
  /// A list that is read when asked for, or not at all.
  case list(count: Int)

  package var description: String {
    switch self {
    case .integer(let value): "\(value)"
    case .real(let value): "\(value)"
    case .bool(let value): "\(value)"
    case .string(let text): "'\(text.count > 80 ? text.prefix(80) + "…" : text)'"
    case .list(let count): "a list of \(count)"
    }
  }
}

/// Tensors by name and in order.
package struct TensorTable: Sendable, RandomAccessCollection {
  /// Other names for tensors of the table.
  package let aliases: [String: String]
  private let list: [StoredTensor]
  private let places: [String: Int]

  /// - Throws: ``ModelError`` for two tensors of one name.
  init(_ list: [StoredTensor], aliases: [String: String] = [:]) throws(ModelError) {
    var places: [String: Int] = [:]
    places.reserveCapacity(list.count)
    for (index, tensor) in list.enumerated() {
      guard places.updateValue(index, forKey: tensor.name) == nil else {
        throw ModelError(file: tensor.file, part: tensor.name, .duplicate)
      }
    }
    (self.list, self.places, self.aliases) = (list, places, aliases)
  }

  package var startIndex: Int { 0 }
  package var endIndex: Int { list.count }
  package subscript(position: Int) -> StoredTensor { list[position] }

  package subscript(name: String) -> StoredTensor? {
    (places[name] ?? aliases[name].flatMap { places[$0] }).map { list[$0] }
  }
}

extension Checkpoint {
  package func contains(_ name: String) -> Bool { tensors[name] != nil }

  /// What the file says of a tensor.
  package func stored(_ name: String) throws(ModelError) -> StoredTensor {
    guard let tensor = tensors[name] else { throw ModelError(file: file, part: name, .missing) }
    return tensor
  }

  package func shape(_ name: String) throws(ModelError) -> [Int] { try stored(name).shape }

  /// What the file says of a tensor that must have this shape.
  package func stored(_ name: String, shape: [Int]) throws(ModelError) -> StoredTensor {
    let tensor = try stored(name)
    guard tensor.shape == shape else {
      throw ModelError(
        file: tensor.file, part: name, .unexpected(expected: "shape \(shape)", found: "\(tensor.shape)"))
    }
    return tensor
  }

  package func tensor(_ name: String, shape: [Int]) throws(ModelError) -> Tensor {
    try stored(name, shape: shape).tensor()
  }

  /// An integer that must lie within `range`.
  package func integer(
    _ key: String, in range: ClosedRange<Int>, default fallback: Int? = nil
  ) throws(ModelError) -> Int {
    guard let value = settings[key] else {
      if let fallback { return fallback }
      throw ModelError(file: file, part: key, .missing)
    }
    guard case .integer(let number) = value, let exact = Int(exactly: number), range.contains(exact) else {
      throw ModelError(
        file: file, part: key,
        .unexpected(expected: "an integer from \(range.lowerBound) to \(range.upperBound)", found: "\(value)"))
    }
    return exact
  }

  /// A finite number.
  package func real(_ key: String, default fallback: Double? = nil) throws(ModelError) -> Double {
    guard let value = settings[key] else {
      if let fallback { return fallback }
      throw ModelError(file: file, part: key, .missing)
    }
    guard case .real(let number) = value, number.isFinite else {
      throw ModelError(file: file, part: key, .unexpected(expected: "a number", found: "\(value)"))
    }
    return number
  }

  package func string(_ key: String) throws(ModelError) -> String {
    guard let value = settings[key] else { throw ModelError(file: file, part: key, .missing) }
    guard case .string(let text) = value else {
      throw ModelError(file: file, part: key, .unexpected(expected: "a string", found: "\(value)"))
    }
    return text
  }
}
