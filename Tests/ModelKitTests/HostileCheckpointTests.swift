import Foundation
import ModelKit
import Tensors
import Testing

/// Whatever a file holds, reading it ends soon, in bounded memory, with a checkpoint or a ``ModelError``.
@Suite struct HostileCheckpointTests {
  /// Reads all there is to read.
  static func readAll(_ path: String) throws {
    do {
      let checkpoint = try Checkpoints.open(path)
      for tensor in checkpoint.tensors { _ = try checkpoint.tensor(tensor.name, shape: tensor.shape).floats() }
      _ = CheckpointReport(checkpoint).text
    } catch is ModelError {}
  }

  private static func error(_ file: [UInt8]) throws -> String {
    try Fixtures.withFile(file) { path in
      let error = try #require(throws: ModelError.self) { try Checkpoints.open(path) }
      #expect(error.file == path)
      return error.description
    }
  }

  // MARK: Fuzzing

  @Test(arguments: ["flat.pth", "nested.pt", "lit_model.pth", "traced.pt", "model.safetensors"])
  func changedAndCutFilesAreReadOrRefused(_ name: String) throws {
    let file = [UInt8](try Data(contentsOf: CheckpointFileTests.folder.appendingPathComponent(name)))
    try Fixtures.hostileVariants(of: file, seed: 11) { try Fixtures.withFile($0, Self.readAll) }
    // A zip archive is steered from its end.
    try Fixtures.hostileVariants(of: file.reversed(), seed: 12) { try Fixtures.withFile($0.reversed(), Self.readAll) }
  }

  @Test func changedPicklesInSoundArchivesAreReadOrRefused() throws {
    let pickle = PickleText.whole(
      PickleText.dictionary([
        ("dims", PickleText.dictionary([("n_mels", PickleText.integer(80))])),
        ("state", PickleText.dictionary([("a", PickleText.tensor()), ("b", PickleText.tensor(strides: [1, 2]))])),
      ]))
    var generator = SeededGenerator(13)
    let opcodes =
      Array("()]}tesuqrhjQRbcXKMJGN.".utf8) + [0x80, 0x81, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x93, 0x94, 0x95]
    for _ in 0..<1500 {
      var changed = pickle
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        let place = Int.random(in: 0..<changed.count, using: &generator)
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: changed[place] = opcodes[Int.random(in: 0..<opcodes.count, using: &generator)]
        case 1: changed[place] = UInt8.random(in: 0...255, using: &generator)
        case 2: changed.insert(opcodes[Int.random(in: 0..<opcodes.count, using: &generator)], at: place)
        default: changed.remove(at: place)
        }
      }
      try Fixtures.withFile(TorchBuilder.zip(changed).bytes(), Self.readAll)
    }
  }

  @Test func changedIndexesOfShardsAreReadOrRefused() throws {
    let folder = CheckpointFileTests.folder.appendingPathComponent("sharded")
    let index = [UInt8](try Data(contentsOf: folder.appendingPathComponent("model.safetensors.index.json")))
    let scratch = URL(fileURLWithPath: NSTemporaryDirectory() + "antiphon-\(UUID().uuidString)")
    try FileManager.default.copyItem(at: folder, to: scratch)
    defer { try? FileManager.default.removeItem(at: scratch) }
    let path = scratch.appendingPathComponent("model.safetensors.index.json")
    try Fixtures.hostileVariants(of: index, seed: 14) {
      try Data($0).write(to: path)
      try Self.readAll(path.path)
    }
  }

  // MARK: Pickles

  typealias Pickle = PickleText

  @Test(arguments: [
    ("a command", Pickle.call("os", "system", Pickle.text("true")), "the global os.system is refused"),
    ("posix", Pickle.call("posix", "system", Pickle.text("true")), "the global posix.system is refused"),
    ("eval", Pickle.call("builtins", "eval", Pickle.text("1")), "the global builtins.eval is refused"),
    ("getattr", Pickle.call("__builtin__", "getattr"), "the global __builtin__.getattr is refused"),
    ("nested load", Pickle.call("torch", "load", Pickle.text("x")), "the global torch.load is refused"),
    ("a name with dots", Pickle.global("torch", "FloatStorage.__class__"), "FloatStorage.__class__ is refused"),
    ("INST", Array("(ios\nsystem\n".utf8), "pickle opcode INST is refused"),
    ("OBJ", Array("(o".utf8), "pickle opcode OBJ is refused"),
    ("EXT1", [0x82, 1], "pickle opcode EXT1 is refused"),
    (
      "a command from the stack", Pickle.text("os") + Pickle.text("system") + [0x93] + Pickle.tuple() + Array("R".utf8),
      "the global os.system is refused"
    ),
    ("a global of numbers", Array("NN".utf8) + [0x93], "is refused"),
    ("a huge frame", [0x95] + [UInt8](repeating: 0xff, count: 8), "cut short"),
    ("LONG4", [0x8b, 0xff, 0xff, 0xff, 0x7f], "pickle opcode LONG4 is refused"),
    ("BINBYTES8", [0x8e], "pickle opcode BINBYTES8 is refused"),
    ("DUP", Array("N2".utf8), "pickle opcode DUP is refused"),
    ("unknown", [0xff], "pickle opcode 255 is refused"),
    ("PERSID", Array("P0\n".utf8), "pickle opcode PERSID is refused"),
    ("another id", Pickle.text("module") + Array("Q".utf8), "a persistent id other than a storage"),
    (
      "another kind of id",
      Pickle.tuple(
        Pickle.text("module"), Pickle.global("torch", "FloatStorage"), Pickle.text("0"), Pickle.text("cpu"),
        Pickle.integer(4)) + Array("Q".utf8), "a persistent id other than a storage"
    ),
    ("a huge text", [UInt8(ascii: "X"), 0xff, 0xff, 0xff, 0xff], "4294967295 is more than"),
    ("a text beyond the end", [UInt8(ascii: "X"), 0, 0, 1, 0], "65536 bytes needed"),
    ("a huge number", [0x8a, 0xff], "255 is more than the 8"),
    (
      "making a dictionary",
      Pickle.global("collections", "OrderedDict") + Array(")\u{81}".unicodeScalars.map { UInt8($0.value) }),
      "NEWOBJ is refused"
    ),
    ("a module called", Pickle.call("__torch__", "Model"), "a call of module is refused"),
    ("a storage type called", Pickle.call("torch", "FloatStorage", Pickle.integer(9)), "is refused"),
    ("a text called", Pickle.text("f") + Array(")R".utf8), "a call of a text is refused"),
    ("a tensor built", Pickle.tensor() + Array("}b".utf8), "BUILD is refused"),
    ("nothing to pop", Array("tt".utf8), "a mark that is not there"),
    ("a dictionary called", Array("tR".utf8), "a call of a dictionary is refused"),
    ("below the mark", Array("(s".utf8), "a value that is not there"),
    ("nothing remembered", Array("h\u{9}".utf8), "nothing is remembered as 9"),
    ("a class as value", Pickle.global("__torch__", "Model"), "is refused"),
  ])
  func aHostileValueIsRefusedByName(_ what: String, _ value: [UInt8], _ reason: String) throws {
    let error = try Self.error(TorchBuilder.archive(value))
    #expect(error.contains(reason), "\(what): \(error)")
  }

  @Test(arguments: [
    ("of two parts of its storage", Pickle.tensor(shape: [2, 3], strides: [3, 1]), "does not fit"),
    ("beyond its storage", Pickle.tensor(offset: 1), "does not fit"),
    ("far beyond its storage", Pickle.tensor(offset: Int.max / 2), "is more than"),
    ("of another size", Pickle.tensor(count: 5), "expected 5 numbers of F32 in archive/data/0, found 16 bytes"),
    ("of endless size", Pickle.tensor(count: Int.max), "expected"),
    ("that overflows", Pickle.tensor(shape: [1 << 62, 1 << 62], strides: [0, 0]), "does not fit"),
    ("with strides that overflow", Pickle.tensor(shape: [3, 3], strides: [1 << 62, 1 << 62]), "does not fit"),
    ("of repeated numbers", Pickle.tensor(shape: [1 << 30, 4], strides: [0, 1]), "is more than"),
    ("with negative strides", Pickle.tensor(strides: [-1, 1]), "expected a dimension"),
    ("with a negative shape", Pickle.tensor(shape: [-2, 2]), "expected a dimension"),
    ("with a negative offset", Pickle.tensor(offset: -1), "without its storage and offset"),
    (
      "of 40 dimensions", Pickle.tensor(shape: .init(repeating: 1, count: 40), strides: .init(repeating: 1, count: 40)),
      "40 is more than"
    ),
    ("with too few strides", Pickle.tensor(strides: [1]), "expected 2 strides, found 1"),
    ("from elsewhere", Pickle.tensor(key: "../../../etc/passwd"), "found no entry"),
    ("from the pickle", Pickle.tensor(key: "../data.pkl"), "found no entry"),
  ])
  func aHostileTensorIsRefused(_ what: String, _ value: [UInt8], _ reason: String) throws {
    let error = try Self.error(TorchBuilder.archive(value))
    #expect(error.contains(reason), "a tensor \(what): \(error)")
  }

  /// Small pickles that stand for much, and large ones that stand for nothing.
  @Test func bombsAreRefused() throws {
    let deep = [UInt8](repeating: 0x85, count: 1_000_000)
    #expect(try Self.error(TorchBuilder.archive(Array(")".utf8) + deep)).contains("levels deep"))
    let marks = [UInt8](repeating: UInt8(ascii: "("), count: 3_000_000)
    #expect(try Self.error(TorchBuilder.archive(marks)).contains("is more than"))
    let nones = [UInt8](repeating: UInt8(ascii: "N"), count: 3_000_000)
    #expect(try Self.error(TorchBuilder.archive(Array("(".utf8) + nones)).contains("is more than"))

    // Each list holds the one before twice: 2^40 tensors in 300 bytes.
    var doubled = Array("(](".utf8) + Pickle.tensor() + Array("eq\u{0}".utf8)
    for level in 1...40 as ClosedRange<UInt8> {
      doubled += Array("](h".utf8) + [level - 1] + Array("h".utf8) + [level - 1] + Array("eq".utf8) + [level]
    }
    #expect(try Self.error(TorchBuilder.archive(doubled + Array("t".utf8))).contains("is more than"))

    // A dictionary that holds itself, twice.
    let loop =
      Array("}q\u{0}(".utf8) + Pickle.text("a") + Array("h\u{0}".utf8) + Pickle.text("b") + Array("h\u{0}u".utf8)
    let error = try Self.error(TorchBuilder.archive(loop))
    #expect(error.contains("levels deep") || error.contains("is more than"))

    // One long list, made into a dictionary again and again.
    var copies = Array("](".utf8)
    for _ in 0..<20_000 { copies += Array("NN\u{86}".unicodeScalars.map { UInt8($0.value) }) }
    copies += Array("eq\u{0}".utf8)
    var calls = Array("(".utf8) + copies + Pickle.global("collections", "OrderedDict") + Array("q\u{1}".utf8)
    for _ in 0..<20_000 { calls += Array("h\u{1}h\u{0}".utf8) + [0x85] + Array("R".utf8) }
    #expect(try Self.error(TorchBuilder.archive(calls + Array("t".utf8))).contains("is more than"))

    // Names that grow with each level.
    let name = String(repeating: "x", count: 1000)
    var nested = Pickle.tensor()
    for _ in 0..<10 { nested = Pickle.dictionary([(name, nested)]) }
    #expect(try Self.error(TorchBuilder.archive(nested)).contains("is more than"))
  }

  @Test func aPickleWithoutItsEndIsCutShort() throws {
    let pickle = [UInt8](Pickle.whole(Pickle.dictionary([("weight", Pickle.tensor())])).dropLast())
    #expect(try Self.error(TorchBuilder.zip(pickle).bytes()).contains("cut short"))
    #expect(try Self.error(TorchBuilder.zip([]).bytes()).contains("cut short"))
    #expect(try Self.error(TorchBuilder.zip(Pickle.whole(Pickle.text("x"))).bytes()).contains("expected a dictionary"))
  }

  @Test func oneNameForTwoTensorsIsRefused() throws {
    let entries = [("a.b", Pickle.tensor()), ("a", Pickle.dictionary([("b", Pickle.tensor())]))]
    #expect(
      try Self.error(TorchBuilder.zip(Pickle.whole(Pickle.dictionary(entries))).bytes()).contains("a.b: appears twice"))
  }

  @Test func controlCharactersInNamesDoNotReachTheTerminal() throws {
    let file = TorchBuilder.archive(Pickle.tensor(offset: 1), named: "\u{1b}[2Jweight")
    #expect(try Self.error(file).contains("\u{fffd}[2Jweight"))
    let text = try Fixtures.withFile(TorchBuilder.archive(Pickle.tensor(), named: "\u{1b}[2Jweight")) { path in
      CheckpointReport(try Checkpoints.open(path)).text
    }
    #expect(!text.unicodeScalars.contains("\u{1b}"))
  }
}
