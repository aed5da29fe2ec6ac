package import Tensors

/// A CTranslate2 `model.bin`, binary versions 4 to 6: named variables, mapped into memory, then aliases.
///
/// Integer scalars are settings. Matrices of 8-bit integers come with a scale a row, and are expanded when asked for.
package struct CTranslate2: Checkpoint {
  package let file: String
  package let tensors: TensorTable
  package let settings: [String: Setting]
  package var format: CheckpointFormat { .cTranslate2 }
  /// The architecture, such as `WhisperSpec`.
  package let specification: String

  private static let mostVariables: UInt64 = 1 << 20

  package init(path: String, checkCancelled: CancellationCheck = {}) throws {
    try self.init(bytes: Bytes.ofModel(path), path: path, checkCancelled: checkCancelled)
  }

  init(bytes: Bytes, path: String, checkCancelled: CancellationCheck) throws {
    var reader = ByteReader(bytes, file: path)
    let version: UInt32 = try reader.integer(part: "binary version")
    guard (4...6).contains(version) else {
      throw ModelError(
        file: path, part: "binary version", .unexpected(expected: "a CTranslate2 model, 4 to 6", found: "\(version)"))
    }
    specification = try Self.name(&reader, part: "specification")
    let _: UInt32 = try reader.integer(part: "revision")

    var tensors: [StoredTensor] = []
    var settings: [String: Setting] = [:]
    var names: Set<String> = []
    let count: UInt32 = try reader.integer(part: "variable count")
    guard count <= Self.mostVariables else {
      throw ModelError(file: path, part: "variable count", .tooLarge(found: UInt64(count), most: Self.mostVariables))
    }
    for index in 0..<count {
      try checkCancelled()
      let name = try Self.name(&reader, part: "variable \(index)")
      guard names.insert(name).inserted else { throw ModelError(file: path, part: name, .duplicate) }
      let rank: UInt8 = try reader.integer(part: name)
      guard rank <= 8 else { throw ModelError(file: path, part: name, .tooLarge(found: UInt64(rank), most: 8)) }
      var shape: [Int] = []
      var elements: UInt64 = 1
      for _ in 0..<rank {
        let dimension: UInt32 = try reader.integer(part: name)
        shape.append(Int(dimension))
        let (product, overflow) = elements.multipliedReportingOverflow(by: UInt64(dimension))
        guard !overflow, product <= UInt64(bytes.count) else {
          throw ModelError(file: path, part: name, .tooLarge(found: product, most: UInt64(bytes.count)))
        }
        elements = product
      }
      let code: UInt8 = try reader.integer(part: name)
      guard let type = Self.type(code) else {
        throw ModelError(file: path, part: name, .unexpected(expected: "a data type", found: "type \(code)"))
      }
      let size: UInt32 = try reader.integer(part: name)
      guard UInt64(size) == elements * UInt64(type.blockBytes) else {
        throw ModelError(
          file: path, part: name,
          .unexpected(expected: "\(elements * UInt64(type.blockBytes)) bytes for \(shape)", found: "\(size)"))
      }
      let offset = reader.offset
      if shape.isEmpty, let value = try Self.integer(reader, type, part: name) {
        settings[name] = .integer(value)
        try reader.skip(UInt64(size), part: name)
      } else {
        try reader.skip(UInt64(size), part: name)
        tensors.append(
          try StoredTensor(
            name: name, type: type, shape: shape, file: path, bytes: bytes, range: offset..<reader.offset,
            offset: offset))
      }
    }

    var aliases: [String: String] = [:]
    let aliasCount: UInt32 = try reader.integer(part: "alias count")
    for index in 0..<aliasCount {
      let alias = try Self.name(&reader, part: "alias \(index)")
      aliases[alias] = try Self.name(&reader, part: "alias \(index)")
    }
    guard reader.left == 0 else {
      throw ModelError(file: path, .unexpected(expected: "the end of the file", found: "\(reader.left) more bytes"))
    }
    for (alias, name) in aliases where settings[alias] == nil { settings[alias] = settings[name] }
    (file, self.settings, self.tensors) = (path, settings, try TensorTable(tensors, aliases: aliases))
  }

  /// A length, which counts the closing zero, then the text.
  private static func name(_ reader: inout ByteReader, part: String) throws(ModelError) -> String {
    let length: UInt16 = try reader.integer(part: part)
    guard length > 0 else { throw ModelError(file: reader.file, part: part, .invalid("an empty name")) }
    let text = try reader.string(UInt64(length) - 1, part: part)
    guard try reader.integer(UInt8.self, part: part) == 0 else {
      throw ModelError(file: reader.file, part: part, .invalid("a name without its closing zero"))
    }
    return text
  }

  private static func type(_ code: UInt8) -> StoredType? {
    switch code {
    case 0: .f32
    case 1: .i8
    case 2: .i16
    case 3: .i32
    case 4: .f16
    case 5: .bf16
    default: nil
    }
  }

  /// A scalar's value, the reader standing before it; nil for floats.
  private static func integer(_ reader: ByteReader, _ type: StoredType, part: String) throws(ModelError) -> Int64? {
    var reader = reader
    switch type {
    case .i8: return Int64(try reader.integer(Int8.self, part: part))
    case .i16: return Int64(try reader.integer(Int16.self, part: part))
    case .i32: return Int64(try reader.integer(Int32.self, part: part))
    default: return nil
    }
  }

  /// An integer setting; `fallback` where older files lack it.
  package func setting(_ name: String, default fallback: Int? = nil) throws(ModelError) -> Int {
    if let tensor = tensors[name] {
      throw ModelError(
        file: file, part: name,
        .unexpected(expected: "an integer", found: "\(tensor.type.rawValue) of shape \(tensor.shape)"))
    }
    return try integer(name, in: Int.min...Int.max, default: fallback)
  }

  /// A tensor of a known shape, as stored; 8-bit integers become floats.
  package func tensor(_ name: String, shape: [Int]) throws(ModelError) -> Tensor {
    let stored = try stored(name, shape: shape)
    if stored.type.element != nil { return try stored.tensor() }
    guard stored.type == .i8 else {
      throw ModelError(
        file: file, part: name, .unexpected(expected: "floats or I8", found: stored.type.rawValue))
    }
    guard let rows = shape.first, rows > 0 else {
      throw ModelError(file: file, part: name, .unexpected(expected: "rows of I8", found: "shape \(shape)"))
    }
    // Aliased weights keep their scale under the name of the weights they stand for.
    let scales = try tensor("\(stored.name)_scale", shape: [rows]).floats()
    let whole = try stored.tensor()
    let integers = whole.start.assumingMemoryBound(to: Float.self)
    let columns = stored.count / rows
    return withExtendedLifetime(whole) {
      Tensor(name: name, shape: shape) { floats in
        for row in 0..<rows {
          for column in row * columns..<(row + 1) * columns { floats[column] = integers[column] / scales[row] }
        }
      }
    }
  }
}
