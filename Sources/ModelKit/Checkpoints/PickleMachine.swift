internal import Tensors

/// Runs a pickle of tensors, and nothing but that.
///
/// It is a closed interpreter: it knows the opcodes that tensors need (PyTorch writes protocol 2, lit-gpt's incremental
/// writer protocol 5) and the globals of ``PickleGlobal``, and refuses all others by name. No opcode jumps, so time is bounded by the pickle's bytes; memory by
/// a budget of values.
struct PickleMachine {
  private var pickle = Pickle()
  private var stack: [PickleValue] = []
  /// Where marks stand in the stack; what lies below the last one cannot be popped.
  private var marks: [Int] = []
  private var memo: [UInt32: PickleValue] = [:]
  private var budget = Self.mostValues
  private var reader: ByteReader
  private let part: String

  private static let mostBytes = 1 << 26
  private static let mostValues = 1 << 21
  private static let mostNameBytes = 1 << 10
  private static let mostTextBytes: UInt64 = 1 << 20

  /// - Parameter part: the pickle's name in errors.
  static func run(
    _ bytes: Bytes, file: String, range: Range<Int>, part: String, checkCancelled: CancellationCheck = {}
  ) throws -> Pickle {
    guard range.count <= mostBytes else {
      throw ModelError(file: file, part: part, .tooLarge(found: UInt64(range.count), most: UInt64(mostBytes)))
    }
    var machine = PickleMachine(reader: ByteReader(bytes, file: file, range: range), part: part)
    var steps = 0
    while try machine.step() {
      steps += 1
      if steps % 4096 == 0 { try checkCancelled() }
    }
    return machine.pickle
  }

  private init(reader: ByteReader, part: String) { (self.reader, self.part) = (reader, part) }

  private func fault(_ reason: ModelError.Reason) -> ModelError {
    ModelError(file: reader.file, part: part, reason)
  }

  // MARK: Opcodes

  /// Runs one opcode; false after the last.
  private mutating func step() throws(ModelError) -> Bool {
    let code: UInt8 = try reader.integer(part: part)
    switch code {
    case 0x80:  // PROTO
      let version: UInt8 = try reader.integer(part: part)
      guard (2...5).contains(version) else {
        throw fault(.unexpected(expected: "pickle protocol 2 to 5", found: "\(version)"))
      }
    case 0x95:  // FRAME: how many bytes Python reads at once
      let length: UInt64 = try reader.integer(part: part)
      _ = try reader.available(length, part: part)
    case UInt8(ascii: "."):  // STOP
      pickle.root = try pop()
      guard stack.isEmpty, marks.isEmpty else { throw fault(.invalid("values are left when the pickle stops")) }
      return false
    case UInt8(ascii: "N"): try push(.none)
    case 0x88: try push(.bool(true))
    case 0x89: try push(.bool(false))
    case UInt8(ascii: "K"): try push(.integer(Int(try reader.integer(UInt8.self, part: part))))
    case UInt8(ascii: "M"): try push(.integer(Int(try reader.integer(UInt16.self, part: part))))
    case UInt8(ascii: "J"): try push(.integer(Int(try reader.integer(Int32.self, part: part))))
    case 0x8a: try push(.integer(try long()))
    case UInt8(ascii: "G"):
      try push(.real(Double(bitPattern: try reader.integer(UInt64.self, part: part).byteSwapped)))
    case UInt8(ascii: "X"):
      let length: UInt32 = try reader.integer(part: part)
      try push(.text(try reader.string(UInt64(length), most: Self.mostTextBytes, part: part)))
    case 0x8c:
      let length: UInt8 = try reader.integer(part: part)
      try push(.text(try reader.string(UInt64(length), part: part)))
    case UInt8(ascii: "c"):
      let module = try reader.line(most: Self.mostNameBytes, part: part)
      let name = try reader.line(most: Self.mostNameBytes, part: part)
      try push(.global(try global(module, name)))
    case 0x93:  // STACK_GLOBAL
      let (name, module) = (try pop(), try pop())
      guard case .text(let module) = module, case .text(let name) = name else {
        throw fault(.refused("a global whose name is \(name.kind) of \(module.kind)"))
      }
      try push(.global(try global(module, name)))
    case UInt8(ascii: "("): try mark()
    case UInt8(ascii: ")"): try tuple([])
    case UInt8(ascii: "t"): try tuple(try popToMark())
    case 0x85: try tuple([try pop()])
    case 0x86:
      let second = try pop()
      try tuple([try pop(), second])
    case 0x87:
      let (third, second) = (try pop(), try pop())
      try tuple([try pop(), second, third])
    case UInt8(ascii: "]"):
      pickle.lists.append([])
      try push(.list(pickle.lists.count - 1))
    case UInt8(ascii: "a"): try append([try pop()])
    case UInt8(ascii: "e"): try append(try popToMark())
    case UInt8(ascii: "}"):
      pickle.dictionaries.append([])
      try push(.dictionary(pickle.dictionaries.count - 1))
    case UInt8(ascii: "s"):
      let value = try pop()
      try set([try pop(), value])
    case UInt8(ascii: "u"): try set(try popToMark())
    case UInt8(ascii: "q"): try remember(UInt32(try reader.integer(UInt8.self, part: part)))
    case UInt8(ascii: "r"): try remember(try reader.integer(part: part))
    case 0x94: try remember(UInt32(memo.count))  // MEMOIZE; the budget keeps the count small
    case UInt8(ascii: "h"): try recall(UInt32(try reader.integer(UInt8.self, part: part)))
    case UInt8(ascii: "j"): try recall(try reader.integer(part: part))
    case UInt8(ascii: "Q"): try push(try storage(try pop()))
    case UInt8(ascii: "R"):
      let arguments = try pop()
      try push(try call(try pop(), arguments))
    case 0x81:  // NEWOBJ
      let arguments = try pop()
      try push(try object(try pop(), arguments))
    case UInt8(ascii: "b"):
      let state = try pop()
      try build(state)
    default: throw fault(.refused(PickleOpcode.name(code)))
    }
    return true
  }

  /// Counts values made, so that short opcodes cannot ask for memory without end.
  private mutating func spend(_ count: Int = 1) throws(ModelError) {
    budget -= count
    guard budget >= 0 else {
      throw fault(.tooLarge(found: UInt64(Self.mostValues - budget), most: UInt64(Self.mostValues)))
    }
  }

  private mutating func push(_ value: PickleValue) throws(ModelError) {
    try spend()
    stack.append(value)
  }

  private mutating func mark() throws(ModelError) {
    try spend()
    marks.append(stack.count)
  }

  private mutating func pop() throws(ModelError) -> PickleValue {
    guard stack.count > marks.last ?? 0, let value = stack.popLast() else {
      throw fault(.invalid("an opcode at byte \(reader.offset - 1) takes a value that is not there"))
    }
    return value
  }

  private mutating func popToMark() throws(ModelError) -> [PickleValue] {
    guard let mark = marks.popLast() else {
      throw fault(.invalid("an opcode at byte \(reader.offset - 1) takes a mark that is not there"))
    }
    let values = Array(stack[mark...])
    stack.removeSubrange(mark...)
    return values
  }

  private func top() throws(ModelError) -> PickleValue {
    guard stack.count > marks.last ?? 0, let value = stack.last else {
      throw fault(.invalid("an opcode at byte \(reader.offset - 1) takes a value that is not there"))
    }
    return value
  }

  private mutating func long() throws(ModelError) -> Int {
    let length: UInt8 = try reader.integer(part: part)
    guard length <= 8 else { throw fault(.tooLarge(found: UInt64(length), most: 8)) }
    var bits: UInt64 = 0
    for index in 0..<UInt64(length) { bits |= UInt64(try reader.integer(UInt8.self, part: part)) << (8 * index) }
    let unused = 64 - 8 * UInt64(length)
    return length == 0 ? 0 : Int(Int64(bitPattern: bits << unused) >> unused)
  }

  private func global(_ module: String, _ name: String) throws(ModelError) -> PickleGlobal {
    guard let global = PickleGlobal(module: module, name: name) else {
      throw fault(.refused("the global \(module.prefix(200)).\(name.prefix(200))"))
    }
    return global
  }

  private mutating func tuple(_ values: [PickleValue]) throws(ModelError) {
    pickle.tuples.append(values)
    try push(.tuple(pickle.tuples.count - 1))
  }

  private mutating func append(_ values: [PickleValue]) throws(ModelError) {
    guard case .list(let list) = try top() else {
      throw fault(.unexpected(expected: "a list to append to", found: try top().kind))
    }
    pickle.lists[list] += values
  }

  private mutating func set(_ values: [PickleValue]) throws(ModelError) {
    guard case .dictionary(let dictionary) = try top(), values.count % 2 == 0 else {
      throw fault(.unexpected(expected: "a dictionary and pairs to put into it", found: try top().kind))
    }
    for index in stride(from: 0, to: values.count, by: 2) {
      pickle.dictionaries[dictionary].append((values[index], values[index + 1]))
    }
  }

  private mutating func remember(_ index: UInt32) throws(ModelError) {
    try spend()
    memo[index] = try top()
  }

  private mutating func recall(_ index: UInt32) throws(ModelError) {
    guard let value = memo[index] else { throw fault(.invalid("nothing is remembered as \(index)")) }
    try push(value)
  }

  // MARK: What takes the place of Python's calls

  private func arguments(_ value: PickleValue, of what: String) throws(ModelError) -> [PickleValue] {
    guard case .tuple(let tuple) = value else {
      throw fault(.unexpected(expected: "a tuple for \(what)", found: value.kind))
    }
    return pickle.tuples[tuple]
  }

  /// The only persistent id there is: ('storage', type, key, device, count).
  private mutating func storage(_ id: PickleValue) throws(ModelError) -> PickleValue {
    let refusal = fault(.refused("a persistent id other than a storage of numbers"))
    guard case .tuple(let tuple) = id, pickle.tuples[tuple].count == 5 else { throw refusal }
    let parts = pickle.tuples[tuple]
    guard case .text("storage") = parts[0], case .global(.storage(let type)) = parts[1], case .text = parts[3],
      case .integer(let count) = parts[4], count >= 0
    else { throw refusal }
    let key: String
    switch parts[2] {
    case .text(let text): key = text
    case .integer(let number): key = "\(number)"
    default: throw refusal
    }
    pickle.storages.append(Pickle.Storage(key: key, type: type, count: count))
    return .storage(pickle.storages.count - 1)
  }

  private mutating func object(_ type: PickleValue, _ arguments: PickleValue) throws(ModelError) -> PickleValue {
    guard case .global(.module) = type, try self.arguments(arguments, of: "a module").isEmpty else {
      throw fault(.refused("making \(type.kind) with NEWOBJ"))
    }
    pickle.objects.append(nil)
    return .object(pickle.objects.count - 1)
  }

  private mutating func build(_ state: PickleValue) throws(ModelError) {
    switch (try top(), state) {
    case (.object(let object), .dictionary(let attributes)):
      guard pickle.objects[object] == nil else { throw fault(.invalid("a module is built twice")) }
      pickle.objects[object] = attributes
    case (.dictionary, .dictionary): break  // `_metadata` of a state dict: versions of its modules
    default: throw fault(.refused("setting \(try top().kind) to \(state.kind) with BUILD"))
    }
  }

  private mutating func call(_ function: PickleValue, _ arguments: PickleValue) throws(ModelError) -> PickleValue {
    guard case .global(let global) = function else { throw fault(.refused("a call of \(function.kind)")) }
    let arguments = try self.arguments(arguments, of: "\(global)")
    switch global {
    case .orderedDictionary: return try orderedDictionary(arguments)
    case .rebuildTensor: return try tensor(arguments)
    case .rebuildParameter:
      guard let first = arguments.first, case .tensor = first else {
        throw fault(.unexpected(expected: "a tensor for a parameter", found: arguments.first?.kind ?? "nothing"))
      }
      return first
    case .buildList, .restoreTypeTag:
      guard let first = arguments.first else { throw fault(.invalid("a list without its values")) }
      return first
    case .storage, .module: throw fault(.refused("a call of \(function.kind)"))
    }
  }

  private mutating func orderedDictionary(_ arguments: [PickleValue]) throws(ModelError) -> PickleValue {
    var entries: [(key: PickleValue, value: PickleValue)] = []
    if let first = arguments.first {
      guard arguments.count == 1, case .list(let list) = first else {
        throw fault(.unexpected(expected: "a list of pairs for a dictionary", found: first.kind))
      }
      // The list may be used again and again: its length is paid for each time.
      try spend(pickle.lists[list].count)
      for item in pickle.lists[list] {
        let pair: [PickleValue]
        switch item {
        case .tuple(let tuple): pair = pickle.tuples[tuple]
        case .list(let list): pair = pickle.lists[list]
        default: pair = []
        }
        guard pair.count == 2 else {
          throw fault(.unexpected(expected: "a list of pairs for a dictionary", found: item.kind))
        }
        entries.append((pair[0], pair[1]))
      }
    }
    pickle.dictionaries.append(entries)
    return .dictionary(pickle.dictionaries.count - 1)
  }

  /// (storage, offset, shape, strides, requires_grad, hooks), and since PyTorch 2 perhaps some metadata.
  private mutating func tensor(_ arguments: [PickleValue]) throws(ModelError) -> PickleValue {
    guard (6...7).contains(arguments.count), case .storage(let storage) = arguments[0],
      case .integer(let offset) = arguments[1], offset >= 0
    else { throw fault(.invalid("a tensor without its storage and offset")) }
    if arguments.count == 7 {
      var isPlain = false
      if case .none = arguments[6] { isPlain = true }
      if case .dictionary(let metadata) = arguments[6] { isPlain = pickle.dictionaries[metadata].isEmpty }
      guard isPlain else { throw fault(.refused("a tensor with metadata (conjugate or negated views)")) }
    }
    let (shape, strides) = (try dimensions(arguments[2]), try dimensions(arguments[3]))
    guard shape.count == strides.count else {
      throw fault(.unexpected(expected: "\(shape.count) strides", found: "\(strides.count)"))
    }
    pickle.tensors.append(Pickle.Tensor(storage: storage, offset: offset, shape: shape, strides: strides))
    return .tensor(pickle.tensors.count - 1)
  }

  private func dimensions(_ value: PickleValue) throws(ModelError) -> [Int] {
    guard case .tuple(let tuple) = value else {
      throw fault(.unexpected(expected: "a tuple of dimensions", found: value.kind))
    }
    guard pickle.tuples[tuple].count <= StoredTensor.mostDimensions else {
      throw fault(
        .tooLarge(found: UInt64(pickle.tuples[tuple].count), most: UInt64(StoredTensor.mostDimensions)))
    }
    var dimensions: [Int] = []
    for value in pickle.tuples[tuple] {
      guard case .integer(let dimension) = value, dimension >= 0 else {
        throw fault(.unexpected(expected: "a dimension", found: value.kind))
      }
      dimensions.append(dimension)
    }
    return dimensions
  }
}
