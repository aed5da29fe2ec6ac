internal import Tensors

/// Whisper's weights, tokens and settings, from a folder with CTranslate2's `model.bin`, `tokenizer.json` and
/// `config.json`. It never changes and is shared; ``WhisperEncoder`` and ``WhisperDecoder`` compute with it, in one
/// process or in two that each load the same folder.
public final class WhisperModel: Sendable {
  /// Every dimension, as the file states it.
  public struct Configuration: Sendable, Equatable {
    public var melBins: Int
    /// Floats of an encoder feature.
    public var width: Int
    public var encoderLayers: Int
    public var encoderHeads: Int
    public var decoderLayers: Int
    public var decoderHeads: Int
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
  public var isMultilingual: Bool { configuration.vocabularySize >= 51_865 }

  /// The files of its folder: weights, tokenizer, settings.
  static let files = ["model.bin", "tokenizer.json", "config.json"]

  let encoder: Encoder
  let decoder: Decoder
  let tokens: SpecialTokens

  struct Norm: Sendable {
    var weight: [Float]
    var bias: [Float]
  }
  struct Block: Sendable {
    var attentionNorm: Norm
    /// Query, key and value side by side.
    var attentionInput: Linear
    var attentionOutput: Linear
    var cross: Cross?
    var feedForwardNorm: Norm
    var feedForwardInput: Linear
    var feedForwardOutput: Linear
  }
  struct Cross: Sendable {
    var norm: Norm
    var query: Linear
    /// Key and value side by side.
    var keyValue: Linear
    var output: Linear
  }
  struct Encoder: Sendable {
    /// One matrix for each of the three taps: [tap, output, input].
    var convolution1: Tensor
    var bias1: [Float]
    var convolution2: Tensor
    var bias2: [Float]
    var positions: [Float]
    var blocks: [Block]
    var norm: Norm
  }
  struct Decoder: Sendable {
    var embedding: Tensor
    var positions: [Float]
    var blocks: [Block]
    var norm: Norm
    var projection: Linear
  }
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

  /// - Throws: ``ModelError``, `ComputeError` for a wrong `ANTIPHON_CPU`, or what `checkCancelled` throws.
  package init(directory: String, checkCancelled: CancellationCheck = {}) throws {
    try Compute.check()
    let reader = WhisperReader(file: try CTranslate2(path: directory + "/model.bin", checkCancelled: checkCancelled))
    configuration = try reader.configuration()
    encoder = try reader.encoder(configuration, checkCancelled)
    decoder = try reader.decoder(configuration, checkCancelled)
    tokenizer = try Tokenizer(json: directory + "/tokenizer.json", checkCancelled: checkCancelled)
    tokens = try SpecialTokens(tokenizer, configuration, directory: directory)
    languages = isEnglishOnly(configuration) ? ["en"] : tokens.languages.keys.sorted()
  }
}

private func isEnglishOnly(_ configuration: WhisperModel.Configuration) -> Bool {
  configuration.vocabularySize < 51_865
}

extension WhisperModel.SpecialTokens {
  init(_ tokenizer: Tokenizer, _ shape: WhisperModel.Configuration, directory: String) throws {
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
