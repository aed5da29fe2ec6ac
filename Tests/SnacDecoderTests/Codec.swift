import Dataflow
import Foundation
import Messages
import ModelKit
import Tensors

/// The micro codec of `Tests/Goldens`, and codes of it.
struct Codec {
  static let goldens = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Goldens/mini-omni2")
  /// The parameter that both nodes need.
  static let parameters: [String: Dataflow.ParameterValue] = [
    "model": .string(goldens.appendingPathComponent("checkpoint/snac_24khz").path)
  ]

  let model: SnacModel
  let decoder: SnacDecoder

  init() throws {
    model = try ModelStore.shared.snac(at: Self.goldens.appendingPathComponent("checkpoint/snac_24khz").path)
    decoder = try SnacDecoder(model)
  }

  /// A golden's numbers.
  func golden(_ name: String) throws -> [Float] {
    let file = try Checkpoints.open(Self.goldens.appendingPathComponent("snac.safetensors").path)
    return try file.stored(name).tensor().floats()
  }

  /// Frames of a golden, each with its codes in order.
  func frames(_ name: String) throws -> [[Int32]] {
    let levels = try (0..<3).map { try golden("\(name).codes.\($0)").map { Int32($0) } }
    let order = model.configuration.order
    return levels[0].indices.map { frame in
      order.map { levels[$0.level][frame * (1 << $0.level) + $0.index] }
    }
  }

  func message(_ frames: some Sequence<[Int32]>) -> AudioCodes {
    AudioCodes(codes: SharedBuffer(Array(frames.joined())), layers: 7, size: 64)
  }
}
