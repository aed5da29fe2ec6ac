import Foundation
import ModelKit
import Tensors
import Testing

/// The micro codec and what PyTorch makes of it; see `docs/goldens.md`.
struct SnacGoldens {
  static let folder = Fixtures.packageFolder.appendingPathComponent("Tests/Goldens/mini-omni2")
  /// As the hub has it: `config.json` and `pytorch_model.bin`.
  static let modelFolder = folder.appendingPathComponent("checkpoint/snac_24khz").path

  let file: any Checkpoint
  let model: SnacModel

  init() throws {
    file = try Checkpoints.open(Self.folder.appendingPathComponent("snac.safetensors").path)
    model = try SnacModel(directory: Self.modelFolder)
  }

  func floats(_ name: String) throws -> [Float] { try file.stored(name).tensor().floats() }

  /// A tensor of [columns, rows] row after row, as this implementation keeps it.
  func rows(_ name: String) throws -> [Float] {
    let shape = try file.shape(name)
    let values = try floats(name)
    return (0..<values.count).map { values[$0 % shape[0] * shape[1] + $0 / shape[0]] }
  }

  /// The levels' codes, frame by frame in Mini-Omni2's order.
  func frames(_ name: String) throws -> [Int32] {
    let levels: [[Int32]] = try (0..<3).map { try floats("\(name).codes.\($0)").map { Int32($0) } }
    let (coarse, middle, fine) = (levels[0], levels[1], levels[2])
    return coarse.indices.flatMap { n -> [Int32] in
      let first = [coarse[n], middle[2 * n], fine[4 * n], fine[4 * n + 1]]
      return first + [middle[2 * n + 1], fine[4 * n + 2], fine[4 * n + 3]]
    }
  }
}

/// The greatest difference, relative to the greatest value.
func relativeError(_ found: [Float], _ expected: [Float]) -> Float {
  guard found.count == expected.count, let most = expected.map(abs).max(), most > 0 else { return .infinity }
  let worst = zip(found, expected).map { abs($0 - $1) }.reduce(0) { $1.isNaN ? .infinity : max($0, $1) }
  return worst / most
}
