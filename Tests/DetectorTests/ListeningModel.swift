import Foundation
import ModelKit
import Parity
import Tensors

/// A folder with the micro checkpoint as if it had been taught to listen. Its weights are random, but speak up: what the
/// text head says of `irq` is made twenty times as loud. The folder is removed with the value.
final class ListeningModel {
  let path: String

  /// - Parameters:
  ///   - commands: nil leaves `listener.json` out.
  ///   - rate: of the codec, samples a second.
  init(commands: [String]? = ["stop", "stop omni", "wait"], threshold: Double = 0.9, rate: Int = 24_000) throws {
    path = NSTemporaryDirectory() + "antiphon-listening-\(UUID().uuidString)"
    let (release, codec) = (Goldens.shippedRelease, Goldens.shippedFolder + "/checkpoint/snac_24khz")
    let files = FileManager.default
    try files.createDirectory(atPath: "\(path)/snac", withIntermediateDirectories: true)
    try files.copyItem(atPath: "\(release)/model_config.yaml", toPath: "\(path)/model_config.yaml")
    try files.createSymbolicLink(
      atPath: "\(path)/snac/pytorch_model.bin", withDestinationPath: "\(codec)/pytorch_model.bin")
    try write(
      String(contentsOfFile: "\(codec)/config.json", encoding: .utf8)
        .replacingOccurrences(of: "\"sampling_rate\": 24000", with: "\"sampling_rate\": \(rate)"), "snac/config.json")
    try Self.louder(release).write(to: URL(fileURLWithPath: "\(path)/model.safetensors"))
    guard let commands else { return }
    let listener: [String: Any] = [
      "format": "antiphon-listener-1", "language": "en", "commands": commands, "threshold": threshold, "average": 1,
      "frames": 24,
    ]
    try JSONSerialization.data(withJSONObject: listener).write(to: URL(fileURLWithPath: "\(path)/listener.json"))
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  private func write(_ text: String, _ name: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: "\(path)/\(name)"))
  }

  /// The release's tensors as safetensors.
  private static func louder(_ release: String) throws -> Data {
    let file = try Checkpoints.open("\(release)/lit_model.pth")
    let shape = try ModelHeader.miniOmni2(release)
    let interrupt = Int(MiniOmni2IDs(shape).interrupt)
    var (header, data): ([String: Any], Data) = ([:], Data())
    for name in file.tensors.map(\.name) {
      var values = try file.floats(name)
      if name == "lm_head.weight" {
        for index in interrupt * shape.width..<(interrupt + 1) * shape.width { values[index] *= 20 }
      }
      let start = data.count
      values.withUnsafeBytes { data.append(contentsOf: $0) }
      let entry: [String: Any] = ["dtype": "F32", "shape": try file.shape(name), "data_offsets": [start, data.count]]
      header[name] = entry
    }
    let text = try JSONSerialization.data(withJSONObject: header)
    var count = UInt64(text.count).littleEndian
    return withUnsafeBytes(of: &count) { Data($0) } + text + data
  }
}
