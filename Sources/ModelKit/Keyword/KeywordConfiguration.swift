/// What a keyword network's file says of itself: the commands that it knows, what it hears, and its shape.
///
/// `tools/train/keyword` writes it as texts of the file's `__metadata__`; docs/keyword.md describes each.
public struct KeywordConfiguration: Sendable, Equatable {
  /// Code of the language, such as `en`.
  public let language: String
  /// The commands in the order of the network's classes, of which 0 is none of them.
  public let commands: [String]
  /// The averaged probability from which the network's maker takes a command for said.
  public let threshold: Float
  /// Rows of 20 ms over which probabilities are averaged.
  public let average: Int

  /// Samples a second.
  public let rate: Int
  /// Samples of a frame and between frames, and points of its Fourier transform.
  public let window: Int
  public let hop: Int
  public let fft: Int
  /// Mel bands from `low` to `high` Hz.
  public let bands: Int
  public let low: Double
  public let high: Double
  /// Added to a band's power before its logarithm is taken.
  public let floor: Double
  /// How much of a frame enters the running mean.
  public let smoothing: Float

  public let channels: Int
  /// Frames of the first convolution, which steps by two.
  public let first: Int
  /// Taps of the other convolutions, and the rows between them in each.
  public let taps: Int
  public let dilations: [Int]

  package static let format = "antiphon-keyword-1"

  /// - Throws: ``ModelError`` for what is missing, or beyond what a sound file says.
  package init(file: any Checkpoint) throws(ModelError) {
    let read = Reader(file: file)
    let format = try file.string("format")
    guard format == Self.format else {
      throw ModelError(file: file.file, part: "format", .unexpected(expected: Self.format, found: "'\(format)'"))
    }
    language = try file.string("language")
    commands = try file.string("commands").split(separator: "|", maxSplits: 64).map(String.init)
    threshold = Float(try read.real("threshold", in: 0.01...1))
    average = try read.integer("average", in: 1...50)
    rate = try read.integer("rate", in: 16_000...16_000)
    fft = try read.integer("fft", in: 64...4_096)
    window = try read.integer("window", in: 16...fft)
    hop = try read.integer("hop", in: 16...window)
    bands = try read.integer("bands", in: 1...128)
    low = try read.real("low", in: 0...Double(rate) / 2)
    high = try read.real("high", in: low...Double(rate) / 2)
    floor = try read.real("floor", in: 1e-12...1)
    smoothing = Float(try read.real("smoothing", in: 0...1))
    channels = try read.integer("channels", in: 1...1_024)
    first = try read.integer("first", in: 2...16)
    taps = try read.integer("taps", in: 1...16)
    dilations = try read.integers("dilations", in: 1...64, most: 32)
    guard (1...32).contains(commands.count) else {
      throw ModelError(
        file: file.file, part: "commands", .unexpected(expected: "1 to 32 commands", found: "\(commands.count)"))
    }
    guard fft & (fft - 1) == 0 else {
      throw ModelError(file: file.file, part: "fft", .unexpected(expected: "a power of two", found: "\(fft)"))
    }
  }

  /// The class of a command, whatever its case and the marks around it; nil if the network does not know it.
  public func index(of phrase: String) -> Int? {
    let wanted = Self.plain(phrase)
    return commands.firstIndex { Self.plain($0) == wanted }.map { $0 + 1 }
  }

  /// Its words in lower case.
  static func plain(_ phrase: String) -> [Substring] {
    phrase.lowercased().split { !$0.isLetter && !$0.isNumber && $0 != "'" }
  }

  /// Reads numbers that stand as texts.
  private struct Reader {
    let file: any Checkpoint

    func real(_ key: String, in range: ClosedRange<Double>) throws(ModelError) -> Double {
      let text = try file.string(key)
      guard let value = Double(text), range.contains(value) else {
        throw fault(key, "a number from \(range.lowerBound) to \(range.upperBound)", text)
      }
      return value
    }

    func integer(_ key: String, in range: ClosedRange<Int>) throws(ModelError) -> Int {
      let text = try file.string(key)
      guard let value = Int(text), range.contains(value) else {
        throw fault(key, "a whole number from \(range.lowerBound) to \(range.upperBound)", text)
      }
      return value
    }

    func integers(_ key: String, in range: ClosedRange<Int>, most: Int) throws(ModelError) -> [Int] {
      let text = try file.string(key)
      let words = text.split(separator: " ", maxSplits: most)
      let values = words.compactMap { Int($0) }.filter { range.contains($0) }
      guard !values.isEmpty, values.count == words.count, values.count <= most else {
        throw fault(key, "1 to \(most) whole numbers from \(range.lowerBound) to \(range.upperBound)", text)
      }
      return values
    }

    private func fault(_ key: String, _ expected: String, _ text: String) -> ModelError {
      ModelError(file: file.file, part: key, .unexpected(expected: expected, found: "'\(text.prefix(40))'"))
    }
  }
}
