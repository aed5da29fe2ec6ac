internal import Tensors

/// The shape of a SNAC codec (Siuzdak, Grötschla, Lanzendörfer 2024, "SNAC: Multi-Scale Neural Audio Codec"), as the
/// `config.json` beside its weights states it.
///
/// Sound becomes latent rows, one every ``hop`` samples, and these become codes on several levels: the coarsest has one
/// code for ``frameRows`` latent rows, the finest one for each. All codes of a coarse one's time make a *frame*.
public struct SnacConfiguration: Sendable, Equatable {
  /// Samples per second.
  public var sampleRate: Int
  /// Columns behind the encoder's first convolution; each of its blocks doubles them.
  public var encoderWidth: Int
  /// How many rows each of the encoder's blocks makes one of.
  public var encoderRates: [Int]
  /// Columns before the decoder's first block; each block halves them.
  public var decoderWidth: Int
  /// How many rows each of the decoder's blocks makes of one.
  public var decoderRates: [Int]
  /// Codes of a level.
  public var codebookSize: Int
  /// Numbers of a codebook's entry.
  public var codebookWidth: Int
  /// Latent rows that a code of each level stands for, coarse to fine.
  public var strides: [Int]
  /// Whether the decoder's blocks add noise.
  public var hasNoise: Bool

  package init(
    sampleRate: Int, encoderWidth: Int, encoderRates: [Int], decoderWidth: Int, decoderRates: [Int],
    codebookSize: Int, codebookWidth: Int, strides: [Int], hasNoise: Bool
  ) {
    (self.sampleRate, self.encoderWidth, self.encoderRates) = (sampleRate, encoderWidth, encoderRates)
    (self.decoderWidth, self.decoderRates) = (decoderWidth, decoderRates)
    (self.codebookSize, self.codebookWidth, self.strides) = (codebookSize, codebookWidth, strides)
    self.hasNoise = hasNoise
  }

  /// Columns of a latent row.
  public var latentWidth: Int { encoderWidth << encoderRates.count }
  /// Samples of a latent row: 512.
  public var hop: Int { decoderRates.reduce(1, *) }
  /// Latent rows of a frame: 4.
  public var frameRows: Int { strides.first ?? 1 }
  /// Samples of a frame: 2048.
  public var frameSamples: Int { hop * frameRows }
  /// Codes of a frame: 7.
  public var layers: Int { strides.reduce(0) { $0 + frameRows / $1 } }

  /// Which level's code a layer of a frame is, and the how many-th of the frame's on that level.
  ///
  /// The order is that of a tree walked from its root, each code before the finer ones that share its time: with strides
  /// 4, 2, 1 layers 0 to 6 are of level 0; 1, 2, 2; 1, 2, 2, as Mini-Omni2's audio layers are.
  public var order: [(level: Int, index: Int)] {
    var order: [(level: Int, index: Int)] = []
    func visit(_ level: Int, _ index: Int) {
      order.append((level, index))
      guard level + 1 < strides.count else { return }
      let finer = strides[level] / strides[level + 1]
      for child in 0..<finer { visit(level + 1, index * finer + child) }
    }
    if !strides.isEmpty { visit(0, 0) }
    return order
  }

  /// Samples by which the decoder's output lags behind its input, because convolutions look ahead: 4757.
  public var decoderDelay: Int {
    // Rows that each stage waits for: half of the first and last convolution's 7 taps, the transposed convolutions'
    // padding, and half of the taps of each block's three dilated convolutions.
    decoderRates.reduce(3) { $0 * $1 + ($1 + 1) / 2 + Self.dilations.reduce(0) { $0 + 3 * $1 } } + 3
  }

  /// Dilations of a block's three residual units.
  static let dilations = [1, 3, 9]
}

// MARK: Reading

extension SnacConfiguration {
  /// The file that holds it, beside the weights.
  package static let file = "config.json"

  /// Reads `config.json`.
  ///
  /// - Throws: ``ModelError`` for a file that is missing or no JSON, keys that are missing or out of range, and what the
  ///   24 kHz model does not have (attention, full convolutions).
  package init(folder: String) throws {
    let file = folder + "/" + Self.file
    let mapped = try Bytes.ofModel(file)
    try self.init(JSON(UnsafeRawBufferPointer(start: mapped.start, count: mapped.count), file: file), file: file)
  }

  package init(_ json: JSON, file: String) throws(ModelError) {
    let fields = SnacFields(json: json, file: file)
    sampleRate = try fields.integer("sampling_rate", in: 1...1_000_000)
    encoderWidth = try fields.integer("encoder_dim", in: 1...4096)
    encoderRates = try fields.integers("encoder_rates", in: 1...16)
    decoderWidth = try fields.integer("decoder_dim", in: 1...65536)
    decoderRates = try fields.integers("decoder_rates", in: 1...16)
    codebookSize = try fields.integer("codebook_size", in: 1...1 << 20)
    codebookWidth = try fields.integer("codebook_dim", in: 1...4096)
    strides = try fields.integers("vq_strides", in: 1...64)
    hasNoise = try fields.flag("noise")

    switch json["attn_window_size"] {
    case nil, .null?: break
    case .some: throw fields.fault("attn_window_size", expected: "null: no attention", found: "a window")
    }
    guard try fields.flag("depthwise") else {
      throw fields.fault("depthwise", expected: "true", found: "false")
    }
    guard encoderRates.reduce(1, *) == hop else {
      throw fields.fault("encoder_rates", expected: "the product of decoder_rates, \(hop)", found: "\(encoderRates)")
    }
    guard hop <= 4096, latentWidth <= 65536 else {
      throw fields.fault(
        "encoder_rates", expected: "at most 4096 samples and 65536 columns a latent row",
        found: "\(hop) and \(latentWidth)")
    }
    guard decoderWidth % (1 << decoderRates.count) == 0 else {
      throw fields.fault(
        "decoder_dim", expected: "a multiple of \(1 << decoderRates.count)", found: "\(decoderWidth)")
    }
    for (coarse, fine) in zip(strides, strides.dropFirst()) where coarse % fine != 0 {
      throw fields.fault("vq_strides", expected: "each a multiple of the next", found: "\(strides)")
    }
    guard strides.last == 1, layers <= 256 else {
      throw fields.fault("vq_strides", expected: "the last 1, at most 256 codes a frame", found: "\(strides)")
    }
  }
}

/// Typed access to the members of `config.json`.
private struct SnacFields {
  let json: JSON
  let file: String

  private static let mostEntries = 8

  func fault(_ key: String, expected: String, found: String) -> ModelError {
    ModelError(file: file, part: key, .unexpected(expected: expected, found: found))
  }

  private func value(_ key: String) throws(ModelError) -> JSON {
    guard let value = json[key] else { throw ModelError(file: file, part: key, .missing) }
    return value
  }

  func integer(_ key: String, in range: ClosedRange<Int>) throws(ModelError) -> Int {
    guard let number = try value(key).integer, range.contains(number) else {
      let found = json[key]?.integer.map(String.init) ?? "another value"
      throw fault(key, expected: "a whole number from \(range.lowerBound) to \(range.upperBound)", found: found)
    }
    return number
  }

  func integers(_ key: String, in range: ClosedRange<Int>) throws(ModelError) -> [Int] {
    let expected =
      "1 to \(Self.mostEntries) whole numbers from \(range.lowerBound) to \(range.upperBound)"
    guard let values = try value(key).array, (1...Self.mostEntries).contains(values.count) else {
      throw fault(key, expected: expected, found: json[key]?.array.map { "\($0.count)" } ?? "another value")
    }
    let numbers = values.compactMap(\.integer).filter(range.contains)
    guard numbers.count == values.count else { throw fault(key, expected: expected, found: "others") }
    return numbers
  }

  func flag(_ key: String) throws(ModelError) -> Bool {
    guard let flag = try value(key).bool else { throw fault(key, expected: "true or false", found: "another value") }
    return flag
  }
}
