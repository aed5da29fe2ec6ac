internal import Tensors

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Darwin)
  internal import Darwin
#endif

/// Opens files of weights, whatever their format.
package enum Checkpoints {
  /// Opens a file, the index of a sharded checkpoint, or a folder that holds one of the usual names.
  ///
  /// - Parameter names: names to look for in a folder before the usual ones.
  /// - Throws: ``ModelError``, or what `checkCancelled` throws.
  package static func open(
    _ path: String, names: [String] = [], checkCancelled: CancellationCheck = {}
  ) throws -> any Checkpoint {
    let path = try isFolder(path) ? file(in: path, names + usualNames) : path
    guard path.hasSuffix(".index.json") else { return try single(path, checkCancelled: checkCancelled) }
    return try ShardedCheckpoint(bytes: Bytes.ofModel(path), path: path, checkCancelled: checkCancelled)
  }

  /// Opens a file that stands for itself.
  static func single(_ path: String, checkCancelled: CancellationCheck) throws -> any Checkpoint {
    let bytes = try Bytes.ofModel(path)
    switch try format(bytes, path) {
    case .gguf: return try GGUF(bytes: bytes, path: path, checkCancelled: checkCancelled)
    case .cTranslate2: return try CTranslate2(bytes: bytes, path: path, checkCancelled: checkCancelled)
    case .safetensors: return try Safetensors(bytes: bytes, path: path, checkCancelled: checkCancelled)
    case .pyTorch, .torchScript: return try TorchArchive(bytes: bytes, path: path, checkCancelled: checkCancelled)
    case .onnx: return try ONNX(bytes: bytes, path: path, checkCancelled: checkCancelled)
    }
  }

  /// The format, by the first bytes: names of files say little.
  private static func format(_ bytes: Bytes, _ path: String) throws(ModelError) -> CheckpointFormat {
    func starts(with text: StaticString, at offset: Int = 0) -> Bool {
      guard bytes.count >= offset + text.utf8CodeUnitCount else { return false }
      return memcmp(bytes.start + offset, text.utf8Start, text.utf8CodeUnitCount) == 0
    }
    func byte(_ offset: Int) -> UInt8 { bytes.start.load(fromByteOffset: offset, as: UInt8.self) }
    if starts(with: "GGUF") { return .gguf }
    if starts(with: "PK\u{3}\u{4}") { return .pyTorch }
    if starts(with: "{", at: 8) { return .safetensors }
    // Its first field is the version, and another one follows.
    if bytes.count >= 4, starts(with: "\u{8}"), (3...64).contains(byte(1)), byte(2) != 0 { return .onnx }
    if bytes.count >= 4, (1...64).contains(UInt32(littleEndian: bytes.start.loadUnaligned(as: UInt32.self))) {
      return .cTranslate2
    }
    if bytes.count >= 2, bytes.start.load(as: UInt8.self) == 0x80 {
      throw ModelError(
        file: path,
        .unexpected(
          expected: "a zip archive, as PyTorch writes since 1.6",
          found: "a bare pickle; load and save it again with a newer PyTorch"))
    }
    throw ModelError(
      file: path,
      .unexpected(
        expected: "safetensors, a PyTorch or TorchScript archive, GGUF, CTranslate2 or ONNX", found: "other first bytes"
      ))
  }

  private static let usualNames = [
    "model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin",
    "model.gguf", "model.bin", "model.onnx", "lit_model.pth",
  ]

  private static func file(in folder: String, _ names: [String]) throws(ModelError) -> String {
    guard let path = names.map({ folder + "/" + $0 }).first(where: { access($0, R_OK) == 0 }) else {
      throw ModelError(file: folder, part: names.joined(separator: ", "), .missing)
    }
    return path
  }

  private static func isFolder(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }
}
