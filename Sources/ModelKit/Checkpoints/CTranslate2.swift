package import Tensors

/// A CTranslate2 `model.bin`, binary versions 4 to 6: named variables, mapped into memory, then aliases.
///
/// Integer scalars are settings. Matrices of 8-bit integers come with a scale a row, and are expanded when asked for.
package struct CTranslate2: Sendable {
  package let file: String
  /// The architecture, such as `WhisperSpec`.
  package let specification: String
  private let variables: [String: Variable]
  private let aliases: [String: String]
  private let bytes: Bytes

  private struct Variable: Sendable {
    var shape: [Int]
    var type: UInt8
    var offset: Int
    var size: Int
  }

  private static let mostVariables: UInt64 = 1 << 20

  package init(path: String, checkCancelled: CancellationCheck = {}) throws {
    let bytes = try Bytes.ofModel(path)
    var reader = ByteReader(bytes, file: path)
    let version: UInt32 = try reader.integer(part: "binary version")
    guard (4...6).contains(version) else {
      throw ModelError(
        file: path, part: "binary version", .unexpected(expected: "a CTranslate2 model, 4 to 6", found: "\(version)"))
    }
    specification = try Self.name(&reader, part: "specification")
    let _: UInt32 = try reader.integer(part: "revision")

    var variables: [String: Variable] = [:]
    let count: UInt32 = try reader.integer(part: "variable count")
    guard count <= Self.mostVariables else {
      throw ModelError(file: path, part: "variable count", .tooLarge(found: UInt64(count), most: Self.mostVariables))
    }
    for index in 0..<count {
      try checkCancelled()
      let name = try Self.name(&reader, part: "variable \(index)")
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
      let type: UInt8 = try reader.integer(part: name)
      guard let element = Self.size(of: type) else {
        throw ModelError(file: path, part: name, .unexpected(expected: "a data type", found: "type \(type)"))
      }
      let size: UInt32 = try reader.integer(part: name)
      guard UInt64(size) == elements * UInt64(element) else {
        throw ModelError(
          file: path, part: name,
          .unexpected(expected: "\(elements * UInt64(element)) bytes for \(shape)", found: "\(size)"))
      }
      let variable = Variable(shape: shape, type: type, offset: reader.offset, size: Int(size))
      try reader.skip(UInt64(size), part: name)
      guard variables.updateValue(variable, forKey: name) == nil else {
        throw ModelError(file: path, part: name, .duplicate)
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
    (file, self.variables, self.aliases, self.bytes) = (path, variables, aliases, bytes)
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

  private static func size(of type: UInt8) -> Int? {
    switch type {
    case 0, 3: 4
    case 1: 1
    case 2, 4, 5: 2
    default: nil
    }
  }

  private func variable(_ name: String) -> Variable? { variables[name] ?? aliases[name].flatMap { variables[$0] } }

  package func contains(_ name: String) -> Bool { variable(name) != nil }

  /// The shape of a variable.
  package func shape(_ name: String) throws(ModelError) -> [Int] {
    guard let variable = variable(name) else { throw ModelError(file: file, part: name, .missing) }
    return variable.shape
  }

  /// An integer setting; `fallback` where older files lack it.
  package func setting(_ name: String, default fallback: Int? = nil) throws(ModelError) -> Int {
    guard let variable = variable(name) else {
      if let fallback { return fallback }
      throw ModelError(file: file, part: name, .missing)
    }
    guard variable.shape.isEmpty else {
      throw ModelError(file: file, part: name, .unexpected(expected: "a scalar", found: "shape \(variable.shape)"))
    }
    let place = bytes.start + variable.offset
    switch variable.type {
    case 1: return Int(place.loadUnaligned(as: Int8.self))
    case 2: return Int(place.loadUnaligned(as: Int16.self))
    case 3: return Int(place.loadUnaligned(as: Int32.self))
    default: throw ModelError(file: file, part: name, .unexpected(expected: "an integer", found: "floats"))
    }
  }

  /// A tensor of a known shape, as stored; 8-bit integers become floats.
  package func tensor(_ name: String, shape: [Int]) throws(ModelError) -> Tensor {
    guard let variable = variable(name) else { throw ModelError(file: file, part: name, .missing) }
    guard variable.shape == shape else {
      throw ModelError(file: file, part: name, .unexpected(expected: "shape \(shape)", found: "\(variable.shape)"))
    }
    let type: ElementType
    switch variable.type {
    case 0: type = .f32
    case 4: type = .f16
    case 5: type = .bf16
    case 1: return try expanded(name, variable)
    default: throw ModelError(file: file, part: name, .unexpected(expected: "floats or int8", found: "wider integers"))
    }
    guard let tensor = Tensor(name: name, shape: shape, type: type, bytes: bytes, offset: variable.offset) else {
      throw ModelError(file: file, part: name, .truncated(needed: UInt64(variable.size), available: bytes.count))
    }
    return tensor
  }

  private func expanded(_ name: String, _ variable: Variable) throws(ModelError) -> Tensor {
    guard let rows = variable.shape.first, rows > 0 else {
      throw ModelError(file: file, part: name, .unexpected(expected: "rows of int8", found: "shape \(variable.shape)"))
    }
    // Aliased weights keep their scale under the name of the weights they stand for.
    let stored = variables[name] == nil ? aliases[name] ?? name : name
    let scales = try tensor("\(stored)_scale", shape: [rows]).floats()
    let columns = variable.size / rows
    let integers = (bytes.start + variable.offset).assumingMemoryBound(to: Int8.self)
    return Tensor(name: name, shape: variable.shape) { floats in
      for row in 0..<rows {
        for column in 0..<columns {
          floats[row * columns + column] = Float(integers[row * columns + column]) / scales[row]
        }
      }
    }
  }
}
