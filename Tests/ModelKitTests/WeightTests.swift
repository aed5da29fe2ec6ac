import Foundation
import ModelKit
import Tensors
import Testing

/// Matrices in reduced precision, and the cache of quantized ones.
struct WeightTests {
  private struct Numbers {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> Float {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Float(Int32(truncatingIfNeeded: state >> 33)) / Float(1 << 30) - 1
    }
  }

  private func linear(_ rows: Int, _ columns: Int, seed: UInt64 = 1, name: String = "matrix") throws -> Linear {
    var numbers = Numbers(seed: seed)
    let tensor = Tensor(name: name, shape: [rows, columns]) { out in
      for index in 0..<rows * columns { out[index] = numbers.next() }
    }
    return try #require(Linear(tensor, bias: (0..<rows).map { Float($0) / 100 }))
  }

  private func apply(
    _ linear: Linear, rows: Int, range: Range<Int>? = nil, separately: Bool = false, first: Int = 0
  ) -> [Float] {
    var numbers = Numbers(seed: 7)
    let x = (0..<40 * linear.inputs).map { _ in numbers.next() }
    var y = [Float](repeating: 0, count: rows * (range?.count ?? linear.outputs))
    x.withUnsafeBufferPointer { x in
      y.withUnsafeMutableBufferPointer { y in
        guard let x = x.baseAddress, let y = y.baseAddress else { return }
        linear.apply(
          x + first * linear.inputs, rows: rows, range: range, separately: separately, into: y, scratch: Scratch())
      }
    }
    return y
  }

  /// Sums of 320 products of numbers up to 1 deviate by about 10; the bounds are of the greatest error over that.
  @Test(arguments: [(TiledWeights.Form.bytes, 0.3 as Float), (.nibbles, 4)], [1, 2, 7, 8, 9, 40])
  func quantizedProductsAreNearThePlainOnes(_ form: (TiledWeights.Form, Float), rows: Int) throws {
    let plain = try linear(75, 320)
    let tiled = try #require(plain.tiled(form.0))
    #expect(tiled.isReduced)
    let (expected, found) = (apply(plain, rows: rows), apply(tiled, rows: rows))
    #expect(zip(expected, found).allSatisfy { abs($0 - $1) < form.1 })
    #expect(expected != found)
    // Against the weights that are really there, only the quantized input deviates.
    let weights = try #require(tiled.tiledWeights).floats(0..<75)
    let tensor = Tensor(name: "same", shape: [75, 320]) { $0.update(from: weights, count: 75 * 320) }
    let same = try #require(Linear(tensor))
    let bias = try #require(plain.bias)
    for (index, (exact, found)) in zip(apply(same, rows: rows), found).enumerated() {
      #expect(abs(exact + bias[index % 75] - found) < 0.3)
    }
  }

  @Test(arguments: [WeightPrecision.stored, .bf16, .int8, .int4])
  func rowsThatAreMultipliedSeparatelyAreAsIfAlone(_ precision: WeightPrecision) throws {
    let kept = try WeightKeeper(precision, file: "none").keep(linear(70, 64))
    let together = apply(kept, rows: 40, separately: true)
    for row in [0, 17, 39] {
      #expect(apply(kept, rows: 1, first: row) == Array(together[row * 70..<(row + 1) * 70]))
    }
    let some = apply(kept, rows: 3, range: 5..<43)
    let all = apply(kept, rows: 3)
    for row in 0..<3 { #expect(Array(some[row * 38..<(row + 1) * 38]) == Array(all[row * 70 + 5..<row * 70 + 43])) }
  }

  @Test func matricesWhoseRowsFillNoBlocksStayAsTheyAre() throws {
    let kept = try WeightKeeper(.int8, file: "none").keep(linear(8, 40))
    #expect(!kept.isReduced)
    #expect(try apply(kept, rows: 2) == apply(linear(8, 40), rows: 2))
  }

  // MARK: The cache

  private func folder() throws -> String {
    let path = NSTemporaryDirectory() + "antiphon-weights-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
  }

  private func caches(_ folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder + "/cache").filter { $0.hasSuffix(".safetensors") }
  }

  @Test func whatWasQuantizedOnceIsMappedTheNextTime() throws {
    let folder = try folder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let source = folder + "/model.bin"
    try Data("one".utf8).write(to: URL(fileURLWithPath: source))
    func keep() throws -> (WeightKeeper, [Float]) {
      let keeper = WeightKeeper(.int8, file: source, cacheFolder: folder + "/cache")
      let kept = try [
        keeper.keep(linear(2048, 2048, name: "first")), keeper.keep(linear(33, 64, seed: 2, name: "second")),
      ]
      keeper.finish()
      return (keeper, kept.flatMap { apply($0, rows: 2) })
    }
    let (first, expected) = try keep()
    #expect(first.found == 0)
    #expect(try caches(folder).count == 1)
    let (second, found) = try keep()
    #expect(second.found == 2)
    #expect(found == expected)

    // A copy elsewhere has the same hash.
    try FileManager.default.moveItem(atPath: source, toPath: source + ".old")
    try FileManager.default.copyItem(atPath: source + ".old", toPath: source)
    #expect(try keep().0.found == 2)

    // Another model of the same name does not get what was the first's, which goes.
    try Data("two".utf8).write(to: URL(fileURLWithPath: source))
    #expect(try keep().0.found == 0)
    #expect(try caches(folder).count == 1)

    // A file that was cut off is made anew.
    let cached = try folder + "/cache/" + #require(caches(folder).first)
    let whole = try Data(contentsOf: URL(fileURLWithPath: cached))
    try whole.prefix(whole.count / 2).write(to: URL(fileURLWithPath: cached))
    let (mended, again) = try keep()
    #expect(mended.found == 0)
    #expect(again == expected)
    #expect(try keep().0.found == 2)
  }

  @Test func aCacheThatCannotBeWrittenIsNone() throws {
    let folder = try folder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let source = folder + "/model.bin"
    try Data("one".utf8).write(to: URL(fileURLWithPath: source))
    // A file stands where the folder would be.
    try Data().write(to: URL(fileURLWithPath: folder + "/cache"))
    let keeper = WeightKeeper(.int4, file: source, cacheFolder: folder + "/cache")
    let kept = try keeper.keep(linear(4096, 2048))
    keeper.finish()
    #expect(kept.isReduced)
    #expect(keeper.found == 0)
  }
}
