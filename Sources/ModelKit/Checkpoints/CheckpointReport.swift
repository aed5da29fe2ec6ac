/// What `antiphon models inspect` says of a checkpoint, as text or JSON.
package struct CheckpointReport: Sendable, Encodable {
  package struct Entry: Sendable, Encodable {
    package var name: String
    package var type: String
    package var shape: [Int]
    package var bytes: Int
    package var file: String
    /// The first number's byte in the file.
    package var offset: Int
    /// Numbers from one index to the next; nil for the usual order.
    package var strides: [Int]?
  }

  /// The comparison with what a kind of node needs.
  package struct Comparison: Sendable, Encodable {
    package struct Missing: Sendable, Encodable {
      package var name: String
      package var shape: [Int]
    }
    package struct Misshapen: Sendable, Encodable {
      package var name: String
      package var expected: [Int]
      package var found: [Int]
    }
    package var kind: String
    package var model: String
    package var missing: [Missing]
    package var misshapen: [Misshapen]
    package var unexpected: [String]
    package var isLoadable: Bool
  }

  package let file: String
  package let format: String
  package let tensors: [Entry]
  /// Other names of tensors.
  package let aliases: [String: String]
  package let settings: [String: String]
  package private(set) var comparison: Comparison?

  package init(_ checkpoint: any Checkpoint) {
    (file, format, aliases) = (checkpoint.file, checkpoint.format.rawValue, checkpoint.tensors.aliases)
    tensors = checkpoint.tensors.map {
      Entry(
        name: $0.name, type: $0.type.rawValue, shape: $0.shape, bytes: $0.byteCount, file: $0.file, offset: $0.offset,
        strides: $0.strides)
    }
    settings = checkpoint.settings.mapValues(\.description)
  }

  /// Adds the comparison with what nodes of a kind need.
  ///
  /// - Throws: ``ModelError`` when the checkpoint does not even say how large its model is.
  package mutating func compare(_ checkpoint: any Checkpoint, with needs: CheckpointNeeds, kind: String) throws {
    let found = try needs.differences(checkpoint)
    comparison = Comparison(
      kind: kind, model: needs.model, missing: found.missing.map { .init(name: $0.name, shape: $0.shape) },
      misshapen: found.misshapen.map { .init(name: $0.needed.name, expected: $0.needed.shape, found: $0.found) },
      unexpected: found.unexpected, isLoadable: found.isLoadable)
  }

  // MARK: Text

  package var text: String {
    var lines = [summary]
    lines += settings.sorted { $0.key < $1.key }.map { "  \($0.key) = \($0.value)" }
    let names = tensors.map(\.name.count).max() ?? 0
    let shapes = tensors.map { "\($0.shape)".count }.max() ?? 0
    let types = tensors.map(\.type.count).max() ?? 0
    for tensor in tensors {
      let cells = [
        Self.padded(tensor.name, names), Self.padded(tensor.type, types), Self.padded("\(tensor.shape)", shapes),
        place(tensor),
      ]
      lines.append("  " + cells.joined(separator: "  "))
    }
    lines += aliases.sorted { $0.key < $1.key }.map { "  \($0.key) is another name of \($0.value)" }
    lines += verdict
    return lines.map(ModelError.printable).joined(separator: "\n")
  }

  private var summary: String {
    let types = Set(tensors.map(\.type)).sorted().joined(separator: ", ")
    // Tied weights are counted once.
    var places: Set<String> = []
    let bytes = tensors.reduce(0) { $0 + (places.insert("\($1.offset) \($1.file)").inserted ? $1.bytes : 0) }
    let size = bytes < 10_000_000 ? "\(bytes) bytes" : "\(bytes / 1_000_000) MB"
    return "\(file): \(format), \(tensors.count) tensors (\(types.isEmpty ? "none" : types)), \(size)"
  }

  private func place(_ tensor: Entry) -> String {
    let shard = tensor.file == file ? "" : "\(tensor.file.split(separator: "/").last ?? "") "
    return "\(shard)byte \(tensor.offset)" + (tensor.strides.map { ", strides \($0)" } ?? "")
  }

  private var verdict: [String] {
    guard let comparison else { return [] }
    let faults =
      comparison.missing.map { "  \($0.name): missing; expected shape \($0.shape)" }
      + comparison.misshapen.map { "  \($0.name): expected shape \($0.expected), found \($0.found)" }
      + comparison.unexpected.map { "  \($0): unexpected" }
    let counts =
      "\(comparison.missing.count) missing, \(comparison.misshapen.count) of another shape, "
      + "\(comparison.unexpected.count) unexpected"
    return ["", "for \(comparison.kind) (\(comparison.model)): \(faults.isEmpty ? "all there, nothing else" : counts)"]
      + faults
  }

  private static func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }
}
