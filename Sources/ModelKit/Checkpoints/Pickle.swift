/// What a pickle of tensors stands for. Containers and tensors are numbers of places in ``Pickle``'s lists, so that
/// values which hold each other, or nest a million deep, cost no more than their bytes in the file.
enum PickleValue: Sendable {
  case none
  case bool(Bool)
  case integer(Int)
  case real(Double)
  case text(String)
  case global(PickleGlobal)
  case tuple(Int)
  case list(Int)
  case dictionary(Int)
  /// A module of a TorchScript archive; its attributes are a dictionary.
  case object(Int)
  case storage(Int)
  case tensor(Int)

  /// For messages.
  var kind: String {
    switch self {
    case .none: "None"
    case .bool: "a boolean"
    case .integer: "an integer"
    case .real: "a number"
    case .text: "a text"
    case .global(let global): "\(global)"
    case .tuple: "a tuple"
    case .list: "a list"
    case .dictionary: "a dictionary"
    case .object: "a module"
    case .storage: "a storage"
    case .tensor: "a tensor"
    }
  }
}

/// The globals that a file of tensors needs. None of them is looked up anywhere: they are the names of what
/// ``PickleMachine`` does itself.
enum PickleGlobal: Sendable, Equatable {
  case orderedDictionary
  case rebuildTensor
  case rebuildParameter
  case storage(StoredType)
  /// A class in a TorchScript archive's code.
  case module
  /// Typed lists of TorchScript.
  case buildList
  case restoreTypeTag

  init?(module: String, name: String) {
    if module == "__torch__" || module.hasPrefix("__torch__.") {
      self = .module
      return
    }
    switch (module, name) {
    case ("collections", "OrderedDict"): self = .orderedDictionary
    case ("torch._utils", "_rebuild_tensor_v2"): self = .rebuildTensor
    case ("torch._utils", "_rebuild_parameter"): self = .rebuildParameter
    case ("torch.jit._pickle", "build_intlist"), ("torch.jit._pickle", "build_doublelist"),
      ("torch.jit._pickle", "build_boollist"), ("torch.jit._pickle", "build_tensorlist"):
      self = .buildList
    case ("torch.jit._pickle", "restore_type_tag"): self = .restoreTypeTag
    case ("torch", _):
      guard let type = Self.storages[name] else { return nil }
      self = .storage(type)
    default: return nil
    }
  }

  private static let storages: [String: StoredType] = [
    "DoubleStorage": .f64, "FloatStorage": .f32, "HalfStorage": .f16, "BFloat16Storage": .bf16, "LongStorage": .i64,
    "IntStorage": .i32, "ShortStorage": .i16, "CharStorage": .i8, "ByteStorage": .u8, "BoolStorage": .bool,
  ]
}

/// The result of running a pickle: a root value, and the lists that values point into.
struct Pickle: Sendable {
  /// A place of numbers, named by the archive's entry.
  struct Storage {
    var key: String
    var type: StoredType
    var count: Int
  }
  /// A view of a storage.
  struct Tensor {
    var storage: Int
    /// In numbers.
    var offset: Int
    var shape: [Int]
    var strides: [Int]
  }

  var root = PickleValue.none
  var tuples: [[PickleValue]] = []
  var lists: [[PickleValue]] = []
  /// In the order of insertion; a key that is set twice stands twice.
  var dictionaries: [[(key: PickleValue, value: PickleValue)]] = []
  /// The dictionary of each module's attributes; nil until it is built.
  var objects: [Int?] = []
  var storages: [Storage] = []
  var tensors: [Tensor] = []
}

/// Python's names of the pickle opcodes, for refusing the others by name.
enum PickleOpcode {
  static func name(_ code: UInt8) -> String {
    names[code].map { "pickle opcode \($0)" } ?? "pickle opcode \(code)"
  }

  private static let names: [UInt8: String] = [
    UInt8(ascii: "0"): "POP", UInt8(ascii: "1"): "POP_MARK", UInt8(ascii: "2"): "DUP", UInt8(ascii: "F"): "FLOAT",
    UInt8(ascii: "I"): "INT", UInt8(ascii: "L"): "LONG", UInt8(ascii: "P"): "PERSID", UInt8(ascii: "S"): "STRING",
    UInt8(ascii: "T"): "BINSTRING", UInt8(ascii: "U"): "SHORT_BINSTRING", UInt8(ascii: "V"): "UNICODE",
    UInt8(ascii: "B"): "BINBYTES", UInt8(ascii: "C"): "SHORT_BINBYTES", UInt8(ascii: "d"): "DICT",
    UInt8(ascii: "g"): "GET", UInt8(ascii: "i"): "INST", UInt8(ascii: "l"): "LIST", UInt8(ascii: "o"): "OBJ",
    UInt8(ascii: "p"): "PUT", 0x82: "EXT1", 0x83: "EXT2", 0x84: "EXT4", 0x8b: "LONG4",
    0x8d: "BINUNICODE8", 0x8e: "BINBYTES8", 0x8f: "EMPTY_SET", 0x90: "ADDITEMS", 0x91: "FROZENSET",
    0x92: "NEWOBJ_EX", 0x96: "BYTEARRAY8",
    0x97: "NEXT_BUFFER", 0x98: "READONLY_BUFFER",
  ]
}
