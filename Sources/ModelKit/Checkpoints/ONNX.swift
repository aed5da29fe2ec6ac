internal import Tensors

/// The weights in an ONNX file: what its graph names as initializers, and the constants among its nodes.
///
/// The graph itself is not read, let alone run: which layers there are is for the code that uses the weights. Weights
/// within a node's own graphs, such as the two branches of an `If`, are named by the path to them:
/// `If_0.then_branch.decoder.rnn.weight_ih`, a node without a name by its first output.
///
/// Source: onnx/onnx.proto of ONNX 1.x, IR versions 3 to 13.
package struct ONNX: Checkpoint {
  package let file: String
  package let tensors: TensorTable
  /// The metadata, and whole numbers that stand in the file one by one and not as bytes.
  package let settings: [String: Setting]
  package var format: CheckpointFormat { .onnx }

  /// Graphs within graphs.
  fileprivate static let mostLevels = 16
  fileprivate static let mostTensors = 1 << 17
  /// Bytes of a name or path, and of all names together, which repeat the path.
  fileprivate static let mostNameBytes: UInt64 = 1 << 12
  fileprivate static let mostNamesBytes: UInt64 = 1 << 24

  package init(path: String, checkCancelled: CancellationCheck = {}) throws {
    try self.init(bytes: Bytes.ofModel(path), path: path, checkCancelled: checkCancelled)
  }

  init(bytes: Bytes, path: String, checkCancelled: CancellationCheck) throws {
    var walk = Walk(reader: ByteReader(bytes, file: path))
    var model = ProtobufReader(walk.reader, range: 0..<bytes.count, part: "model")
    var hasGraph = false
    while let field = try model.next() {
      switch (field.number, field.value) {
      case (7, .bytes(let range)):
        hasGraph = true
        try walk.graph(range, path: "", level: 0, checkCancelled)
      case (2, .bytes(let range)): walk.settings["producer_name"] = .string(try walk.text(range, part: "producer_name"))
      case (14, .bytes(let range)): try walk.metadata(range)
      default: break
      }
    }
    guard hasGraph else { throw ModelError(file: path, part: "graph", .missing) }
    (file, settings, tensors) = (path, walk.settings, try TensorTable(walk.tensors))
  }

  /// What has been found on the way through the graphs.
  fileprivate struct Walk {
    let reader: ByteReader
    var tensors: [StoredTensor] = []
    var settings: [String: Setting] = [:]
    var found = 0
    var nameBytes: UInt64 = 0

    func message(_ range: Range<Int>, part: String) -> ProtobufReader {
      ProtobufReader(reader, range: range, part: part)
    }

    func text(_ range: Range<Int>, part: String) throws(ModelError) -> String {
      var text = ByteReader(reader.bytes, file: reader.file, range: range)
      return try text.string(UInt64(range.count), most: mostNameBytes, part: part)
    }

    mutating func metadata(_ range: Range<Int>) throws(ModelError) {
      var (key, value) = ("", "")
      var entry = message(range, part: "metadata_props")
      while let field = try entry.next() {
        guard case .bytes(let range) = field.value else { continue }
        if field.number == 1 { key = try text(range, part: "metadata_props") }
        // Some exporters keep whole documents there.
        if field.number == 2, range.count <= mostNameBytes { value = try text(range, part: key) }
      }
      settings[key] = .string(value)
    }

    /// GraphProto: nodes (1) and initializers (5).
    mutating func graph(
      _ range: Range<Int>, path: String, level: Int, _ checkCancelled: CancellationCheck
    ) throws {
      guard level < mostLevels else {
        throw ModelError(file: reader.file, part: path, .tooLarge(found: UInt64(level) + 1, most: UInt64(mostLevels)))
      }
      try checkCancelled()
      var graph = message(range, part: path.isEmpty ? "graph" : path)
      while let field = try graph.next() {
        switch (field.number, field.value) {
        case (1, .bytes(let range)): try node(range, path: path, level: level, checkCancelled)
        case (5, .bytes(let range)): try tensor(range, path: path, name: nil)
        default: break
        }
      }
    }

    /// NodeProto: outputs (2), name (3), kind (4) and attributes (5), which only two kinds of node are asked for.
    private mutating func node(
      _ range: Range<Int>, path: String, level: Int, _ checkCancelled: CancellationCheck
    ) throws {
      var (name, output, kind) = ("", "", "")
      var attributes: [Range<Int>] = []
      var node = message(range, part: path.isEmpty ? "a node" : "a node in \(path)")
      while let field = try node.next() {
        guard case .bytes(let range) = field.value else { continue }
        switch field.number {
        case 2: if output.isEmpty { output = try text(range, part: "an output") }
        case 3: name = try text(range, part: "a node's name")
        case 4: kind = try text(range, part: "a node's kind")
        case 5: attributes.append(range)
        default: break
        }
      }
      for range in attributes {
        try attribute(
          range, constant: kind == "Constant" ? output : nil, path: path + (name.isEmpty ? output : name), level: level,
          prefix: path, checkCancelled)
      }
    }

    /// AttributeProto: name (1), tensor (5), graph (6), graphs (11).
    private mutating func attribute(
      _ range: Range<Int>, constant: String?, path: String, level: Int, prefix: String,
      _ checkCancelled: CancellationCheck
    ) throws {
      var name = ""
      var (values, graphs): ([Range<Int>], [Range<Int>]) = ([], [])
      var attribute = message(range, part: path)
      while let field = try attribute.next() {
        guard case .bytes(let range) = field.value else { continue }
        switch field.number {
        case 1: name = try text(range, part: path)
        case 5: values.append(range)
        case 6, 11: graphs.append(range)
        default: break
        }
      }
      if let constant, name == "value" {
        for range in values { try tensor(range, path: prefix, name: constant) }
      }
      for (index, range) in graphs.enumerated() {
        let inner = "\(path).\(name)\(index == 0 ? "" : "[\(index)]")."
        guard inner.utf8.count <= mostNameBytes else {
          throw ModelError(
            file: reader.file, part: name, .tooLarge(found: UInt64(inner.utf8.count), most: mostNameBytes))
        }
        try graph(range, path: inner, level: level + 1, checkCancelled)
      }
    }
  }
}

extension ONNX.Walk {
  /// TensorProto, as far as it lies in the file.
  fileprivate struct Header {
    var name = ""
    var shape: [Int] = []
    var type: UInt64 = 0
    /// The numbers, as they are in memory.
    var data: Range<Int>?
    /// Integers, seven bits a byte.
    var integers: (first: Int64, count: Int)?
  }

  /// Takes a tensor down under its own name, or that of the constant that it is.
  mutating func tensor(_ range: Range<Int>, path: String, name: String?) throws(ModelError) {
    found += 1
    guard found <= ONNX.mostTensors else {
      throw ModelError(
        file: reader.file, part: path, .tooLarge(found: UInt64(found), most: UInt64(ONNX.mostTensors)))
    }
    let header = try header(range, path: path)
    let name = path + (name ?? header.name)
    nameBytes += UInt64(name.utf8.count)
    guard nameBytes <= ONNX.mostNamesBytes else {
      throw ModelError(file: reader.file, part: "names", .tooLarge(found: nameBytes, most: ONNX.mostNamesBytes))
    }
    if let integers = header.integers {
      settings[name] = integers.count == 1 ? .integer(integers.first) : .list(count: integers.count)
      return
    }
    // Texts and types that no kernel knows are nobody's weights.
    guard let type = Self.type(header.type) else { return }
    let data = header.data ?? range.lowerBound..<range.lowerBound
    let tensor = try StoredTensor(
      name: name, type: type, shape: header.shape, file: reader.file, bytes: reader.bytes, range: data,
      offset: data.lowerBound)
    guard tensor.byteCount == data.count else {
      throw ModelError(
        file: reader.file, part: name,
        .unexpected(expected: "\(tensor.byteCount) bytes for \(type.rawValue) \(header.shape)", found: "\(data.count)"))
    }
    tensors.append(tensor)
  }

  /// Dimensions (1), type (2), name (8); numbers as bytes (9), as packed floats (4) or doubles (10), as packed integers
  /// (5, 7, 11), or in another file (13, 14).
  private func header(_ range: Range<Int>, path: String) throws(ModelError) -> Header {
    let part = path.isEmpty ? "a tensor" : "a tensor in \(path)"
    var header = Header()
    var tensor = message(range, part: part)
    while let field = try tensor.next() {
      switch (field.number, field.value) {
      case (1, .integer(let extent)): try append(extent, to: &header.shape, part: part)
      case (1, .bytes(let range)):
        var extents = message(range, part: part)
        while let extent = try extents.nextInteger() { try append(extent, to: &header.shape, part: part) }
      case (2, .integer(let type)): header.type = type
      case (8, .bytes(let range)): header.name = try text(range, part: part)
      case (4, .bytes(let range)), (9, .bytes(let range)), (10, .bytes(let range)):
        guard header.data == nil else {
          throw ModelError(file: reader.file, part: header.name.isEmpty ? part : header.name, .duplicate)
        }
        header.data = range
      case (5, .integer(let value)), (7, .integer(let value)), (11, .integer(let value)):
        header.add(value)
      case (5, .bytes(let range)), (7, .bytes(let range)), (11, .bytes(let range)):
        var values = message(range, part: part)
        while let value = try values.nextInteger() { header.add(value) }
      case (13, _), (14, .integer(1)):
        throw ModelError(
          file: reader.file, part: header.name.isEmpty ? part : header.name, .refused("a tensor in another file"))
      default: break
      }
    }
    return header
  }

  private func append(_ extent: UInt64, to shape: inout [Int], part: String) throws(ModelError) {
    let most = UInt64(StoredTensor.mostDimensions)
    guard shape.count < most else {
      throw ModelError(file: reader.file, part: part, .tooLarge(found: UInt64(shape.count) + 1, most: most))
    }
    // No more numbers than the file has bits.
    guard extent <= UInt64(reader.bytes.count) * 8 else {
      throw ModelError(file: reader.file, part: part, .tooLarge(found: extent, most: UInt64(reader.bytes.count) * 8))
    }
    shape.append(Int(extent))
  }

  /// TensorProto.DataType.
  private static func type(_ code: UInt64) -> StoredType? {
    switch code {
    case 1: .f32
    case 2: .u8
    case 3: .i8
    case 4: .u16
    case 5: .i16
    case 6: .i32
    case 7: .i64
    case 9: .bool
    case 10: .f16
    case 11: .f64
    case 12: .u32
    case 13: .u64
    case 16: .bf16
    default: nil
    }
  }
}

extension ONNX.Walk.Header {
  fileprivate mutating func add(_ value: UInt64) {
    integers = (integers?.first ?? Int64(bitPattern: value), (integers?.count ?? 0) + 1)
  }
}
