internal import Tensors

/// What PyTorch saves since version 1.6: a zip archive with a pickle that names tensors, and an entry for each storage.
///
/// `torch.save` writes dictionaries, flat or nested; a tensor's name is the path of its keys, joined by dots. When every
/// tensor lies in one dictionary of the outermost one, as in `{dims, model_state_dict}`, that dictionary's own name is
/// left out, so that the names are those of the state dict. `torch.jit.save` (TorchScript) writes modules; names are
/// paths of attributes, which again are those of the state dict, and the constants of the code are `CONSTANTS.c0` and
/// so on. The code itself is never read.
package struct TorchArchive: Checkpoint {
  package let file: String
  package let format: CheckpointFormat
  package let tensors: TensorTable
  /// Numbers, texts and, outside modules, booleans; the path of a nested one is never shortened.
  package let settings: [String: Setting]

  package init(path: String, checkCancelled: CancellationCheck = {}) throws {
    try self.init(bytes: Bytes.ofModel(path), path: path, checkCancelled: checkCancelled)
  }

  init(bytes: Bytes, path: String, checkCancelled: CancellationCheck) throws {
    let zip = try ZipArchive(bytes: bytes, file: path, checkCancelled: checkCancelled)
    let folder = try Self.folder(zip)
    if zip.contains("\(folder)byteorder") {
      let range = try zip.range("\(folder)byteorder")
      var reader = ByteReader(bytes, file: path, range: range)
      let order = try reader.string(UInt64(range.count), most: 16, part: "byteorder")
      guard order == "little" else {
        throw ModelError(file: path, part: "byteorder", .unexpected(expected: "little", found: order))
      }
    }
    func walk(_ entry: String, data: String, naming: (String) -> String) throws -> TorchWalk {
      let pickle = try PickleMachine.run(
        bytes, file: path, range: zip.range(entry), part: entry, checkCancelled: checkCancelled)
      var walk = TorchWalk(pickle: pickle, zip: zip, part: entry, data: data)
      try walk.all(naming)
      return walk
    }
    var state = try walk("\(folder)data.pkl", data: "\(folder)data/") { $0 }
    state.unwrap()
    var list = state.tensors
    let constants = "\(folder)constants.pkl"
    if zip.contains(constants) {
      list += try walk(constants, data: "\(folder)constants/") { "CONSTANTS.c\($0)" }.tensors
    }
    format = zip.contains(constants) ? .torchScript : .pyTorch
    (file, tensors, settings) = (path, try TensorTable(list), state.settings)
  }

  /// The one folder in which everything lies, with its slash.
  private static func folder(_ zip: ZipArchive) throws(ModelError) -> String {
    let pickles = zip.names.filter { $0.hasSuffix("/data.pkl") && $0.split(separator: "/").count == 2 }
    guard let name = pickles.first, pickles.count == 1 else {
      throw ModelError(
        file: zip.file, part: "data.pkl",
        .unexpected(expected: "one in a PyTorch archive", found: pickles.isEmpty ? "none" : "\(pickles.count)"))
    }
    return String(name.dropLast("data.pkl".count))
  }
}

/// Finds tensors and settings in a pickle's result.
private struct TorchWalk {
  let pickle: Pickle
  let zip: ZipArchive
  /// The pickle's entry, and the path before a storage's key.
  let part: String
  let data: String
  private(set) var tensors: [StoredTensor] = []
  private(set) var settings: [String: Setting] = [:]
  private var visits = 0
  private var nameBytes = 0
  /// The keys of the outermost dictionary under which tensors lie, and whether all of them hold dictionaries.
  private var wrappers: Set<String> = []
  private var isWrapped = true

  // A value may stand in many places: what is bounded is the number of places, not of values.
  private static let mostVisits = 1 << 18
  private static let mostDepth = 64
  private static let mostNameBytes = 1 << 10
  private static let mostNameBytesInAll = 1 << 26

  init(pickle: Pickle, zip: ZipArchive, part: String, data: String) {
    (self.pickle, self.zip, self.part, self.data) = (pickle, zip, part, data)
  }

  mutating func all(_ naming: (String) -> String) throws(ModelError) {
    switch pickle.root {
    case .dictionary(let index):
      for (key, value) in pickle.dictionaries[index] {
        let name = try text(key)
        let before = tensors.count
        try visit(value, naming(name), depth: 1, isModule: false)
        if tensors.count > before {
          wrappers.insert(name)
          if case .dictionary = value {} else { isWrapped = false }
        }
      }
    case .tuple(let index):
      isWrapped = false
      for (position, value) in pickle.tuples[index].enumerated() {
        try visit(value, naming("\(position)"), depth: 1, isModule: true)
      }
    case .object:
      isWrapped = false
      try visit(pickle.root, "", depth: 0, isModule: true)
    default: throw fault(.unexpected(expected: "a dictionary or a module", found: pickle.root.kind))
    }
  }

  /// Leaves out the name of the one dictionary that holds all tensors.
  mutating func unwrap() {
    guard isWrapped, wrappers.count == 1, let wrapper = wrappers.first else { return }
    tensors = tensors.map { $0.renamed(String($0.name.dropFirst(wrapper.count + 1))) }
  }

  private func fault(_ reason: ModelError.Reason) -> ModelError { ModelError(file: zip.file, part: part, reason) }

  private func text(_ key: PickleValue) throws(ModelError) -> String {
    switch key {
    case .text(let text): return text
    case .integer(let number): return "\(number)"
    default: throw fault(.unexpected(expected: "a key that is a text or a number", found: key.kind))
    }
  }

  private mutating func visit(
    _ value: PickleValue, _ name: String, depth: Int, isModule: Bool
  ) throws(ModelError) {
    visits += 1
    nameBytes += name.utf8.count
    guard visits <= Self.mostVisits else {
      throw fault(.tooLarge(found: UInt64(visits), most: UInt64(Self.mostVisits)))
    }
    guard name.utf8.count <= Self.mostNameBytes, nameBytes <= Self.mostNameBytesInAll else {
      throw fault(.tooLarge(found: UInt64(nameBytes), most: UInt64(Self.mostNameBytesInAll)))
    }
    guard depth <= Self.mostDepth else {
      throw ModelError(
        file: zip.file, part: part, .invalid("'\(name.prefix(80))…' lies more than \(Self.mostDepth) levels deep"))
    }
    func path(_ key: String) -> String { name.isEmpty ? key : "\(name).\(key)" }
    switch value {
    case .dictionary(let index):
      for (key, value) in pickle.dictionaries[index] {
        try visit(value, path(try text(key)), depth: depth + 1, isModule: false)
      }
    case .object(let index):
      guard let attributes = pickle.objects[index] else { return }
      for (key, value) in pickle.dictionaries[attributes] {
        try visit(value, path(try text(key)), depth: depth + 1, isModule: true)
      }
    case .list(let index):
      if !isModule { settings[name] = .list(count: pickle.lists[index].count) }
      for (position, value) in pickle.lists[index].enumerated() {
        try visit(value, path("\(position)"), depth: depth + 1, isModule: true)
      }
    case .tuple(let index):
      for (position, value) in pickle.tuples[index].enumerated() {
        try visit(value, path("\(position)"), depth: depth + 1, isModule: true)
      }
    case .tensor(let index): tensors.append(try tensor(pickle.tensors[index], name))
    case .integer(let number): settings[name] = .integer(Int64(number))
    case .real(let number): settings[name] = .real(number)
    case .text(let text): settings[name] = .string(text)
    // Every module says whether it was training, and whether it had hooks.
    case .bool(let value): if !isModule { settings[name] = .bool(value) }
    case .none: break
    case .global, .storage: throw ModelError(file: zip.file, part: name, .refused(value.kind))
    }
  }

  private func tensor(_ tensor: Pickle.Tensor, _ name: String) throws(ModelError) -> StoredTensor {
    let storage = pickle.storages[tensor.storage]
    let entry = data + storage.key
    guard zip.contains(entry) else {
      throw ModelError(file: zip.file, part: name, .unexpected(expected: "its numbers in \(entry)", found: "no entry"))
    }
    let range = try zip.range(entry)
    let (bytes, overflow) = storage.count.multipliedReportingOverflow(by: storage.type.blockBytes)
    guard !overflow, bytes == range.count else {
      throw ModelError(
        file: zip.file, part: name,
        .unexpected(
          expected: "\(storage.count) numbers of \(storage.type.rawValue) in \(entry)", found: "\(range.count) bytes"))
    }
    let (skipped, overflowed) = tensor.offset.multipliedReportingOverflow(by: storage.type.blockBytes)
    let (start, beyond) = range.lowerBound.addingReportingOverflow(skipped)
    guard !overflowed, !beyond else {
      throw ModelError(
        file: zip.file, part: name, .tooLarge(found: UInt64(tensor.offset), most: UInt64(storage.count)))
    }
    return try StoredTensor(
      name: name, type: storage.type, shape: tensor.shape, strides: tensor.strides, file: zip.file, bytes: zip.bytes,
      range: range, offset: start)
  }
}
