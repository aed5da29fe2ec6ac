/// Builds zip archives, sound and unsound ones.
struct ZipBuilder {
  struct Entry {
    var name: String
    var data: [UInt8]
    var method: UInt16 = 0
    var flags: UInt16 = 0
    /// What the local header says, when not the same.
    var localName: String?
    /// What the directory says, when not the truth.
    var size: UInt64?
    var start: UInt64?
  }
  var entries: [Entry] = []
  var isZip64 = false
  var comment: [UInt8] = []
  /// What the end record says, when not the truth.
  var count: UInt64?
  var directoryStart: UInt64?

  func bytes() -> [UInt8] {
    var file = ByteWriter()
    var directory = ByteWriter()
    for entry in entries {
      let start = UInt64(file.bytes.count)
      let localName = entry.localName ?? entry.name
      file.put(UInt32(0x0403_4b50))
      for value in [45, entry.flags, entry.method, 0, 0] as [UInt16] { file.put(value) }
      for value in [0, UInt32(entry.data.count), UInt32(entry.data.count)] { file.put(value) }
      file.put(UInt16(localName.utf8.count))
      file.put(UInt16(0))
      file.bytes += Array(localName.utf8) + entry.data

      let (size, place) = (entry.size ?? UInt64(entry.data.count), entry.start ?? start)
      directory.put(UInt32(0x0201_4b50))
      for value in [45, 45, entry.flags, entry.method, 0, 0] as [UInt16] { directory.put(value) }
      directory.put(UInt32(0))
      for _ in 0..<2 { directory.put(isZip64 ? UInt32.max : UInt32(truncatingIfNeeded: size)) }
      for value in [UInt16(entry.name.utf8.count), isZip64 ? 28 : 0, 0, 0, 0] as [UInt16] { directory.put(value) }
      directory.put(UInt32(0))
      directory.put(isZip64 ? UInt32.max : UInt32(truncatingIfNeeded: place))
      directory.bytes += Array(entry.name.utf8)
      if isZip64 {
        for value in [1, 24] as [UInt16] { directory.put(value) }
        for value in [size, size, place] { directory.put(value) }
      }
    }
    let start = directoryStart ?? UInt64(file.bytes.count)
    let count = self.count ?? UInt64(entries.count)
    file.bytes += directory.bytes
    let end = UInt64(file.bytes.count)
    if isZip64 {
      file.put(UInt32(0x0606_4b50))
      file.put(UInt64(44))
      for value in [45, 45] as [UInt16] { file.put(value) }
      for value in [0, 0] as [UInt32] { file.put(value) }
      for value in [count, count, UInt64(directory.bytes.count), start] { file.put(value) }
      file.put(UInt32(0x0706_4b50))
      file.put(UInt32(0))
      file.put(end)
      file.put(UInt32(1))
    }
    file.put(UInt32(0x0605_4b50))
    for value in [0, 0, isZip64 ? .max : UInt16(count), isZip64 ? .max : UInt16(count)] as [UInt16] { file.put(value) }
    file.put(isZip64 ? UInt32.max : UInt32(directory.bytes.count))
    file.put(isZip64 ? UInt32.max : UInt32(truncatingIfNeeded: start))
    file.put(UInt16(comment.count))
    return file.bytes + comment
  }
}

/// Writes pickles, opcode by opcode.
enum PickleText {
  static func text(_ text: String) -> [UInt8] {
    var writer = ByteWriter(bytes: [UInt8(ascii: "X")])
    writer.put(UInt32(text.utf8.count))
    return writer.bytes + Array(text.utf8)
  }

  static func global(_ module: String, _ name: String) -> [UInt8] { Array("c\(module)\n\(name)\n".utf8) }

  static func integer(_ value: Int) -> [UInt8] {
    var writer = ByteWriter(bytes: [0x8a, 8])
    writer.put(Int64(value))
    return writer.bytes
  }

  static func tuple(_ values: [UInt8]...) -> [UInt8] { Array("(".utf8) + values.joined() + Array("t".utf8) }

  static func integers(_ values: [Int]) -> [UInt8] {
    Array("(".utf8) + values.flatMap(integer) + Array("t".utf8)
  }

  /// A call.
  static func call(_ module: String, _ name: String, _ arguments: [UInt8]...) -> [UInt8] {
    global(module, name) + Array("(".utf8) + arguments.joined() + Array("tR".utf8)
  }

  static func storage(key: String = "0", type: String = "FloatStorage", count: Int = 4) -> [UInt8] {
    tuple(text("storage"), global("torch", type), text(key), text("cpu"), integer(count)) + Array("Q".utf8)
  }

  static func tensor(
    key: String = "0", type: String = "FloatStorage", count: Int = 4, offset: Int = 0, shape: [Int] = [2, 2],
    strides: [Int] = [2, 1]
  ) -> [UInt8] {
    call(
      "torch._utils", "_rebuild_tensor_v2", storage(key: key, type: type, count: count), integer(offset),
      integers(shape), integers(strides), [0x89], call("collections", "OrderedDict"))
  }

  /// A dictionary.
  static func dictionary(_ entries: [(String, [UInt8])]) -> [UInt8] {
    Array("}(".utf8) + entries.flatMap { text($0.0) + $0.1 } + Array("u".utf8)
  }

  /// A whole pickle of a value.
  static func whole(_ value: [UInt8]) -> [UInt8] { [0x80, 2] + value + Array(".".utf8) }
}

/// PyTorch archives around a pickle.
enum TorchBuilder {
  /// The four floats 1 to 4.
  static let floats: [UInt8] = {
    var writer = ByteWriter()
    for value in [1, 2, 3, 4] as [Float] { writer.put(value) }
    return writer.bytes
  }()

  static func zip(_ pickle: [UInt8], storages: [(key: String, data: [UInt8])] = [("0", floats)]) -> ZipBuilder {
    ZipBuilder(
      entries: [ZipBuilder.Entry(name: "archive/data.pkl", data: pickle)]
        + storages.map { ZipBuilder.Entry(name: "archive/data/\($0.key)", data: $0.data) })
  }

  /// An archive of a dictionary with one member.
  static func archive(_ value: [UInt8], named name: String = "weight") -> [UInt8] {
    zip(PickleText.whole(PickleText.dictionary([(name, value)]))).bytes()
  }
}
