import Foundation
import ModelKit
import Tensors

/// The micro checkpoint of Mini-Omni2 and what PyTorch makes of it (`docs/goldens.md`).
enum Goldens {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Goldens/mini-omni2")
  static let release = folder.appendingPathComponent("checkpoint/mini-omni2").path

  /// A tensor's shape and numbers.
  static func tensor(_ name: String, in file: String) throws -> (shape: [Int], values: [Float]) {
    let stored = try Checkpoints.open(folder.appendingPathComponent(file).path).stored(name)
    return (stored.shape, try stored.tensor().floats())
  }
}

/// The greatest difference, relative to the greatest value that is expected.
func relativeError(_ found: some Collection<Float>, _ expected: some Collection<Float>) -> Float {
  guard found.count == expected.count, !expected.isEmpty else { return .infinity }
  let error = zip(found, expected).map { abs($0 - $1) }.max() ?? .infinity
  return error / (expected.map(abs).max() ?? 0)
}
