internal import Tensors

/// A checkpoint in several files beside an index: `model.safetensors.index.json`, `pytorch_model.bin.index.json`.
///
/// The index says which tensor lies in which file; a file's other tensors are not read.
package struct ShardedCheckpoint: Checkpoint {
  /// The index.
  package let file: String
  /// The shards' format.
  package let format: CheckpointFormat
  package let tensors: TensorTable
  package let settings: [String: Setting]

  private static let mostIndexBytes = 1 << 23
  private static let mostShards = 1 << 10

  init(bytes: Bytes, path: String, checkCancelled: CancellationCheck) throws {
    guard bytes.count <= Self.mostIndexBytes else {
      throw ModelError(file: path, .tooLarge(found: UInt64(bytes.count), most: UInt64(Self.mostIndexBytes)))
    }
    let index = try JSON(
      UnsafeRawBufferPointer(start: bytes.start, count: bytes.count), file: path, checkCancelled: checkCancelled)
    guard let map = index["weight_map"]?.members, !map.isEmpty else {
      throw ModelError(file: path, part: "weight_map", .missing)
    }
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
    var shards: [String: any Checkpoint] = [:]
    var tensors: [StoredTensor] = []
    var settings: [String: Setting] = [:]
    for (name, value) in map {
      try checkCancelled()
      guard let shard = value.string else {
        throw ModelError(file: path, part: name, .unexpected(expected: "a file's name", found: "another value"))
      }
      if shards[shard] == nil {
        guard !shard.isEmpty, !shard.hasPrefix("."), !shard.contains(where: { "/\\\0".contains($0) }) else {
          throw ModelError(file: path, part: name, .refused("'\(shard)', which is not a file beside the index,"))
        }
        guard shards.count < Self.mostShards else {
          throw ModelError(file: path, .tooLarge(found: UInt64(shards.count) + 1, most: UInt64(Self.mostShards)))
        }
        let checkpoint = try Checkpoints.single(folder + shard, checkCancelled: checkCancelled)
        settings.merge(checkpoint.settings) { first, _ in first }
        shards[shard] = checkpoint
      }
      if let tensor = try shards[shard]?.stored(name) { tensors.append(tensor) }
    }
    let formats = Set(shards.values.map(\.format))
    guard let format = formats.first, formats.count == 1 else {
      throw ModelError(
        file: path,
        .unexpected(expected: "shards of one format", found: formats.map(\.rawValue).sorted().joined(separator: ", ")))
    }
    (file, self.format, self.settings, self.tensors) = (path, format, settings, try TensorTable(tensors))
  }
}
