package import Tensors

/// How a file stores numbers: what the kernels multiply, and what is converted when it is loaded.
package enum StoredType: String, Sendable, CaseIterable {
  case f64 = "F64"
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  case i64 = "I64"
  case i32 = "I32"
  case i16 = "I16"
  case i8 = "I8"
  case u64 = "U64"
  case u32 = "U32"
  case u16 = "U16"
  case u8 = "U8"
  /// A byte that is 0 or 1.
  case bool = "BOOL"
  case q40 = "Q4_0"
  case q41 = "Q4_1"
  case q80 = "Q8_0"

  /// The kernels' type; nil for numbers that become floats.
  package var element: ElementType? { ElementType(rawValue: rawValue) }

  /// Bytes of a number, or of a block of them.
  package var blockBytes: Int {
    switch self {
    case .f64, .i64, .u64: 8
    case .i32, .u32: 4
    case .i16, .u16: 2
    case .i8, .u8, .bool: 1
    default: element?.blockBytes ?? 1
    }
  }

  package var blockCount: Int { element?.blockCount ?? 1 }
}

/// A tensor as a checkpoint holds it: where it lies, how, and how it becomes a `Tensor`.
package struct StoredTensor: Sendable {
  package private(set) var name: String
  package let type: StoredType
  /// Outermost dimension first.
  package let shape: [Int]
  /// Numbers from one index of a dimension to the next; nil when the numbers lie one after the other.
  package let strides: [Int]?
  /// The file, which for a sharded checkpoint is a shard.
  package let file: String
  /// The first number's byte in the file.
  package let offset: Int
  package let count: Int
  private let bytes: Bytes

  static let mostDimensions = 16

  /// - Parameters:
  ///   - range: the bytes that may belong to the tensor; they must lie within `bytes`.
  ///   - offset: from the start of `bytes`.
  /// - Throws: ``ModelError`` when the numbers do not lie within `range`.
  init(
    name: String, type: StoredType, shape: [Int], strides: [Int]? = nil, file: String, bytes: Bytes,
    range: Range<Int>, offset: Int
  ) throws(ModelError) {
    guard shape.count <= Self.mostDimensions else {
      throw ModelError(
        file: file, part: name, .tooLarge(found: UInt64(shape.count), most: UInt64(Self.mostDimensions)))
    }
    let misfit = ModelError(
      file: file, part: name,
      .invalid(
        "\(type.rawValue) \(shape) at byte \(offset) does not fit bytes \(range.lowerBound)..<\(range.upperBound)"))
    var count = 1
    for dimension in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
      guard dimension >= 0, !overflow else { throw misfit }
      count = product
    }
    guard offset >= range.lowerBound, offset <= range.upperBound else { throw misfit }
    let room = (range.upperBound - offset) / type.blockBytes
    let isPlain = strides.map { Self.isContiguous(shape, $0) } ?? true
    if isPlain {
      guard (shape.last ?? 1) % type.blockCount == 0, count / type.blockCount <= room else { throw misfit }
    } else if let strides {
      guard type.blockCount == 1, strides.count == shape.count, let last = Self.last(shape, strides), last < room else {
        throw misfit
      }
      // Strides of 0 let a few bytes stand for a tensor of any size: no more numbers than the file has bytes.
      guard count <= max(bytes.count, 1 << 16) else {
        throw ModelError(file: file, part: name, .tooLarge(found: UInt64(count), most: UInt64(bytes.count)))
      }
    }
    (self.name, self.type, self.shape, self.strides) = (name, type, shape, isPlain ? nil : strides)
    (self.file, self.offset, self.count, self.bytes) = (file, offset, count, bytes)
  }

  func renamed(_ name: String) -> StoredTensor {
    var tensor = self
    tensor.name = name
    return tensor
  }

  /// Bytes of its numbers.
  package var byteCount: Int { count / type.blockCount * type.blockBytes }

  private static func isContiguous(_ shape: [Int], _ strides: [Int]) -> Bool {
    guard shape.count == strides.count else { return false }
    if shape.contains(0) { return true }
    var expected = 1
    for (dimension, stride) in zip(shape, strides).reversed() where dimension != 1 {
      guard stride == expected else { return false }
      expected *= dimension  // cannot overflow: the whole product did not
    }
    return true
  }

  /// The index of the last number; nil for negative strides and when it overflows.
  private static func last(_ shape: [Int], _ strides: [Int]) -> Int? {
    var last = 0
    for (dimension, stride) in zip(shape, strides) {
      let (reach, overflow) = stride.multipliedReportingOverflow(by: max(dimension - 1, 0))
      let (sum, overflowed) = last.addingReportingOverflow(reach)
      guard stride >= 0, !overflow, !overflowed else { return nil }
      last = sum
    }
    return last
  }

  // MARK: Loading

  /// The tensor as the kernels take it: in place when they can, else gathered, and wider or integer numbers as floats.
  package func tensor() throws(ModelError) -> Tensor {
    var (source, start) = (bytes, offset)
    if let strides {
      source = try reserve(byteCount) { gather(strides, into: $0) }
      start = 0
    }
    var stored = type.element
    if stored == nil {
      let raw = source.start + start
      source = try reserve(count * 4) { convert(raw, into: $0.bindMemory(to: Float.self, capacity: count)) }
      (stored, start) = (.f32, 0)
    }
    guard let stored, let tensor = Tensor(name: name, shape: shape, type: stored, bytes: source, offset: start) else {
      throw ModelError(file: file, part: name, .invalid("\(type.rawValue) \(shape) does not fit the file"))
    }
    return tensor
  }

  /// Quantized weights that lie in the file as bytes; nil when it has not as many.
  func tiled(_ form: TiledWeights.Form, rows: Int, columns: Int) -> TiledWeights? {
    guard type == .u8, strides == nil, let size = TiledWeights.byteCount(form, rows: rows, columns: columns),
      size <= count
    else { return nil }
    return TiledWeights(form, rows: rows, columns: columns, bytes: bytes, offset: offset)
  }

  private func reserve(_ count: Int, fill: (UnsafeMutableRawPointer) -> Void) throws(ModelError) -> Bytes {
    guard let bytes = Bytes(reserving: count, fill: fill) else {
      throw ModelError(file: file, part: name, .invalid("\(count >> 20) MB of memory cannot be had"))
    }
    return bytes
  }

  /// Brings the numbers into order, one after the other.
  private func gather(_ strides: [Int], into out: UnsafeMutableRawPointer) {
    guard let columns = shape.last, let stride = strides.last, count > 0 else { return }
    let size = type.blockBytes
    var index = [Int](repeating: 0, count: shape.count - 1)
    var (source, target) = (bytes.start + offset, out)
    while true {
      if stride == 1 {
        target.copyMemory(from: source, byteCount: columns * size)
      } else {
        for column in 0..<columns {
          (target + column * size).copyMemory(from: source + column * stride * size, byteCount: size)
        }
      }
      target += columns * size
      var dimension = index.count - 1
      while dimension >= 0 {
        index[dimension] += 1
        source += strides[dimension] * size
        if index[dimension] < shape[dimension] { break }
        source -= strides[dimension] * size * shape[dimension]
        index[dimension] = 0
        dimension -= 1
      }
      if dimension < 0 { return }
    }
  }

  private func convert(_ source: UnsafeRawPointer, into out: UnsafeMutablePointer<Float>) {
    func each<Number: BitwiseCopyable>(_ number: Number.Type, _ float: (Number) -> Float) {
      for index in 0..<count {
        out[index] = float(
          source.loadUnaligned(fromByteOffset: index * MemoryLayout<Number>.size, as: Number.self))
      }
    }
    switch type {
    case .f64: each(UInt64.self) { Float(Double(bitPattern: UInt64(littleEndian: $0))) }
    case .i64: each(Int64.self) { Float(Int64(littleEndian: $0)) }
    case .i32: each(Int32.self) { Float(Int32(littleEndian: $0)) }
    case .i16: each(Int16.self) { Float(Int16(littleEndian: $0)) }
    case .i8: each(Int8.self) { Float($0) }
    case .u64: each(UInt64.self) { Float(UInt64(littleEndian: $0)) }
    case .u32: each(UInt32.self) { Float(UInt32(littleEndian: $0)) }
    case .u16: each(UInt16.self) { Float(UInt16(littleEndian: $0)) }
    case .u8: each(UInt8.self) { Float($0) }
    case .bool: each(UInt8.self) { $0 == 0 ? 0 : 1 }
    case .f32, .f16, .bf16, .q40, .q41, .q80: break
    }
  }
}
