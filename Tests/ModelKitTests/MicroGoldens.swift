import Foundation
import ModelKit
import Tensors

/// The micro checkpoint of Mini-Omni2 and what PyTorch makes of it (`docs/goldens.md`).
enum MicroGoldens {
  static let folder = Fixtures.packageFolder.appendingPathComponent("Tests/Goldens/mini-omni2")
  static let release = folder.appendingPathComponent("checkpoint/mini-omni2").path

  static func floats(_ name: String, in file: String) throws -> [Float] {
    try Checkpoints.open(folder.appendingPathComponent(file).path).stored(name).tensor().floats()
  }

  static func shape(_ name: String, in file: String) throws -> [Int] {
    try Checkpoints.open(folder.appendingPathComponent(file).path).shape(name)
  }
}

/// The greatest difference, relative to the greatest value that is expected.
func relativeError(_ found: some Collection<Float>, _ expected: some Collection<Float>) -> Float {
  guard found.count == expected.count, !expected.isEmpty else { return .infinity }
  let error = zip(found, expected).map { abs($0 - $1) }.max() ?? .infinity
  return error / (expected.map(abs).max() ?? 0)
}
