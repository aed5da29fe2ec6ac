import ModelKit
import Parity

extension Goldens {
  /// What stands for `gpt-omni/mini-omni2` in the package.
  static let micro = shippedFolder + "/checkpoint/mini-omni2"

  /// A tensor's shape and numbers.
  static func tensor(_ name: String, in file: String) throws -> (shape: [Int], values: [Float]) {
    let checkpoint = try Checkpoints.open("\(shippedFolder)/\(file)")
    return (try checkpoint.shape(name), try checkpoint.floats(name))
  }
}
