internal import Tensors

/// A safetensors file: a JSON object that names each tensor's type, shape and bytes, then the bytes.
package struct Safetensors: Checkpoint {
  package let file: String
  package let tensors: TensorTable
  /// The texts of `__metadata__`.
  package let settings: [String: Setting]
  package var format: CheckpointFormat { .safetensors }

  /// Bytes of the JSON object: room for 70 000 tensors.
  private static let mostHeaderBytes: UInt64 = 1 << 23

  package init(path: String, checkCancelled: CancellationCheck = {}) throws {
    try self.init(bytes: Bytes.ofModel(path), path: path, checkCancelled: checkCancelled)
  }

  init(bytes: Bytes, path: String, checkCancelled: CancellationCheck) throws {
    var reader = ByteReader(bytes, file: path)
    let length: UInt64 = try reader.integer(part: "header")
    guard length <= Self.mostHeaderBytes else {
      throw ModelError(file: path, part: "header", .tooLarge(found: length, most: Self.mostHeaderBytes))
    }
    let count = try reader.available(length, part: "header")
    let header = try JSON(
      UnsafeRawBufferPointer(start: bytes.start + 8, count: count), file: path, checkCancelled: checkCancelled)
    guard let members = header.members else {
      throw ModelError(file: path, part: "header", .unexpected(expected: "a JSON object", found: "something else"))
    }

    let data = 8 + count..<bytes.count
    var settings: [String: Setting] = [:]
    var tensors: [StoredTensor] = []
    for (name, value) in members {
      try checkCancelled()
      if name == "__metadata__" {
        for (key, text) in value.members ?? [] {
          guard let text = text.string else {
            throw ModelError(
              file: path, part: "\(name).\(key)", .unexpected(expected: "a text", found: "another value"))
          }
          settings[key] = .string(text)
        }
      } else {
        tensors.append(try Self.tensor(name, value, data: data, bytes: bytes, file: path))
      }
    }
    // The format has neither gaps nor shared bytes; a file that has is not what its writer meant.
    tensors.sort { ($0.offset, $0.byteCount) < ($1.offset, $1.byteCount) }
    var end = data.lowerBound
    for tensor in tensors {
      guard tensor.offset == end else {
        throw ModelError(
          file: path, part: tensor.name,
          .unexpected(expected: "data from byte \(end - data.lowerBound)", found: "\(tensor.offset - data.lowerBound)"))
      }
      end += tensor.byteCount
    }
    guard end == data.upperBound else {
      throw ModelError(
        file: path, .unexpected(expected: "the end of the file", found: "\(bytes.count - end) more bytes"))
    }
    (file, self.settings, self.tensors) = (path, settings, try TensorTable(tensors))
  }

  private static func tensor(
    _ name: String, _ value: JSON, data: Range<Int>, bytes: Bytes, file: String
  ) throws(ModelError) -> StoredTensor {
    func fault(_ expected: String, found: String) -> ModelError {
      ModelError(file: file, part: name, .unexpected(expected: expected, found: found))
    }
    func integers(_ key: String) throws(ModelError) -> [Int] {
      guard let values = value[key]?.array else { throw fault(key, found: "none") }
      let integers = values.compactMap(\.integer).filter { $0 >= 0 }
      guard integers.count == values.count else { throw fault("whole numbers in \(key)", found: "others") }
      return integers
    }
    guard let text = value["dtype"]?.string else { throw fault("dtype", found: "none") }
    guard let type = StoredType(rawValue: text), type.blockCount == 1 else {
      let known = StoredType.allCases.filter { $0.blockCount == 1 }.map(\.rawValue).joined(separator: ", ")
      throw fault(known, found: text)
    }
    let (shape, offsets) = (try integers("shape"), try integers("data_offsets"))
    guard offsets.count == 2, offsets[0] <= offsets[1] else { throw fault("two data_offsets", found: "\(offsets)") }
    guard offsets[1] <= data.count else {
      throw ModelError(
        file: file, part: name, .truncated(needed: UInt64(offsets[1]), available: data.count))
    }
    let range = data.lowerBound + offsets[0]..<data.lowerBound + offsets[1]
    let tensor = try StoredTensor(
      name: name, type: type, shape: shape, file: file, bytes: bytes, range: range, offset: range.lowerBound)
    guard tensor.byteCount == range.count else {
      throw fault("\(tensor.byteCount) bytes for \(text) \(shape)", found: "\(range.count)")
    }
    return tensor
  }
}
