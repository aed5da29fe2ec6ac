import Foundation
import ModelKit
import Parity
import Tensors
import Testing

/// The micro codec and what PyTorch makes of it; see `docs/goldens.md`.
struct SnacGoldens {
  /// As the hub has it: `config.json` and `pytorch_model.bin`.
  static let modelFolder = Goldens.shippedFolder + "/checkpoint/snac_24khz"

  let file: any Checkpoint
  let model: SnacModel

  init() throws {
    file = try Goldens().tensors("snac")
    model = try SnacModel(directory: Self.modelFolder)
  }

  func floats(_ name: String) throws -> [Float] { try file.floats(name) }

  /// A tensor of [columns, rows] row after row, as this implementation keeps it.
  func rows(_ name: String) throws -> [Float] {
    let shape = try file.shape(name)
    let values = try floats(name)
    return (0..<values.count).map { values[$0 % shape[0] * shape[1] + $0 / shape[0]] }
  }

  /// The levels' codes, frame by frame in Mini-Omni2's order.
  func frames(_ name: String) throws -> [Int32] { try Goldens().frames(name) }
}
