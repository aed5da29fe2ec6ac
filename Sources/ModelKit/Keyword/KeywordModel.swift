internal import CKeywordModel
internal import Tensors

/// A small network that hears spoken commands: causal convolutions over a mel spectrogram, a row of probabilities every
/// 20 ms. Its weights never change and are shared; a ``KeywordStream`` holds what depends on the sound.
public final class KeywordModel: Sendable {
  public let configuration: KeywordConfiguration
  let front: MelFrontEnd
  /// Over ``KeywordConfiguration/first`` frames of levels and of what stands out of their means.
  let first: KeywordDense
  let blocks: [Block]
  let head: KeywordDense

  /// x + pointwise(depthwise(x)), rectified.
  struct Block: Sendable {
    let dilation: Int
    /// [taps, channels], the oldest row first.
    let depthwise: Bytes
    let pointwise: KeywordDense
  }

  /// The model that is part of the program.
  public static let builtInName = "keyword-en"

  /// The network in a safetensors file of ``KeywordConfiguration/format``.
  ///
  /// - Throws: ``ModelError``, or what `checkCancelled` throws.
  public convenience init(path: String, checkCancelled: CancellationCheck = {}) throws {
    try self.init(file: Safetensors(path: path, checkCancelled: checkCancelled))
  }

  /// - Throws: ``ModelError`` for weights that are missing, of another shape, or no numbers.
  init(file: any Checkpoint) throws(ModelError) {
    let shape = try KeywordConfiguration(file: file)
    let (channels, classes) = (shape.channels, shape.commands.count + 1)
    let heard = 2 * shape.bands
    first = try KeywordDense(file, "first", outputs: channels, [channels, shape.first, heard])
    var blocks: [Block] = []
    for (index, dilation) in shape.dilations.enumerated() {
      let name = "blocks.\(index)"
      let taps = try Self.numbers(file, "\(name).depthwise.weight", [shape.taps, channels])
      let pointwise = try KeywordDense(file, "\(name).pointwise", outputs: channels, [channels, channels])
      blocks.append(Block(dilation: dilation, depthwise: Self.bytes(taps), pointwise: pointwise))
    }
    self.blocks = blocks
    head = try KeywordDense(file, "head", outputs: classes, [classes, channels])
    configuration = shape
    front = MelFrontEnd(shape)
  }

  /// What the file of a model says: the one that is part of the program, one of the cache by name, or one at a path.
  static func file(_ model: String, checkCancelled: CancellationCheck = {}) throws -> any Checkpoint {
    guard model == builtInName else {
      return try Safetensors(path: ModelFolder.path(model), checkCancelled: checkCancelled)
    }
    let count = ckw_keyword_en_count()
    guard let source = ckw_keyword_en(),
      let bytes = Bytes(reserving: count, fill: { $0.copyMemory(from: source, byteCount: count) })
    else { throw ModelError(file: model, .invalid("\(count) bytes of memory cannot be had")) }
    return try Safetensors(bytes: bytes, path: model, checkCancelled: checkCancelled)
  }

  static func numbers(_ file: any Checkpoint, _ name: String, _ shape: [Int]) throws(ModelError) -> [Float] {
    let values = try file.tensor(name, shape: shape).floats()
    guard values.allSatisfy(\.isFinite) else {
      throw ModelError(file: file.file, part: name, .unexpected(expected: "finite numbers", found: "others"))
    }
    return values
  }

  static func bytes(_ values: [Float]) -> Bytes {
    Bytes(floats: values.count) { out in for (index, value) in values.enumerated() { out[index] = value } }
  }
}

/// y = W x + b for one small row.
struct KeywordDense: Sendable {
  let inputs: Int
  let outputs: Int
  /// [inputs, outputs]: neighbouring outputs are summed side by side.
  private let weights: Bytes
  private let bias: Bytes

  /// - Parameter shape: of the stored weights, outputs first.
  init(_ file: any Checkpoint, _ name: String, outputs: Int, _ shape: [Int]) throws(ModelError) {
    let stored = try KeywordModel.numbers(file, "\(name).weight", shape)
    let inputs = stored.count / outputs
    (self.inputs, self.outputs) = (inputs, outputs)
    weights = Bytes(floats: stored.count) { out in
      for output in 0..<outputs {
        for input in 0..<inputs { out[input * outputs + output] = stored[output * inputs + input] }
      }
    }
    bias = KeywordModel.bytes(try KeywordModel.numbers(file, "\(name).bias", [outputs]))
  }

  func apply(_ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>) {
    let weights = weights.start.assumingMemoryBound(to: Float.self)
    y.update(from: bias.start.assumingMemoryBound(to: Float.self), count: outputs)
    for input in 0..<inputs {
      let (value, row) = (x[input], weights + input * outputs)
      for output in 0..<outputs { y[output] += value * row[output] }
    }
  }
}

extension ModelHeader {
  /// What the keyword network of that name, or in that file, says of itself; `keyword-en` is part of the program.
  ///
  /// - Throws: ``ModelError`` when it is not there or cannot be read.
  public static func keyword(_ model: String) throws -> KeywordConfiguration {
    try KeywordConfiguration(file: KeywordModel.file(model))
  }
}

extension ModelStore {
  /// The keyword network of that name, or in that file; `keyword-en` is part of the program.
  ///
  /// - Throws: ``ModelError``, or what `checkCancelled` throws.
  public func keyword(_ model: String, checkCancelled: CancellationCheck = {}) throws -> KeywordModel {
    if model == KeywordModel.builtInName {
      return try KeywordModel(file: KeywordModel.file(model, checkCancelled: checkCancelled))
    }
    return try load(ModelFolder.path(model), checkCancelled) {
      try KeywordModel(path: $0, checkCancelled: checkCancelled)
    }
  }
}
