import Foundation
import ModelKit

/// The folder of a small random Whisper model, which tests may spoil before it is written.
struct SmallWhisper {
  struct Variable {
    var name: String
    var shape: [Int]
    /// 0 for floats, 1 for an 8-bit integer.
    var type: UInt8 = 0
    var bytes: [UInt8]
  }
  var variables: [Variable] = []
  var tokenizer: String
  var config = #"{"suppress_ids": [1, 2], "suppress_ids_begin": [3]}"#

  static let width = 8
  static let audioContext = 4

  /// - Parameter isMultilingual: with as many tokens as Whisper needs to know languages.
  init(isMultilingual: Bool = false, textContext: Int = 16) {
    let size = isMultilingual ? 51_865 : 300
    let width = isMultilingual ? 2 : Self.width
    let specials = [
      "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>", "<|nospeech|>",
      "<|notimestamps|>",
    ]
    let vocabulary = (33...126).map { String(UnicodeScalar(UInt8($0))) }
    let entries = vocabulary.enumerated().map { index, text in
      "\"\(text == "\"" || text == "\\" ? "\\" + text : text)\": \(index)"
    }
    let added = specials.enumerated().map { index, text in
      "{\"id\": \(vocabulary.count + index), \"content\": \"\(text)\", \"special\": true}"
    }
    tokenizer = """
      {"model": {"type": "BPE", "vocab": {\(entries.joined(separator: ", "))}, "merges": []},
       "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
       "added_tokens": [\(added.joined(separator: ", "))]}
      """

    var generator = SeededGenerator(5)
    func tensor(_ name: String, _ shape: Int..., around middle: Float = 0) -> Variable {
      var writer = ByteWriter()
      for _ in 0..<shape.reduce(1, *) { writer.put(middle + Float.random(in: -0.3...0.3, using: &generator)) }
      return Variable(name: name, shape: shape, bytes: writer.bytes)
    }
    func norm(_ name: String) -> [Variable] {
      [tensor("\(name)/gamma", width, around: 1), tensor("\(name)/beta", width)]
    }
    func linear(_ name: String, _ outputs: Int, _ inputs: Int) -> [Variable] {
      [tensor("\(name)/weight", outputs, inputs), tensor("\(name)/bias", outputs)]
    }
    func block(_ name: String, hasCross: Bool) -> [Variable] {
      var block = norm("\(name)/self_attention/layer_norm")
      block += linear("\(name)/self_attention/linear_0", 3 * width, width)
      block += linear("\(name)/self_attention/linear_1", width, width)
      if hasCross {
        block += norm("\(name)/attention/layer_norm") + linear("\(name)/attention/linear_0", width, width)
        block += linear("\(name)/attention/linear_1", 2 * width, width)
        block += linear("\(name)/attention/linear_2", width, width)
      }
      block += norm("\(name)/ffn/layer_norm") + linear("\(name)/ffn/linear_0", 4 * width, width)
      return block + linear("\(name)/ffn/linear_1", width, 4 * width)
    }
    variables = [
      Variable(name: "encoder/num_heads", shape: [], type: 1, bytes: [2]),
      Variable(name: "decoder/num_heads", shape: [], type: 1, bytes: [2]),
      Variable(name: "decoder/activation", shape: [], type: 1, bytes: [3]),
      tensor("encoder/conv1/weight", width, 80, 3), tensor("encoder/conv1/bias", width),
      tensor("encoder/conv2/weight", width, width, 3), tensor("encoder/conv2/bias", width),
      tensor("encoder/position_encodings/encodings", Self.audioContext, width),
      tensor("decoder/position_encodings/encodings", textContext, width),
      tensor("decoder/embeddings/weight", size, width), tensor("decoder/projection/weight", size, width),
    ]
    variables += block("encoder/layer_0", hasCross: false) + norm("encoder/layer_norm")
    variables += block("decoder/layer_0", hasCross: true) + norm("decoder/layer_norm")
  }

  /// `model.bin`.
  var weights: [UInt8] {
    var file = ByteWriter()
    func name(_ text: String) {
      file.put(UInt16(text.utf8.count + 1))
      file.bytes += Array(text.utf8) + [0]
    }
    file.put(UInt32(6))
    name("WhisperSpec")
    file.put(UInt32(3))
    file.put(UInt32(variables.count))
    for variable in variables {
      name(variable.name)
      file.put(UInt8(variable.shape.count))
      for dimension in variable.shape { file.put(UInt32(dimension)) }
      file.put(variable.type)
      file.put(UInt32(variable.bytes.count))
      file.bytes += variable.bytes
    }
    file.put(UInt32(0))
    return file.bytes
  }

  /// Replaces a tensor by one of another shape.
  mutating func reshape(_ name: String, _ shape: [Int]) {
    guard let index = variables.firstIndex(where: { $0.name == name }) else { return }
    variables[index].shape = shape
    variables[index].bytes = [UInt8](repeating: 0, count: shape.reduce(4, *))
  }

  /// Writes the folder, which is removed after `body`.
  func withFolder<Result>(weights: [UInt8]? = nil, _ body: (String) throws -> Result) throws -> Result {
    let path = NSTemporaryDirectory() + "antiphon-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    let files = [
      "model.bin": weights ?? self.weights, "tokenizer.json": Array(tokenizer.utf8), "config.json": Array(config.utf8),
    ]
    for (name, bytes) in files { try Data(bytes).write(to: URL(fileURLWithPath: path + "/" + name)) }
    return try body(path)
  }
}
