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
