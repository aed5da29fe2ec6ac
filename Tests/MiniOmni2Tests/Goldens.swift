import ModelKit
import Parity

extension Goldens {
  /// A tensor's shape and numbers.
  static func tensor(_ name: String, in file: String) throws -> (shape: [Int], values: [Float]) {
    let checkpoint = try Checkpoints.open("\(shippedFolder)/\(file)")
    return (try checkpoint.shape(name), try checkpoint.floats(name))
  }
}
