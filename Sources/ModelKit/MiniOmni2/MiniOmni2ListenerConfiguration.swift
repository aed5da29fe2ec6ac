internal import Tensors

/// What `listener.json` says: which commands a Mini-Omni2 was taught to hear, and when what its row says is one.
///
/// Training writes the file into the model's folder, beside `model_config.yaml`, whose keys are the release's alone. The
/// release has none: its listener is told of (arXiv 2410.11190, section 3.4), and neither its ids nor its weights are there.
public struct MiniOmni2ListenerConfiguration: Sendable, Equatable {
  /// Code of the commands' language, such as `en`.
  public var language: String
  /// What it was taught, all of them one class: it cannot tell them apart.
  public var commands: [String]
  /// The averaged probability from which the maker takes a command for said.
  public var threshold: Float
  /// Frames over which probabilities are averaged.
  public var average: Int
  /// The row is begun anew every so many frames, with as many read again.
  public var frames: Int

  /// The file's name.
  package static let file = "listener.json"
  package static let format = "antiphon-listener-1"

  package init(language: String, commands: [String], threshold: Float, average: Int, frames: Int) {
    (self.language, self.commands, self.threshold) = (language, commands, threshold)
    (self.average, self.frames) = (average, frames)
  }

  /// A phrase of these that it was not taught, whatever its case and the marks around it.
  public func unknown(of phrases: [String]) -> String? { phrases.first { !Self.holds(commands, $0) } }

  /// A command that is not among these.
  public func missing(in phrases: [String]) -> String? { commands.first { !Self.holds(phrases, $0) } }

  private static func holds(_ phrases: [String], _ phrase: String) -> Bool {
    phrases.contains { KeywordConfiguration.plain($0) == KeywordConfiguration.plain(phrase) }
  }

  /// Checks that a row as it says fits the model and reads what the codec writes.
  ///
  /// - Throws: ``ModelError`` with the folder of the one that does not fit.
  func check(
    _ model: MiniOmni2Configuration, in folder: String, _ codec: SnacConfiguration, in codecFolder: String
  ) throws(ModelError) {
    guard 2 * frames < model.context else {
      throw ModelError(
        file: "\(folder)/\(Self.file)", part: "frames",
        .unexpected(expected: "fewer than half of block_size, \(model.context)", found: "\(frames)"))
    }
    guard codec.layers == MiniOmni2Configuration.audioLayers, codec.codebookSize == model.codebookSize else {
      let layers = MiniOmni2Configuration.audioLayers
      throw ModelError(
        file: codecFolder,
        .unexpected(
          expected: "a codec of \(layers) codes a frame, of \(model.codebookSize), as \(folder) reads",
          found: "\(codec.layers), of \(codec.codebookSize)"))
    }
  }
}

// MARK: Reading

extension MiniOmni2ListenerConfiguration {
  private static let mostBytes = 1 << 16
  private static let mostCommands = 32
  private static let mostLetters = 80

  /// Reads `listener.json` of a model's folder.
  ///
  /// - Throws: ``ModelError`` for a folder without one, what is missing, or beyond what a sound file says.
  package init(folder: String) throws {
    let path = "\(folder)/\(Self.file)"
    guard ModelFolder.holds(Self.file, in: folder) else {
      throw ModelError(
        file: path,
        .invalid("missing: this model was not taught to hear commands; tools/train/omni makes one that is"))
    }
    let bytes = try Bytes.ofModel(path)
    guard bytes.count <= Self.mostBytes else {
      throw ModelError(file: path, .tooLarge(found: UInt64(bytes.count), most: UInt64(Self.mostBytes)))
    }
    let json = try JSON(UnsafeRawBufferPointer(start: bytes.start, count: bytes.count), file: path)
    let fields = Fields(json: json, file: path)
    let format = try fields.text("format")
    guard format == Self.format else { throw fields.fault("format", expected: Self.format, found: "'\(format)'") }
    language = try fields.text("language")
    commands = try fields.texts("commands")
    threshold = Float(try fields.number("threshold", in: 0.01...1))
    average = try fields.integer("average", in: 1...12)
    frames = try fields.integer("frames", in: 1...500)
  }

  /// Typed access to the file's members.
  private struct Fields {
    let json: JSON
    let file: String

    func fault(_ key: String, expected: String, found: String) -> ModelError {
      ModelError(file: file, part: key, .unexpected(expected: expected, found: found))
    }

    private func value(_ key: String) throws(ModelError) -> JSON {
      guard let value = json[key] else { throw ModelError(file: file, part: key, .missing) }
      return value
    }

    func text(_ key: String) throws(ModelError) -> String {
      guard let text = try value(key).string, (1...mostLetters).contains(text.count) else {
        throw fault(key, expected: "a text of 1 to \(mostLetters) letters", found: "another value")
      }
      return text
    }

    func texts(_ key: String) throws(ModelError) -> [String] {
      let all = try value(key).array ?? []
      let texts = all.compactMap(\.string).filter { (1...mostLetters).contains($0.count) }
      guard (1...mostCommands).contains(all.count), texts.count == all.count else {
        throw fault(
          key, expected: "1 to \(mostCommands) texts of 1 to \(mostLetters) letters", found: "another value")
      }
      return texts
    }

    func integer(_ key: String, in range: ClosedRange<Int>) throws(ModelError) -> Int {
      guard let number = try value(key).integer, range.contains(number) else {
        throw fault(
          key, expected: "a whole number from \(range.lowerBound) to \(range.upperBound)",
          found: json[key]?.integer.map(String.init) ?? "another value")
      }
      return number
    }

    func number(_ key: String, in range: ClosedRange<Double>) throws(ModelError) -> Double {
      guard case .number(let number) = try value(key), range.contains(number) else {
        throw fault(
          key, expected: "a number from \(range.lowerBound) to \(range.upperBound)", found: "another value")
      }
      return number
    }
  }
}

extension ModelHeader {
  /// What the listener of the Mini-Omni2 of that name or in that folder says of itself, once it fits model and codec.
  ///
  /// - Parameter codec: its name or folder; nil for the folder `snac` in the model's.
  /// - Throws: ``ModelError`` when a part is not there, cannot be read, or does not fit.
  public static func listener(_ model: String, codec: String?) throws -> MiniOmni2ListenerConfiguration {
    let folder = try ModelFolder.path(model)
    let codecFolder = try ModelFolder.path(codec ?? "\(folder)/snac")
    let listener = try MiniOmni2ListenerConfiguration(folder: folder)
    try listener.check(
      MiniOmni2Configuration(folder: folder), in: folder, SnacConfiguration(folder: codecFolder), in: codecFolder)
    return listener
  }
}
