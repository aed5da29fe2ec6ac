import Foundation
package import ModelKit
package import Tensors

/// The micro checkpoint of `Tests/Goldens/mini-omni2` and what PyTorch makes of it; `docs/goldens.md` describes both.
package struct Goldens: Sendable {
  package let folder: String
  package let manifest: Manifest

  /// The folder in the package that this file belongs to.
  package static let shippedFolder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Tests/Goldens/mini-omni2").path

  /// The shipped ``release``.
  package static let shippedRelease = shippedFolder + "/checkpoint/mini-omni2"

  /// - Throws: a file that is missing or cannot be read.
  package init(folder: String = Goldens.shippedFolder) throws {
    self.folder = folder
    let path = URL(fileURLWithPath: folder).appendingPathComponent("manifest.json")
    manifest = try JSONDecoder().decode(Manifest.self, from: Data(contentsOf: path))
  }

  /// What stands for `gpt-omni/mini-omni2`.
  package var release: String { folder + "/checkpoint/mini-omni2" }
  /// What stands for `hubertsiuzdak/snac_24khz`.
  package var codec: String { folder + "/checkpoint/snac_24khz" }

  /// The file of expected tensors of that name.
  ///
  /// - Throws: `ModelError`.
  package func tensors(_ name: String) throws -> any Checkpoint {
    try Checkpoints.open("\(folder)/\(name).safetensors")
  }

  /// What was asked in a case, and how it went.
  package func answer(_ name: String) throws -> Manifest.Answer {
    guard let answer = manifest.answers.first(where: { $0.name == name }) else {
      throw ModelError(file: folder + "/manifest.json", part: name, .missing)
    }
    return answer
  }

  /// The codes of a case of `snac.safetensors`, frame by frame in Mini-Omni2's order.
  package func frames(_ name: String) throws -> [Int32] {
    let file = try tensors("snac")
    return Self.frames(try (0..<3).map { try file.integers("\(name).codes.\($0)") })
  }

  /// SNAC's three levels, coarse to fine, frame by frame in Mini-Omni2's order.
  package static func frames(_ levels: [[Int32]]) -> [Int32] {
    levels[0].indices.flatMap { n -> [Int32] in
      let (middle, fine) = (levels[1][(2 * n)...], levels[2][(4 * n)...].prefix(4))
      let (m, f) = (Array(middle.prefix(2)), Array(fine))
      return [levels[0][n], m[0], f[0], f[1], m[1], f[2], f[3]]
    }
  }

  package struct Manifest: Decodable, Sendable {
    package struct Text: Decodable, Sendable {
      package var text: String
      package var ids: [Int32]
      package var decoded: String
    }
    package struct IDs: Decodable, Sendable {
      package var text: [String: Int32]
      package var audio: [String: Int32]
      package var codes: Int
    }
    package struct Count: Decodable, Sendable {
      package var samples: Int
      package var features: Int
    }
    package struct Answer: Decodable, Sendable {
      package var name: String
      package var seed: Int?
      package var features: Int?
      package var picture: String?
      package var question: String?
      package var limit: Int?
      package var steps: Int
      package var ended: String
      package var frames: Int?
      package var words: Int
      package var text: String
    }
    package var ids: IDs
    package var tokenizer: [Text]
    package var featureCounts: [Count]
    package var pictures: [String]
    package var answers: [Answer]
  }

  /// Spoken question `seed` at 16 kHz, whole numbers of 16 bits; `tools/golden.d/mini_omni2/inputs.py` has the same
  /// arithmetic.
  package static func speech(_ seed: Int, count: Int? = nil) -> [Int16] {
    func triangle(_ phase: UInt32) -> Int { abs(Int(phase >> 16) - 32768) * 2 - 32768 }
    let number = UInt32(seed)
    var state = number &* 2_654_435_761 &+ 12345
    var (low, high): (UInt32, UInt32) = (0, 0)
    return (0..<(count ?? 3200 + 657 * seed)).map { index in
      state = state &* 1_664_525 &+ 1_013_904_223
      low &+= (100 + 37 * number) &* 268_435
      high &+= (700 + 113 * number) &* 268_435
      let noise = Int(state >> 16) - 32768
      let loudness = abs(((index >> 8) & 15) - 8)
      return Int16(truncatingIfNeeded: ((triangle(low) * 3 + triangle(high) * 2 + noise) * loudness) >> 6)
    }
  }
}

extension Checkpoint {
  /// A tensor's numbers.
  package func floats(_ name: String) throws -> [Float] { try stored(name).tensor().floats() }

  /// A tensor's numbers as whole numbers.
  package func integers(_ name: String) throws -> [Int32] { try floats(name).map { Int32($0) } }

  /// A tensor of two dimensions.
  package func matrix(_ name: String) throws -> Matrix {
    let shape = try shape(name)
    guard shape.count == 2, let matrix = Matrix(rows: shape[0], columns: shape[1], values: try floats(name)) else {
      throw ModelError(file: file, part: name, .unexpected(expected: "two dimensions", found: "\(shape)"))
    }
    return matrix
  }
}

/// The greatest difference over the greatest magnitude of what is expected: the norm of every comparison with PyTorch.
package func relativeError(_ found: some Collection<Float>, _ expected: some Collection<Float>) -> Float {
  guard found.count == expected.count, !expected.isEmpty else { return .infinity }
  var (difference, greatest): (Float, Float) = (0, 0)
  for (a, b) in zip(found, expected) {
    guard a.isFinite else { return .infinity }
    difference = max(difference, abs(a - b))
    greatest = max(greatest, abs(b))
  }
  return difference / greatest
}
