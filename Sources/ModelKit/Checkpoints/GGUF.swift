internal import Tensors

/// A GGUF file, version 2 or 3: named values, then tensors, mapped into memory.
///
/// Arrays are kept as places in the file and read when asked for. Of the tensor types those that the kernels multiply
/// are read: F32, F16, BF16, Q4_0, Q4_1, Q8_0.
package struct GGUF: Checkpoint {
  package let file: String
  package let tensors: TensorTable
  package let settings: [String: Setting]
  package var format: CheckpointFormat { .gguf }
  private let arrays: [String: ArrayPlace]
  private let bytes: Bytes

  /// Elements of one scalar type or strings, at a byte offset.
  private struct ArrayPlace {
    var type: UInt32
    var count: Int
    var offset: Int
  }

  private static let mostEntries: UInt64 = 1 << 20
  private static let mostNameBytes: UInt64 = 1 << 16

  package init(path: String, checkCancelled: CancellationCheck = {}) throws {
    try self.init(bytes: Bytes.ofModel(path), path: path, checkCancelled: checkCancelled)
  }

  init(bytes: Bytes, path: String, checkCancelled: CancellationCheck) throws {
    var reader = ByteReader(bytes, file: path)
    let magic: UInt32 = try reader.integer(part: "magic")
    guard magic == 0x4655_4747 else {
      throw ModelError(file: path, .unexpected(expected: "a GGUF file", found: "other first bytes"))
    }
    let version: UInt32 = try reader.integer(part: "version")
    guard (2...3).contains(version) else {
      throw ModelError(file: path, part: "version", .unexpected(expected: "2 or 3", found: "\(version)"))
    }
    let tensorCount = try Self.count(&reader, part: "tensor count")
    let valueCount = try Self.count(&reader, part: "value count")

    var settings: [String: Setting] = [:]
    var arrays: [String: ArrayPlace] = [:]
    for index in 0..<valueCount {
      try checkCancelled()
      let length: UInt64 = try reader.integer(part: "key \(index)")
      let key = try reader.string(length, most: Self.mostNameBytes, part: "key \(index)")
      let type: UInt32 = try reader.integer(part: key)
      let value: Setting
      if type == 9 {
        let array = try Self.array(&reader, key: key)
        arrays[key] = array
        value = .list(count: array.count)
      } else {
        value = try Self.scalar(&reader, type: type, key: key)
      }
      guard settings.updateValue(value, forKey: key) == nil else {
        throw ModelError(file: path, part: key, .duplicate)
      }
    }

    struct Entry {
      var name: String
      var shape: [Int]
      var type: StoredType
      var offset: UInt64
    }
    var entries: [Entry] = []
    for index in 0..<tensorCount {
      try checkCancelled()
      let length: UInt64 = try reader.integer(part: "tensor \(index)")
      let name = try reader.string(length, most: Self.mostNameBytes, part: "tensor \(index)")
      let rank: UInt32 = try reader.integer(part: name)
      guard rank <= 4 else { throw ModelError(file: path, part: name, .tooLarge(found: UInt64(rank), most: 4)) }
      var shape: [Int] = []
      for _ in 0..<rank {
        let dimension: UInt64 = try reader.integer(part: name)
        guard dimension <= UInt64(bytes.count) * 32 else {
          throw ModelError(file: path, part: name, .tooLarge(found: dimension, most: UInt64(bytes.count) * 32))
        }
        shape.append(Int(dimension))
      }
      let type = try Self.elementType(reader.integer(part: name), file: path, tensor: name)
      // The file names the contiguous dimension first.
      entries.append(Entry(name: name, shape: shape.reversed(), type: type, offset: try reader.integer(part: name)))
    }

    var alignment: UInt64 = 32
    if case .integer(let stated)? = settings["general.alignment"] {
      guard (8...65_536).contains(stated), stated & (stated - 1) == 0 else {
        throw ModelError(
          file: path, part: "general.alignment", .unexpected(expected: "a power of two from 8", found: "\(stated)"))
      }
      alignment = UInt64(stated)
    }
    let start = (UInt64(reader.offset) + alignment - 1) / alignment * alignment
    var tensors: [StoredTensor] = []
    for entry in entries {
      let (offset, overflow) = start.addingReportingOverflow(entry.offset)
      guard !overflow, let place = Int(exactly: offset) else {
        throw ModelError(file: path, part: entry.name, .tooLarge(found: entry.offset, most: UInt64(bytes.count)))
      }
      tensors.append(
        try StoredTensor(
          name: entry.name, type: entry.type, shape: entry.shape, file: path, bytes: bytes, range: 0..<bytes.count,
          offset: place))
    }
    (file, self.settings, self.arrays, self.bytes) = (path, settings, arrays, bytes)
    self.tensors = try TensorTable(tensors)
  }

  private static func count(_ reader: inout ByteReader, part: String) throws(ModelError) -> Int {
    let count: UInt64 = try reader.integer(part: part)
    guard count <= mostEntries else {
      throw ModelError(file: reader.file, part: part, .tooLarge(found: count, most: mostEntries))
    }
    return Int(count)
  }

  private static func elementType(_ code: UInt32, file: String, tensor: String) throws(ModelError) -> StoredType {
    switch code {
    case 0: return .f32
    case 1: return .f16
    case 2: return .q40
    case 3: return .q41
    case 8: return .q80
    case 30: return .bf16
    default:
      let known = ElementType.allCases.map(\.rawValue).joined(separator: ", ")
      throw ModelError(file: file, part: tensor, .unexpected(expected: known, found: "tensor type \(code)"))
    }
  }

  /// Bytes of a scalar of a value type; nil for strings, arrays and unknown types.
  private static func scalarSize(_ type: UInt32) -> Int? {
    switch type {
    case 0, 1, 7: 1
    case 2, 3: 2
    case 4, 5, 6: 4
    case 10, 11, 12: 8
    default: nil
    }
  }

  private static func array(_ reader: inout ByteReader, key: String) throws(ModelError) -> ArrayPlace {
    let element: UInt32 = try reader.integer(part: key)
    let count: UInt64 = try reader.integer(part: key)
    let offset: Int
    if element == 8 {
      _ = try reader.available(count, of: 8, part: key)
      offset = reader.offset
      for _ in 0..<count {
        let length: UInt64 = try reader.integer(part: key)
        try reader.skip(length, part: key)
      }
    } else if let size = scalarSize(element) {
      offset = reader.offset
      try reader.skip(count, of: size, part: key)
    } else {
      throw ModelError(
        file: reader.file, part: key,
        .unexpected(expected: "an array of scalars or strings", found: "element type \(element)"))
    }
    return ArrayPlace(type: element, count: Int(count), offset: offset)
  }

  private static func scalar(_ reader: inout ByteReader, type: UInt32, key: String) throws(ModelError) -> Setting {
    switch type {
    case 0: .integer(Int64(try reader.integer(UInt8.self, part: key)))
    case 1: .integer(Int64(try reader.integer(Int8.self, part: key)))
    case 2: .integer(Int64(try reader.integer(UInt16.self, part: key)))
    case 3: .integer(Int64(try reader.integer(Int16.self, part: key)))
    case 4: .integer(Int64(try reader.integer(UInt32.self, part: key)))
    case 5: .integer(Int64(try reader.integer(Int32.self, part: key)))
    case 6: .real(Double(Float(bitPattern: try reader.integer(part: key))))
    case 7: .bool(try reader.integer(UInt8.self, part: key) != 0)
    case 8: .string(try reader.string(try reader.integer(UInt64.self, part: key), part: key))
    case 10: .integer(Int64(clamping: try reader.integer(UInt64.self, part: key)))
    case 11: .integer(try reader.integer(part: key))
    case 12: .real(Double(bitPattern: try reader.integer(part: key)))
    default:
      throw ModelError(file: reader.file, part: key, .unexpected(expected: "a value type", found: "type \(type)"))
    }
  }
}

extension GGUF {
  /// An array of strings.
  package func strings(_ key: String) throws(ModelError) -> [String] {
    let array = try array(key, of: "strings") { $0 == 8 }
    var reader = ByteReader(bytes, file: file)
    try reader.skip(UInt64(array.offset), part: key)
    var strings: [String] = []
    strings.reserveCapacity(array.count)
    for _ in 0..<array.count {
      let length: UInt64 = try reader.integer(part: key)
      strings.append(try reader.string(length, most: 1 << 16, part: key))
    }
    return strings
  }

  /// An array of 32-bit integers.
  package func integers(_ key: String) throws(ModelError) -> [Int32] {
    let array = try array(key, of: "32-bit integers") { $0 == 4 || $0 == 5 }
    return (0..<array.count).map { bytes.start.loadUnaligned(fromByteOffset: array.offset + $0 * 4, as: Int32.self) }
  }

  private func array(
    _ key: String, of elements: String, isRight: (UInt32) -> Bool
  ) throws(ModelError) -> ArrayPlace {
    guard let value = settings[key] else { throw ModelError(file: file, part: key, .missing) }
    guard let array = arrays[key], isRight(array.type) else {
      throw ModelError(file: file, part: key, .unexpected(expected: "an array of \(elements)", found: "\(value)"))
    }
    return array
  }
}
