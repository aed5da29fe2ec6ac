/// A tensor that a model reads.
package struct NeededTensor: Sendable, Equatable {
  package var name: String
  package var shape: [Int]
  /// Whether the model does without it.
  package var isOptional: Bool

  package init(_ name: String, _ shape: [Int], isOptional: Bool = false) {
    (self.name, self.shape, self.isOptional) = (name, shape, isOptional)
  }
}

/// The tensors that the nodes of some kinds read from a checkpoint: what `antiphon models inspect --for KIND` compares.
///
/// A model declares them beside the code that loads it, and joins ``all``.
package struct CheckpointNeeds: Sendable {
  /// Kinds of node.
  package let kinds: [String]
  /// What the file is called in a folder: the first of these that is there.
  package let files: [String]
  /// Formats of the files that such nodes read it from.
  package let formats: Set<CheckpointFormat>
  /// What the model is, for messages.
  package let model: String
  /// Names that begin so belong to other parts of a release and are not unexpected.
  package let ignoredPrefixes: [String]
  /// Every tensor, sized by what the checkpoint says of itself; throws ``ModelError`` when it says too little.
  package let tensors: @Sendable (any Checkpoint) throws -> [NeededTensor]

  package init(
    kinds: [String], files: [String], formats: Set<CheckpointFormat>, model: String, ignoredPrefixes: [String] = [],
    tensors: @escaping @Sendable (any Checkpoint) throws -> [NeededTensor]
  ) {
    (self.kinds, self.files, self.formats, self.model) = (kinds, files, formats, model)
    (self.ignoredPrefixes, self.tensors) = (ignoredPrefixes, tensors)
  }

  /// Every declaration.
  package static let all: [CheckpointNeeds] = [
    .whisperEncoder, .whisperDecoder, .causalLM, .clip, .adapters, .miniOmni2, .snac, .silero,
  ]

  /// What the files of a kind's models are called.
  package static func files(ofKind kind: String) -> [String] { all.filter { $0.kinds.contains(kind) }.flatMap(\.files) }

  /// What a kind of node reads from a file of the checkpoint's format; nil for a kind that reads none.
  ///
  /// - Throws: ``ModelError`` for a checkpoint of another format than the kind reads.
  package static func of(kind: String, for checkpoint: any Checkpoint) throws(ModelError) -> CheckpointNeeds? {
    let candidates = all.filter { $0.kinds.contains(kind) }
    if let needs = candidates.first(where: { $0.formats.contains(checkpoint.format) }) { return needs }
    guard !candidates.isEmpty else { return nil }
    let formats = candidates.flatMap(\.formats).map(\.rawValue).sorted().joined(separator: " or ")
    throw ModelError(file: checkpoint.file, .unexpected(expected: formats, found: checkpoint.format.rawValue))
  }

  /// How a checkpoint differs from what the model needs.
  package struct Differences: Sendable, Equatable {
    package var missing: [NeededTensor] = []
    /// Tensors of another shape than the one found.
    package var misshapen: [Misshapen] = []
    /// Tensors that the model does not read.
    package var unexpected: [String] = []

    package init() {}

    package struct Misshapen: Sendable, Equatable {
      package var needed: NeededTensor
      package var found: [Int]
    }

    /// Whether the model can be loaded; unexpected tensors do not hinder it.
    package var isLoadable: Bool { missing.isEmpty && misshapen.isEmpty }
  }

  package func differences(_ checkpoint: any Checkpoint) throws -> Differences {
    var differences = Differences()
    var read: Set<String> = []
    for needed in try tensors(checkpoint) {
      guard let found = checkpoint.tensors[needed.name] else {
        if !needed.isOptional { differences.missing.append(needed) }
        continue
      }
      read.insert(found.name)  // not the needed name, which may be an alias
      if found.shape != needed.shape {
        differences.misshapen.append(Differences.Misshapen(needed: needed, found: found.shape))
      }
    }
    for tensor in checkpoint.tensors
    where !read.contains(tensor.name) && !ignoredPrefixes.contains(where: { tensor.name.hasPrefix($0) }) {
      differences.unexpected.append(tensor.name)
    }
    return differences
  }
}
