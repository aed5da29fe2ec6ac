import Foundation
import ModelKit

/// A safetensors file of small random tensors.
struct SmallTensors {
  var tensors: [(name: String, shape: [Int])]
  var seed: UInt64 = 7

  var bytes: [UInt8] {
    var generator = SeededGenerator(seed)
    var data = ByteWriter()
    var entries: [String] = []
    for (name, shape) in tensors {
      let start = data.bytes.count
      // Weights of layer norms lie around 1.
      let middle: Float = name.hasSuffix("weight") && shape.count == 1 ? 1 : 0
      for _ in 0..<shape.reduce(1, *) { data.put(middle + Float.random(in: -0.3...0.3, using: &generator)) }
      entries.append(
        "\"\(name)\": {\"dtype\": \"F32\", \"shape\": \(shape), \"data_offsets\": [\(start), \(data.bytes.count)]}")
    }
    let header = Array("{\(entries.joined(separator: ", "))}".utf8)
    var file = ByteWriter()
    file.put(UInt64(header.count))
    return file.bytes + header + data.bytes
  }

  mutating func reshape(_ name: String, _ shape: [Int]) {
    for index in tensors.indices where tensors[index].name == name { tensors[index].shape = shape }
  }

  /// CLIP's vision transformer of one layer, which looks at 8 by 8 pixels in four patches.
  static var clip: SmallTensors {
    let layer = "visual.transformer.resblocks.0"
    var all: [(name: String, shape: [Int])] = [
      ("visual.conv1.weight", [64, 3, 4, 4]), ("visual.class_embedding", [64]),
      ("visual.positional_embedding", [5, 64]), ("visual.proj", [64, 6]),
      ("\(layer).attn.in_proj_weight", [192, 64]), ("\(layer).attn.in_proj_bias", [192]),
      ("\(layer).attn.out_proj.weight", [64, 64]), ("\(layer).attn.out_proj.bias", [64]),
      ("\(layer).mlp.c_fc.weight", [128, 64]), ("\(layer).mlp.c_fc.bias", [128]),
      ("\(layer).mlp.c_proj.weight", [64, 128]), ("\(layer).mlp.c_proj.bias", [64]),
    ]
    for norm in ["visual.ln_pre", "visual.ln_post", "\(layer).ln_1", "\(layer).ln_2"] {
      all += [("\(norm).weight", [64]), ("\(norm).bias", [64])]
    }
    return SmallTensors(tensors: all)
  }
}

/// A folder of a test's files, which is removed after `body`.
func withFolder<Result>(_ files: [String: [UInt8]], _ body: (String) throws -> Result) throws -> Result {
  let path = NSTemporaryDirectory() + "antiphon-\(UUID().uuidString)"
  try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: path) }
  for (name, bytes) in files { try Data(bytes).write(to: URL(fileURLWithPath: "\(path)/\(name)")) }
  return try body(path)
}
