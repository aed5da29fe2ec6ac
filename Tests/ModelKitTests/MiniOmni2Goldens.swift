import Foundation
import ModelKit
import Tensors
import Testing

/// The micro checkpoint of `Tests/Goldens/mini-omni2` and what PyTorch makes of it; `docs/goldens.md` describes both.
enum MiniOmni2Goldens {
  static let folder = Fixtures.packageFolder.appendingPathComponent("Tests/Goldens/mini-omni2")
  static let release = folder.appendingPathComponent("checkpoint/mini-omni2").path

  struct Manifest: Decodable {
    struct Text: Decodable {
      var text: String
      var ids: [Int32]
      var decoded: String
    }
    struct IDs: Decodable {
      var text: [String: Int32]
      var audio: [String: Int32]
      var codes: Int
    }
    struct Answer: Decodable {
      var name: String
      var seed: Int?
      var features: Int?
      var picture: String?
      var question: String?
      var limit: Int?
      var steps: Int
      var ended: String
      var frames: Int?
      var words: Int
      var text: String
    }
    var ids: IDs
    var tokenizer: [Text]
    var answers: [Answer]
  }

  static let manifest = Result {
    try JSONDecoder().decode(
      Manifest.self, from: Data(contentsOf: folder.appendingPathComponent("manifest.json")))
  }

  /// The file of expected tensors of that name.
  static func tensors(_ name: String) throws -> any Checkpoint {
    try Checkpoints.open(folder.appendingPathComponent("\(name).safetensors").path)
  }

  /// Spoken question `seed`, 16 kHz; `tools/golden.d/mini_omni2/inputs.py` has the same arithmetic.
  static func speech(_ seed: Int) -> [Float] {
    func triangle(_ phase: UInt32) -> Int { abs(Int(phase >> 16) - 32768) * 2 - 32768 }
    let number = UInt32(seed)
    var state = number &* 2_654_435_761 &+ 12345
    var (low, high): (UInt32, UInt32) = (0, 0)
    return (0..<3200 + 657 * seed).map { index in
      state = state &* 1_664_525 &+ 1_013_904_223
      low &+= (100 + 37 * number) &* 268_435
      high &+= (700 + 113 * number) &* 268_435
      let noise = Int(state >> 16) - 32768
      let loudness = abs(((index >> 8) & 15) - 8)
      let sample = ((triangle(low) * 3 + triangle(high) * 2 + noise) * loudness) >> 6
      return Float(Int16(truncatingIfNeeded: sample)) / 32768
    }
  }
}

extension Checkpoint {
  /// A tensor's numbers as whole numbers.
  func integers(_ name: String) throws -> [Int32] { try floats(name).map { Int32($0) } }

  func floats(_ name: String) throws -> [Float] { try stored(name).tensor().floats() }

  /// A tensor of two dimensions.
  func matrix(_ name: String) throws -> Matrix {
    let shape = try shape(name)
    return try #require(Matrix(rows: shape[0], columns: shape[1], values: floats(name)))
  }
}

/// The greatest difference over the greatest magnitude of what is expected: the norm of every parity test.
func deviation(_ found: some Collection<Float>, from expected: some Collection<Float>) -> Float {
  guard found.count == expected.count else { return .infinity }
  let difference = zip(found, expected).reduce(0) { max($0, abs($1.0 - $1.1)) }
  return difference / max(expected.reduce(0) { max($0, abs($1)) }, .leastNormalMagnitude)
}
