package import Tensors

/// A GGUF file, version 2 or 3: named values, then tensors, mapped into memory.
///
/// Arrays are kept as places in the file and read when asked for. Of the tensor types those that the kernels multiply
/// are read: F32, F16, BF16, Q4_0, Q4_1, Q8_0.
package struct GGUF: Sendable {
  /// A named value.
  package enum Value: Sendable {
    case integer(Int64)
    case real(Double)
    case bool(Bool)
    case string(String)
    /// Elements of one scalar type or strings, at a byte offset.
    case array(type: UInt32, count: Int, offset: Int)
  }

  package let file: String
  package let values: [String: Value]
  package let tensors: [String: Tensor]
  private let bytes: Bytes

  private static let mostEntries: UInt64 = 1 << 20
  private static let mostNameBytes: UInt64 = 1 << 16

  package init(path: String, checkCancelled: CancellationCheck = {}) throws {
    let bytes = try Bytes.ofModel(path)
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

    var values: [String: Value] = [:]
    for index in 0..<valueCount {
      try checkCancelled()
      let length: UInt64 = try reader.integer(part: "key \(index)")
      let key = try reader.string(length, most: Self.mostNameBytes, part: "key \(index)")
      let type: UInt32 = try reader.integer(part: key)
      let value = try Self.value(&reader, type: type, key: key)
      guard values.updateValue(value, forKey: key) == nil else {
        throw ModelError(file: path, part: key, .duplicate)
      }
    }

    struct Entry {
      var name: String
      var shape: [Int]
      var type: ElementType
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
    if case .integer(let stated)? = values["general.alignment"] {
      guard (8...65_536).contains(stated), stated & (stated - 1) == 0 else {
        throw ModelError(
          file: path, part: "general.alignment", .unexpected(expected: "a power of two from 8", found: "\(stated)"))
      }
      alignment = UInt64(stated)
    }
    let start = (UInt64(reader.offset) + alignment - 1) / alignment * alignment
    var tensors: [String: Tensor] = [:]
    for entry in entries {
      let (offset, overflow) = start.addingReportingOverflow(entry.offset)
      guard !overflow, let place = Int(exactly: offset),
        let tensor = Tensor(name: entry.name, shape: entry.shape, type: entry.type, bytes: bytes, offset: place)
      else {
        throw ModelError(
          file: path, part: entry.name,
          .invalid("\(entry.type.rawValue) \(entry.shape) at byte \(offset) does not fit the file of \(bytes.count)"))
      }
      guard tensors.updateValue(tensor, forKey: entry.name) == nil else {
        throw ModelError(file: path, part: entry.name, .duplicate)
      }
    }
    (file, self.values, self.tensors, self.bytes) = (path, values, tensors, bytes)
  }

  private static func count(_ reader: inout ByteReader, part: String) throws(ModelError) -> Int {
    let count: UInt64 = try reader.integer(part: part)
    guard count <= mostEntries else {
      throw ModelError(file: reader.file, part: part, .tooLarge(found: count, most: mostEntries))
    }
    return Int(count)
  }

  private static func elementType(_ code: UInt32, file: String, tensor: String) throws(ModelError) -> ElementType {
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

  private static func value(_ reader: inout ByteReader, type: UInt32, key: String) throws(ModelError) -> Value {
    if type == 8 {
      let length: UInt64 = try reader.integer(part: key)
      return .string(try reader.string(length, part: key))
    }
    if type == 9 {
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
      return .array(type: element, count: Int(count), offset: offset)
    }
    return try scalar(&reader, type: type, key: key)
  }

  private static func scalar(_ reader: inout ByteReader, type: UInt32, key: String) throws(ModelError) -> Value {
    switch type {
    case 0: .integer(Int64(try reader.integer(UInt8.self, part: key)))
    case 1: .integer(Int64(try reader.integer(Int8.self, part: key)))
    case 2: .integer(Int64(try reader.integer(UInt16.self, part: key)))
    case 3: .integer(Int64(try reader.integer(Int16.self, part: key)))
    case 4: .integer(Int64(try reader.integer(UInt32.self, part: key)))
    case 5: .integer(Int64(try reader.integer(Int32.self, part: key)))
    case 6: .real(Double(Float(bitPattern: try reader.integer(part: key))))
    case 7: .bool(try reader.integer(UInt8.self, part: key) != 0)
    case 10: .integer(Int64(clamping: try reader.integer(UInt64.self, part: key)))
    case 11: .integer(try reader.integer(part: key))
    case 12: .real(Double(bitPattern: try reader.integer(part: key)))
    default:
      throw ModelError(file: reader.file, part: key, .unexpected(expected: "a value type", found: "type \(type)"))
    }
  }
}

extension GGUF {
  /// An integer that must lie within `range`.
  package func integer(
    _ key: String, in range: ClosedRange<Int>, default fallback: Int? = nil
  ) throws(ModelError) -> Int {
    guard let value = values[key] else {
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
    guard let value = values[key] else {
      if let fallback { return fallback }
      throw ModelError(file: file, part: key, .missing)
    }
    guard case .real(let number) = value, number.isFinite else {
      throw ModelError(file: file, part: key, .unexpected(expected: "a number", found: "\(value)"))
    }
    return number
  }

  package func string(_ key: String) throws(ModelError) -> String {
    guard let value = values[key] else { throw ModelError(file: file, part: key, .missing) }
    guard case .string(let text) = value else {
      throw ModelError(file: file, part: key, .unexpected(expected: "a string", found: "\(value)"))
    }
    return text
  }

  package func strings(_ key: String) throws(ModelError) -> [String] {
    guard let value = values[key] else { throw ModelError(file: file, part: key, .missing) }
    guard case .array(8, let count, let offset) = value else {
      throw ModelError(file: file, part: key, .unexpected(expected: "an array of strings", found: "\(value)"))
    }
    var reader = ByteReader(bytes, file: file)
    try reader.skip(UInt64(offset), part: key)
    var strings: [String] = []
    strings.reserveCapacity(count)
    for _ in 0..<count {
      let length: UInt64 = try reader.integer(part: key)
      strings.append(try reader.string(length, most: 1 << 16, part: key))
    }
    return strings
  }

  /// An array of 32-bit integers.
  package func integers(_ key: String) throws(ModelError) -> [Int32] {
    guard let value = values[key] else { throw ModelError(file: file, part: key, .missing) }
    guard case .array(let type, let count, let offset) = value, type == 4 || type == 5 else {
      throw ModelError(file: file, part: key, .unexpected(expected: "an array of integers", found: "\(value)"))
    }
    return (0..<count).map { bytes.start.loadUnaligned(fromByteOffset: offset + $0 * 4, as: Int32.self) }
  }

  /// A tensor of a known shape.
  package func tensor(_ name: String, shape: [Int]) throws(ModelError) -> Tensor {
    guard let tensor = tensors[name] else { throw ModelError(file: file, part: name, .missing) }
    guard tensor.shape == shape else {
      throw ModelError(file: file, part: name, .unexpected(expected: "shape \(shape)", found: "\(tensor.shape)"))
    }
    return tensor
  }
}
