import Foundation
import ModelKit
import Tensors
import Testing

/// A repeatable source of random numbers (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }
}

enum Fixtures {
  static let testFolder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
  static let packageFolder = testFolder.deletingLastPathComponent().deletingLastPathComponent()
  static let golden = testFolder.appendingPathComponent("Golden")

  static func decode<Value: Decodable>(_ name: String, as type: Value.Type = Value.self) throws -> Value {
    try JSONDecoder().decode(Value.self, from: Data(contentsOf: golden.appendingPathComponent(name)))
  }

  /// Recordings that may lie beside the package.
  static let hasSharedClips = samples("../shared/samples/jfk.wav") != nil

  /// 16-bit mono samples of a WAV file with the plain 44-byte header; nil when the file is missing.
  static func samples(_ clip: String) -> [Float]? {
    let url = clip.contains("/") ? packageFolder.appendingPathComponent(clip) : golden.appendingPathComponent(clip)
    guard let data = try? Data(contentsOf: url), data.count > 44, let start = data.range(of: Data("data".utf8)) else {
      return nil
    }
    let bytes = [UInt8](data[(start.upperBound + 4)...])
    return stride(from: 0, to: bytes.count - 1, by: 2).map {
      Float(Int16(bitPattern: UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8)) / 32768
    }
  }

  /// Writes bytes to a file that is removed after `body`.
  static func withFile<Result>(_ bytes: [UInt8], _ body: (String) throws -> Result) throws -> Result {
    let path = NSTemporaryDirectory() + "antiphon-\(UUID().uuidString)"
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try body(path)
  }

  /// Calls `attempt` with the file cut short, with random bytes changed, and with random bytes alone.
  static func hostileVariants(of file: [UInt8], seed: UInt64, _ attempt: ([UInt8]) throws -> Void) rethrows {
    var generator = SeededGenerator(seed)
    for _ in 0..<60 { try attempt(Array(file.prefix(Int.random(in: 0..<file.count, using: &generator)))) }
    for round in 0..<300 {
      var changed = file
      // Most of what steers a reader stands at the front.
      let reach = round % 2 == 0 ? min(400, file.count) : file.count
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        let interesting: [UInt8] = [0, 1, 0x7f, 0x80, 0xff, .random(in: 0...255, using: &generator)]
        changed[Int.random(in: 0..<reach, using: &generator)] = interesting[.random(in: 0..<6, using: &generator)]
      }
      try attempt(changed)
    }
    for count in [1, 4, 24, 300] {
      try attempt((0..<count).map { _ in .random(in: 0...255, using: &generator) })
    }
  }
}

extension Trait where Self == ConditionTrait {
  /// Skips the test where a model has not been fetched.
  static func needs(_ model: String) -> Self {
    .enabled(if: (try? ModelFolder.path(model)) != nil, "\(model) is not there; tools/models fetch \(model)")
  }

  /// Skips the test where the shared recordings do not lie beside the package.
  static var needsSharedClips: Self { .enabled(if: Fixtures.hasSharedClips, "there is no ../shared/samples") }
}

/// Builds files in little-endian.
struct ByteWriter {
  var bytes: [UInt8] = []

  mutating func put<Integer: FixedWidthInteger>(_ value: Integer) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }
  mutating func put(_ value: Float) { put(value.bitPattern) }
}

/// A GGUF file of a small random model of the llama architecture, with a tokenizer of bytes.
enum SmallModel {
  static func file(layers: Int = 2, width: Int = 64, context: UInt32 = 300, seed: UInt64 = 1) -> [UInt8] {
    var generator = SeededGenerator(seed)
    var values = ByteWriter()
    var valueCount: UInt64 = 0
    func string(_ text: String, to writer: inout ByteWriter) {
      writer.put(UInt64(text.utf8.count))
      writer.bytes += Array(text.utf8)
    }
    func key(_ name: String, _ type: UInt32) {
      string(name, to: &values)
      values.put(type)
      valueCount += 1
    }
    for (name, text) in [
      ("general.architecture", "llama"), ("tokenizer.ggml.model", "gpt2"), ("tokenizer.ggml.pre", "smollm"),
    ] {
      key(name, 8)
      string(text, to: &values)
    }
    for (name, number) in [
      ("block_count", UInt32(layers)), ("context_length", context), ("embedding_length", UInt32(width)),
      ("feed_forward_length", 96), ("attention.head_count", 4), ("attention.head_count_kv", 2),
    ] {
      key("llama.\(name)", 4)
      values.put(number)
    }
    let alphabet = (0..<256).map { byte -> String in
      switch byte {
      case 33...126, 161...172, 174...255: String(UnicodeScalar(UInt8(byte)))
      default: ""
      }
    }
    var extra: UInt32 = 0x100
    let tokens = alphabet.map { text -> String in
      guard text.isEmpty, let scalar = UnicodeScalar(extra) else { return text }
      extra += 1
      return String(scalar)
    }
    key("tokenizer.ggml.tokens", 9)
    values.put(UInt32(8))
    values.put(UInt64(258))
    for token in tokens + ["<|im_start|>", "<|im_end|>"] { string(token, to: &values) }
    key("tokenizer.ggml.token_type", 9)
    values.put(UInt32(5))
    values.put(UInt64(258))
    for token in 0..<258 { values.put(Int32(token < 256 ? 1 : 3)) }
    key("tokenizer.ggml.merges", 9)
    values.put(UInt32(8))
    values.put(UInt64(0))

    var tensors = ByteWriter()
    var data = ByteWriter()
    var tensorCount: UInt64 = 0
    func tensor(_ name: String, _ shape: [Int], around middle: Float = 0, _ spread: Float = 0.1) {
      string(name, to: &tensors)
      tensors.put(UInt32(shape.count))
      for dimension in shape.reversed() { tensors.put(UInt64(dimension)) }
      tensors.put(UInt32(0))
      tensors.put(UInt64(data.bytes.count))
      for _ in 0..<shape.reduce(1, *) { data.put(middle + Float.random(in: -spread...spread, using: &generator)) }
      while data.bytes.count % 32 != 0 { data.put(UInt8(0)) }
      tensorCount += 1
    }
    tensor("token_embd.weight", [258, width], 1)
    tensor("output_norm.weight", [width], around: 1)
    for layer in 0..<layers {
      for name in ["attn_norm", "ffn_norm"] { tensor("blk.\(layer).\(name).weight", [width], around: 1) }
      for (name, outputs, inputs) in [
        ("attn_q", width, width), ("attn_k", width / 2, width), ("attn_v", width / 2, width),
        ("attn_output", width, width), ("ffn_gate", 96, width), ("ffn_up", 96, width), ("ffn_down", width, 96),
      ] { tensor("blk.\(layer).\(name).weight", [outputs, inputs], 0.3) }
    }

    var file = ByteWriter(bytes: Array("GGUF".utf8))
    file.put(UInt32(3))
    file.put(tensorCount)
    file.put(valueCount)
    file.bytes += values.bytes + tensors.bytes
    while file.bytes.count % 32 != 0 { file.put(UInt8(0)) }
    return file.bytes + data.bytes
  }

  static func load(_ store: ModelStore = ModelStore()) throws -> CausalLM {
    try Fixtures.withFile(file()) { try store.causalLM(at: $0) }
  }
}
