internal import Foundation
internal import Tensors

/// Quantized matrices on disk: a safetensors file for each model and precision, named after the hash of what it was made
/// from, whose tensors are the bytes of ``TiledWeights``.
///
/// A second start maps it instead of quantizing. What does not fit in any way is made anew.
struct WeightCache {
  /// Raised whenever the order of bytes or the way of rounding changes.
  private static let version = "1"

  private let folder: String
  private let path: String
  private let found: Safetensors?

  /// - Parameter file: what the matrices are read from; nil when it cannot be read.
  init?(file: String, precision: WeightPrecision, part: String, folder: String) {
    guard let hash = SourceHash.of(file, memo: folder) else { return nil }
    self.folder = folder
    path = "\(folder)/\(hash)-\(part)-\(precision.rawValue)-\(Self.version).safetensors"
    found = try? Safetensors(path: path)
  }

  /// The matrix of a name, if the cache has it.
  func weights(_ name: String, _ form: TiledWeights.Form) -> TiledWeights? {
    guard let found, case .string(let text)? = found.settings[name] else { return nil }
    let words = text.split(separator: " ")
    guard words.count == 3, words[0] == form.rawValue, let rows = Int(words[1]), let columns = Int(words[2]) else {
      return nil
    }
    guard let tensor = found.tensors[name] else { return nil }
    return tensor.tiled(form, rows: rows, columns: columns)
  }

  /// Writes all matrices of the model, in one piece or not at all.
  func write(_ matrices: [(name: String, weights: TiledWeights)]) {
    var metadata: [String: String] = [:]
    var header: [String: Any] = [:]
    var offset = 0
    for (name, weights) in matrices {
      metadata[name] = "\(weights.form.rawValue) \(weights.rows) \(weights.columns)"
      let size = Self.padded(weights.byteCount)
      header[name] = ["dtype": "U8", "shape": [size], "data_offsets": [offset, offset + size]] as [String: Any]
      offset += size
    }
    header["__metadata__"] = metadata
    guard var text = try? JSONSerialization.data(withJSONObject: header) else { return }
    text.append(Data(repeating: 32, count: Self.padded(text.count + 8) - text.count - 8))
    let temporary = "\(path).\(ProcessInfo.processInfo.processIdentifier).\(UInt32.random(in: 0...UInt32.max))"
    try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    guard FileManager.default.createFile(atPath: temporary, contents: nil),
      let file = FileHandle(forWritingAtPath: temporary)
    else { return }
    do {
      var length = UInt64(text.count).littleEndian
      try file.write(contentsOf: Data(bytes: &length, count: 8))
      try file.write(contentsOf: text)
      for (_, weights) in matrices {
        try file.write(
          contentsOf: Data(
            bytesNoCopy: UnsafeMutableRawPointer(mutating: weights.start), count: weights.byteCount, deallocator: .none)
        )
        try file.write(contentsOf: Data(count: Self.padded(weights.byteCount) - weights.byteCount))
      }
      try file.close()
      guard rename(temporary, path) == 0 else { throw CocoaError(.fileWriteUnknown) }
    } catch {
      // No room, or no right: the matrices stay in memory, and the next start tries again.
      unlink(temporary)
    }
  }

  /// Matrices begin where vectors of 64 bytes do.
  private static func padded(_ count: Int) -> Int { (count + 63) / 64 * 64 }
}
