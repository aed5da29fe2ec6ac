internal import Tensors

/// Whisper's text decoder: weights, tokens and settings, from a folder with CTranslate2's `model.bin`, `tokenizer.json`
/// and `config.json`. It never changes and is shared; ``WhisperDecoder`` computes with it, in one process with the
/// encoder or in another that has the same folder.
public final class WhisperDecoderModel: Sendable {
  /// Every dimension, as the file states it.
  public struct Configuration: Sendable, Equatable {
    /// Floats of an encoder feature.
    public var width: Int
    public var layers: Int
    public var heads: Int
    /// Features of a window: 1500.
    public var audioContext: Int
    /// The longest text, prompt included: 448.
    public var textContext: Int
    public var vocabularySize: Int
  }

  public let configuration: Configuration
  public let tokenizer: Tokenizer
  /// Codes such as `en` that ``WhisperDecoder`` takes.
  public let languages: [String]
  /// Whether the model knows more than English.
  public var isMultilingual: Bool { configuration.isMultilingual }

  /// The files of its folder: weights, tokenizer, settings.
  static let files = ["model.bin", "tokenizer.json", "config.json"]

  let embedding: Tensor
  let positions: [Float]
  let blocks: [Block]
  let norm: LayerNorm
  let projection: Linear
  let tokens: SpecialTokens

  struct Block: Sendable {
    /// All but what looks at the features.
    var own: EncoderBlock
    var crossNorm: LayerNorm
    var crossQuery: Linear
    /// Key and value side by side.
    var crossKeyValue: Linear
    var crossOutput: Linear
  }

  /// - Throws: ``ModelError``, `ComputeError` for a wrong `ANTIPHON_CPU`, or what `checkCancelled` throws.
  package init(directory: String, checkCancelled: CancellationCheck = {}) throws {
    try Compute.check()
    let file = try CTranslate2(path: directory + "/" + Self.files[0], checkCancelled: checkCancelled)
    let reader = try WhisperReader(file)
    let shape = try reader.decoderConfiguration(file)
    configuration = shape
    embedding = try file.tensor("decoder/embeddings/weight", shape: [shape.vocabularySize, shape.width])
    positions = try reader.floats("decoder/position_encodings/encodings", [shape.textContext, shape.width])
    blocks = try (0..<shape.layers).map {
      try checkCancelled()
      return try reader.decoderBlock("decoder/layer_\($0)", shape.width)
    }
    norm = try reader.norm("decoder/layer_norm", shape.width)
    projection = try reader.linear("decoder/projection", shape.vocabularySize, shape.width, isBiased: false)
    tokenizer = try Tokenizer(json: directory + "/tokenizer.json", checkCancelled: checkCancelled)
    tokens = try SpecialTokens(tokenizer, shape, directory: directory)
    languages = shape.isMultilingual ? tokens.languages.keys.sorted() : ["en"]
  }
}

extension WhisperDecoderModel {
  /// The languages of the model in a folder, without its weights.
  static func languages(directory: String) throws -> [String] {
    let file = try CTranslate2(path: directory + "/" + files[0])
    let shape = try WhisperReader(file).decoderConfiguration(file)
    guard shape.isMultilingual else { return ["en"] }
    let tokenizer = try Tokenizer(json: directory + "/tokenizer.json")
    return try SpecialTokens(tokenizer, shape, directory: directory).languages.keys.sorted()
  }
}

extension WhisperDecoderModel.Configuration {
  fileprivate var isMultilingual: Bool { vocabularySize >= 51_865 }
}

extension WhisperDecoderModel {
  struct SpecialTokens: Sendable {
    var startOfTranscript: Int32
    var endOfText: Int32
    var transcribe: Int32
    var noTimestamps: Int32
    var noSpeech: Int32
    var languages: [String: Int32]
    /// Never sampled; and those not sampled first.
    var suppressed: [Int32]
    var suppressedFirst: [Int32]
  }
}

extension WhisperDecoderModel.SpecialTokens {
  init(_ tokenizer: Tokenizer, _ shape: WhisperDecoderModel.Configuration, directory: String) throws {
    let file = directory + "/tokenizer.json"
    func token(_ names: String...) throws(ModelError) -> Int32 {
      guard let token = names.lazy.compactMap(tokenizer.token(named:)).first else {
        throw ModelError(file: file, part: names[0], .missing)
      }
      guard Int(token) < shape.vocabularySize else {
        throw ModelError(
          file: file, part: names[0],
          .unexpected(expected: "a token below \(shape.vocabularySize)", found: "\(token)"))
      }
      return token
    }
    startOfTranscript = try token("<|startoftranscript|>")
    endOfText = try token("<|endoftext|>")
    transcribe = try token("<|transcribe|>")
    noTimestamps = try token("<|notimestamps|>")
    noSpeech = try token("<|nospeech|>", "<|nocaptions|>")
    let translate = try token("<|translate|>")
    // Languages stand between the start of transcripts and the tasks.
    languages = [:]
    for language in startOfTranscript + 1..<max(startOfTranscript + 1, min(translate, transcribe)) {
      let name = String(decoding: tokenizer.bytes(of: language), as: UTF8.self)
      if name.hasPrefix("<|"), name.hasSuffix("|>") { languages[String(name.dropFirst(2).dropLast(2))] = language }
    }

    let settings = directory + "/config.json"
    let mapped = try Bytes.ofModel(settings)
    let json = try JSON(UnsafeRawBufferPointer(start: mapped.start, count: mapped.count), file: settings)
    func list(_ key: String) throws(ModelError) -> [Int32] {
      guard let values = json[key]?.array else { throw ModelError(file: settings, part: key, .missing) }
      let tokens = values.compactMap(\.token).filter { (0..<Int32(shape.vocabularySize)).contains($0) }
      guard tokens.count == values.count else {
        throw ModelError(file: settings, part: key, .unexpected(expected: "tokens of the model", found: "others"))
      }
      return tokens
    }
    let marks = [transcribe, translate, startOfTranscript, noSpeech]
    let others = ["<|startofprev|>", "<|startoflm|>"].compactMap(tokenizer.token(named:))
      .filter { Int($0) < shape.vocabularySize }
    suppressed = try list("suppress_ids") + marks + others
    suppressedFirst = try list("suppress_ids_begin")
  }
}
