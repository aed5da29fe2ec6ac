internal import Tensors

extension Tokenizer {
  /// Reads a Hugging Face `tokenizer.json` with a byte-level BPE model, such as Whisper's.
  package convenience init(json path: String, checkCancelled: CancellationCheck = {}) throws {
    let mapped = try Bytes.ofModel(path)
    let buffer = UnsafeRawBufferPointer(start: mapped.start, count: mapped.count)
    let root = try JSON(buffer, file: path, checkCancelled: checkCancelled)
    func fault(_ part: String, _ expected: String) -> ModelError {
      ModelError(file: path, part: part, .unexpected(expected: expected, found: "something else"))
    }
    guard let model = root["model"], model["type"]?.string == "BPE" else { throw fault("model.type", "BPE") }
    let preTokenizer = try Self.preTokenizer(root["pre_tokenizer"], fault)
    var composes = false
    if let normalizer = root["normalizer"], case .some = normalizer.members {
      guard normalizer["type"]?.string == "NFC" else { throw fault("normalizer", "none or NFC") }
      composes = true
    }
    guard let entries = model["vocab"]?.members else { throw fault("model.vocab", "an object") }
    guard let rules = model["merges"]?.array else { throw fault("model.merges", "an array") }

    var added: [Added] = []
    for entry in root["added_tokens"]?.array ?? [] {
      guard let text = entry["content"]?.string, let token = entry["id"]?.token, Self.isSound(token, file: mapped)
      else {
        throw fault("added_tokens", "objects with an id and a content")
      }
      added.append(Added(text: text, token: token, isSpecial: entry["special"]?.bool ?? false))
    }
    let addedIDs = Set(added.map(\.token))

    var vocabulary = [String?](repeating: nil, count: entries.count)
    for (text, value) in entries {
      guard let token = value.token, Self.isSound(token, file: mapped) else {
        throw fault("model.vocab['\(text)']", "a token id")
      }
      if addedIDs.contains(token) { continue }
      while vocabulary.count <= Int(token) { vocabulary.append(nil) }
      guard vocabulary[Int(token)] == nil else { throw ModelError(file: path, part: "token \(token)", .duplicate) }
      vocabulary[Int(token)] = text
    }
    let merges = try rules.map { rule -> (left: String, right: String) in
      if let text = rule.string {
        let parts = text.split(separator: " ", omittingEmptySubsequences: false)
        if parts.count == 2 { return (String(parts[0]), String(parts[1])) }
      } else if let parts = rule.array, parts.count == 2, let left = parts[0].string, let right = parts[1].string {
        return (left, right)
      }
      throw fault("model.merges", "pairs")
    }
    try self.init(
      vocabulary: vocabulary, merges: merges, added: added, preTokenizer: preTokenizer, composes: composes, file: path,
      checkCancelled: checkCancelled)
  }

  /// The rules that a `tokenizer.json` names: GPT-2's as part of the byte level, Qwen2's as an expression before it.
  private static func preTokenizer(
    _ entry: JSON?, _ fault: (_ part: String, _ expected: String) -> ModelError
  ) throws(ModelError) -> PreTokenizer {
    func isByteLevel(_ entry: JSON, splits: Bool) -> Bool {
      entry["type"]?.string == "ByteLevel" && entry["add_prefix_space"]?.bool == false
        && (entry["use_regex"]?.bool ?? true) == splits
    }
    if let entry, isByteLevel(entry, splits: true) { return .gpt2 }
    if let steps = entry?["pretokenizers"]?.array, steps.count == 2, isByteLevel(steps[1], splits: false) {
      guard steps[0]["type"]?.string == "Split", steps[0]["behavior"]?.string == "Isolated",
        steps[0]["invert"]?.bool != true, steps[0]["pattern"]?["Regex"]?.string == PreTokenizer.qwen2Expression
      else { throw fault("pre_tokenizer", "a split by Qwen2's expression") }
      return .qwen2
    }
    throw fault("pre_tokenizer", "ByteLevel without a prefix space, by itself or behind Qwen2's expression")
  }

  /// An id is no larger than the file could list, so that a hostile one cannot ask for memory.
  private static func isSound(_ token: Int32, file: Bytes) -> Bool { token >= 0 && Int(token) <= file.count }

  /// Reads the tokenizer that a GGUF file carries.
  package convenience init(gguf: GGUF, checkCancelled: CancellationCheck = {}) throws {
    let model = try gguf.string("tokenizer.ggml.model")
    guard model == "gpt2" else {
      throw ModelError(
        file: gguf.file, part: "tokenizer.ggml.model", .unexpected(expected: "gpt2 (byte-level BPE)", found: model))
    }
    let preTokenizer: PreTokenizer
    switch try gguf.string("tokenizer.ggml.pre") {
    case "gpt-2": preTokenizer = .gpt2
    case "smollm": preTokenizer = .smollm
    case let other:
      throw ModelError(
        file: gguf.file, part: "tokenizer.ggml.pre", .unexpected(expected: "gpt-2 or smollm", found: other))
    }
    let texts = try gguf.strings("tokenizer.ggml.tokens")
    let types = try gguf.integers("tokenizer.ggml.token_type")
    guard texts.count == types.count else {
      throw ModelError(
        file: gguf.file, part: "tokenizer.ggml.token_type",
        .unexpected(expected: "\(texts.count) types", found: "\(types.count)"))
    }
    // 1 is a normal token, 3 a control token, 4 a user's; 5 is unused.
    var vocabulary: [String?] = []
    var added: [Added] = []
    for (token, text) in texts.enumerated() {
      vocabulary.append(types[token] == 1 ? text : nil)
      if types[token] == 3 || types[token] == 4 {
        added.append(Added(text: text, token: Int32(token), isSpecial: types[token] == 3))
      }
    }
    let merges = try gguf.strings("tokenizer.ggml.merges").map { rule throws(ModelError) in
      let parts = rule.split(separator: " ", omittingEmptySubsequences: false)
      guard parts.count == 2 else {
        throw ModelError(file: gguf.file, part: "tokenizer.ggml.merges", .invalid("'\(rule)' is not a pair"))
      }
      return (left: String(parts[0]), right: String(parts[1]))
    }
    try self.init(
      vocabulary: vocabulary, merges: merges, added: added, preTokenizer: preTokenizer, file: gguf.file,
      checkCancelled: checkCancelled)
  }
}
