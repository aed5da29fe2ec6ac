import Foundation
import ModelKit
import Parity
import Tensors
import Testing

@Suite struct VisionTests {
  struct Resized: Decodable {
    struct Entry: Decodable, Sendable, CustomStringConvertible {
      var width: Int
      var height: Int
      var channels: Int
      var size: Int
      var hash: String
      var description: String { "\(width) x \(height) x \(channels) to \(size)" }
    }
    var resized: [Entry]
  }

  /// Bytes of the generator that `tools/golden.d/pictures.py` has too.
  private func noise(_ width: Int, _ height: Int, _ channels: Int) -> [UInt8] {
    var state = UInt32(width * 65_536 + height * 256 + channels)
    return (0..<width * height * channels).map { _ in
      state = state &* 1_664_525 &+ 1_013_904_223
      return UInt8(state >> 24)
    }
  }

  private func hash(_ bytes: [UInt8]) -> String {
    let value = bytes.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  private func crop(_ pixels: [UInt8], _ width: Int, _ height: Int, _ channels: Int, to size: Int) throws -> [UInt8] {
    try pixels.withUnsafeBufferPointer {
      BicubicCrop(size: size).pixels(of: try PixelView($0, width: width, height: height, channels: channels))
    }
  }

  @Test func everyResizedPixelIsPillows() throws {
    let all: Resized = try Fixtures.decode("resize.json")
    #expect(all.resized.count > 100)
    for entry in all.resized {
      let (width, height, channels) = (entry.width, entry.height, entry.channels)
      let found = try crop(noise(width, height, channels), width, height, channels, to: entry.size)
      #expect(found.count == entry.size * entry.size * 3)
      #expect(hash(found) == entry.hash, "\(entry)")
    }
  }

  @Test func proportionsDoNotDecideMemory() throws {
    // In whole, the picture would grow to 224 by 44,800,000 pixels.
    let square = try crop([UInt8](repeating: 9, count: 200_000), 1, 200_000, 1, to: 224)
    #expect(square.allSatisfy { $0 == 9 })
  }

  @Test(arguments: [(0, 1, 3, 0), (1, 1, 2, 2), (2, 2, 3, 11), (1, 1, 3, 4), (Int.max, 2, 3, 6), (-1, -1, 3, 3)])
  func picturesThatAreNoneAreRefused(width: Int, height: Int, channels: Int, count: Int) {
    #expect(throws: ModelInputError.self) {
      _ = try [UInt8](repeating: 0, count: count).withUnsafeBufferPointer {
        try PixelView($0, width: width, height: height, channels: channels)
      }
    }
  }

  // MARK: Goldens

  @Test func aPhotographsSquareEqualsTheGolden() throws {
    let shape = try Goldens().tensors("vision").shape("picture.jpg.decoded")
    let decoded = try Goldens().tensors("vision").floats("picture.jpg.decoded").map { UInt8($0) }
    let square = try crop(decoded, shape[1], shape[0], 3, to: 224)
    #expect(square.map { Float($0) } == (try Goldens().tensors("vision").floats("picture.jpg.resized")))
  }

  @Test(arguments: ["picture.png", "picture.jpg", "transparent.png"])
  func featuresEqualTheGolden(_ name: String) throws {
    let encoder = ClipEncoder(try ModelStore().clip(at: Goldens.shippedRelease))
    let square = try Goldens().tensors("vision").floats("\(name).resized").map { UInt8($0) }
    let features = try square.withUnsafeBufferPointer {
      try encoder.encode(PixelView($0, width: 224, height: 224, channels: 3))
    }
    let expected = try Goldens().tensors("vision").floats("\(name).encoder")
    let error = relativeError(features.values, expected)
    #expect(features.rows == 50 && error < 1e-4, "\(error)")
    let adapter = try MiniOmni2Adapter(ModelStore().adapters(at: Goldens.shippedRelease), .vision)
    let adapted = try adapter.apply(features)
    let adapterError = relativeError(adapted.values, try Goldens().tensors("vision").floats("\(name).adapter"))
    #expect(adapted.rows == 50 && adapterError < 1e-4, "\(adapterError)")
  }

  @Test func dimensionsComeFromTheFile() throws {
    func dimensions(_ path: String) throws -> [Int] {
      let shape = try ModelStore().clip(at: path).configuration
      return [shape.resolution, shape.patch, shape.width, shape.layers, shape.heads, shape.features, shape.tokens]
    }
    #expect(try dimensions(Goldens.shippedRelease) == [224, 32, 128, 2, 2, 32, 50])
    let small = try Fixtures.withFile(SmallTensors.clip.bytes) { try dimensions($0) }
    #expect(small == [8, 4, 64, 1, 1, 6, 5])
    #expect(try ModelHeader.visionWidth(Goldens.shippedRelease) == 32)
  }

  @Test func cancellationEndsTheCallBetweenLayers() throws {
    struct Stop: Error {}
    let encoder = ClipEncoder(try ModelStore().clip(at: Goldens.shippedRelease))
    try [UInt8](repeating: 7, count: 3).withUnsafeBufferPointer {
      let picture = try PixelView($0, width: 1, height: 1, channels: 3)
      var polls = 0
      #expect(throws: Stop.self) {
        try encoder.encode(picture) {
          polls += 1
          if polls == 3 { throw Stop() }
        }
      }
      #expect(polls == 3)
      #expect(try encoder.encode(picture).rows == 50)
    }
  }

  // MARK: Hostile files

  /// Loads the model and looks at a picture with it.
  private func use(_ file: [UInt8]) throws -> Matrix {
    try Fixtures.withFile(file) { path in
      let encoder = ClipEncoder(try ModelStore().clip(at: path))
      return try [UInt8](0..<12).withUnsafeBufferPointer {
        try encoder.encode(PixelView($0, width: 2, height: 2, channels: 3))
      }
    }
  }

  @Test func aSmallModelSees() throws {
    let features = try use(SmallTensors.clip.bytes)
    #expect((features.rows, features.columns) == (5, 6))
    #expect(features.values.allSatisfy { $0.isFinite })
  }

  @Test func whatIsMissingOrMisshapenIsNamed() throws {
    let whole = SmallTensors.clip
    for (index, tensor) in whole.tensors.enumerated() {
      var model = whole
      model.tensors.remove(at: index)
      let error = try #require(throws: ModelError.self, "\(tensor.name)") { try use(model.bytes) }
      #expect(error.part.map { tensor.name.hasPrefix($0) } == true, "\(tensor.name): \(error)")
      for shape in [tensor.shape + [1], [3], tensor.shape.map { $0 + 1 }] {
        var model = whole
        model.reshape(tensor.name, shape)
        // A feed-forward layer's width is the file's to choose: its neighbours are misshapen then.
        let error = try #require(throws: ModelError.self, "\(tensor.name)") { try use(model.bytes) }
        #expect(error.part?.hasPrefix("visual.") == true, "\(tensor.name) \(shape): \(error)")
      }
    }
  }

  @Test func spoiltFilesDoNoHarm() throws {
    try Fixtures.hostileVariants(of: SmallTensors.clip.bytes, seed: 21) { bytes in
      do { _ = try use(bytes) } catch is ModelError {} catch is ModelInputError {}
    }
  }
}
