internal import Tensors
internal import Yams

/// Every dimension of a Mini-Omni2, as the release's `model_config.yaml` states it.
///
/// Nothing is assumed of the size: the release, a small model and the tests' micro one differ in this file alone.
public struct MiniOmni2Configuration: Sendable, Equatable {
  /// Audio layers: one coarse, two middle and four fine codes a frame.
  public static let audioLayers = 7
  /// What a frame of audio lasts: 2048 samples at 24 kHz.
  public static let secondsPerFrame = 2048.0 / 24_000
  /// Ids at the end of the text vocabulary, and of each audio layer's, that stand for no token and no code.
  static let reservedIDs = 64

  /// The adapters' form, `asr_adapter`.
  public enum AdapterForm: String, Sendable {
    /// `proj(silu(fc_1 x) * fc_2 x)`, without biases.
    case gated = "llamamlp"
    /// One matrix and a bias.
    case linear = "mlp"
  }

  public var layers: Int
  /// Floats of a hidden state.
  public var width: Int
  public var heads: Int
  /// Heads of keys and values: query groups.
  public var keyHeads: Int
  public var headWidth: Int
  public var feedForwardWidth: Int
  public var epsilon: Float
  public var rotaryBase: Float
  /// The longest sequence, prompt included.
  public var context: Int
  /// Text ids and, behind them, seven audio layers': rows of the embedding and of the head.
  public var vocabularySize: Int
  public var textVocabularySize: Int
  /// Of one audio layer.
  public var audioVocabularySize: Int
  /// Floats of a speech feature, which is Whisper's width.
  public var speechWidth: Int
  /// Floats of a picture's feature, which is the width of CLIP's projection.
  public var visionWidth: Int
  public var adapterForm: AdapterForm
  /// Whether queries, keys and values have biases.
  public var hasAttentionBias: Bool

  /// Codes of a codebook.
  public var codebookSize: Int { audioVocabularySize - Self.reservedIDs }

  /// Heads of queries that share one of keys and values.
  var groupHeads: Int { heads / keyHeads }
  /// Rows of a layer's query, key and value matrix.
  var attentionRows: Int { (heads + 2 * keyHeads) * headWidth }
}

/// The ids that mean something to Mini-Omni2 besides tokens and codes.
///
/// The configuration names none: they are the first of the reserved ids at the end of each vocabulary, which in the
/// release are 151936 and 4096.
public struct MiniOmni2IDs: Sendable, Equatable {
  /// Of the text layer.
  public let endOfText, padText, inputText, answerText, transcribe: Int32
  /// What a row that listens says, of the text layer too: `irq`, that a command was spoken, and `n-irq`, that none was. The
  /// paper (section 3.4) names them and the release has none: this project's models say them by the ids behind the
  /// release's.
  public let interrupt, noInterrupt: Int32
  /// Of an audio layer, counted within the layer.
  public let endOfAudio, padAudio, inputAudio, answerAudio, image, endOfImage: Int32

  public init(_ configuration: MiniOmni2Configuration) {
    let text = Int32(configuration.textVocabularySize - MiniOmni2Configuration.reservedIDs)
    (endOfText, padText, inputText, answerText, transcribe) = (text, text + 1, text + 2, text + 3, text + 4)
    (interrupt, noInterrupt) = (text + 5, text + 6)
    let audio = Int32(configuration.codebookSize)
    (endOfAudio, padAudio, inputAudio, answerAudio) = (audio, audio + 1, audio + 2, audio + 3)
    // Id 4 of an audio layer is "split", which nothing uses.
    (image, endOfImage) = (audio + 5, audio + 6)
  }
}

// MARK: Reading

extension MiniOmni2Configuration {
  /// The file of a release's folder.
  package static let file = "model_config.yaml"

  /// Reads `model_config.yaml` of a release's folder.
  ///
  /// - Throws: ``ModelError`` for a file that cannot be read, or that describes a model that this code does not compute.
  package init(folder: String) throws(ModelError) {
    let file = try FlatYAML(path: folder + "/" + Self.file)
    let mostWidth = 1...Linear.mostInputs
    layers = try file.integer("n_layer", in: 1...1024)
    width = try file.integer("n_embd", in: mostWidth)
    heads = try file.integer("n_head", in: 1...1024)
    keyHeads = try file.integer("n_query_groups", in: 1...heads, default: heads)
    headWidth = try file.integer("head_size", in: 2...1024, default: max(2, width / heads))
    feedForwardWidth = try file.integer("intermediate_size", in: mostWidth)
    context = try file.integer("block_size", in: 16...1 << 20)
    textVocabularySize = try file.integer("text_vocab_size", in: Self.reservedIDs + 1...1 << 24)
    audioVocabularySize = try file.integer("audio_vocab_size", in: Self.reservedIDs + 1...1 << 20)
    vocabularySize = textVocabularySize + Self.audioLayers * audioVocabularySize
    _ = try file.integer("padded_vocab_size", in: vocabularySize...vocabularySize)
    speechWidth = try file.integer("whisper_adapter_dim", in: mostWidth)
    visionWidth = try file.integer("vision_adapter_dim", in: mostWidth, default: 512)
    epsilon = Float(try file.number("norm_eps", default: 1e-6))
    rotaryBase = Float(try file.number("rope_base", default: 1_000_000))
    hasAttentionBias = try file.word("add_qkv_bias", default: "true") == "true"
    let form = try file.word("asr_adapter", default: AdapterForm.gated.rawValue)
    guard let known = AdapterForm(rawValue: form) else {
      throw file.fault("asr_adapter", expected: "llamamlp or mlp", found: form)
    }
    adapterForm = known

    guard heads % keyHeads == 0, headWidth % 2 == 0, heads * headWidth <= Linear.mostInputs else {
      throw file.fault(
        "n_head", expected: "heads that divide among groups, of an even size",
        found: "\(heads) of \(headWidth) in \(keyHeads) groups")
    }
    guard epsilon >= 0, epsilon < 1, rotaryBase > 1, rotaryBase.isFinite else {
      throw file.fault(
        "norm_eps", expected: "a small number, and rope_base above 1", found: "\(epsilon), \(rotaryBase)")
    }
    // What else litgpt's configurations can express and the release does not use.
    for (key, value) in [
      ("norm_class_name", "RMSNorm"), ("mlp_class_name", "LLaMAMLP"), ("bias", "false"), ("lm_head_bias", "false"),
      ("parallel_residual", "false"), ("shared_attention_norm", "false"), ("scale_embeddings", "false"),
      ("post_adapter", "false"), ("n_expert", "0"), ("pos_type", "rope"),
    ] {
      let found = try file.word(key, default: value)
      guard found == value else { throw file.fault(key, expected: value, found: found) }
    }
    for key in ["rotary_percentage", "rope_condense_ratio"] {
      let found = try file.number(key, default: 1)
      guard found == 1 else { throw file.fault(key, expected: "1", found: "\(found)") }
    }
  }
}

/// The scalars at the top of a YAML file.
private struct FlatYAML {
  let path: String
  private var values: [String: String] = [:]

  private static let mostBytes = 1 << 16

  init(path: String) throws(ModelError) {
    self.path = path
    let bytes = try Bytes.ofModel(path)
    guard bytes.count <= Self.mostBytes else {
      throw ModelError(file: path, .tooLarge(found: UInt64(bytes.count), most: UInt64(Self.mostBytes)))
    }
    let text = String(decoding: UnsafeRawBufferPointer(start: bytes.start, count: bytes.count), as: UTF8.self)
    // Aliases could make a few bytes stand for a tree of any size.
    var before: Character = " "
    for character in text {
      if "&*!?".contains(character), before.isWhitespace || "[{,:".contains(before) {
        throw ModelError(file: path, .refused("'\(character)', an anchor, alias, tag or complex key,"))
      }
      before = character
    }
    let root: Node?
    do {
      root = try Parser(yaml: text, resolver: .basic, encoding: .utf8).singleRoot()
    } catch {
      throw ModelError(file: path, .invalid("this is not YAML"))
    }
    guard case .mapping(let mapping)? = root else {
      throw ModelError(file: path, .unexpected(expected: "a mapping", found: "something else"))
    }
    for (key, value) in mapping {
      if case .scalar(let name) = key, case .scalar(let scalar) = value { values[name.string] = scalar.string }
    }
  }

  func fault(_ key: String, expected: String, found: String) -> ModelError {
    ModelError(file: path, part: key, .unexpected(expected: expected, found: found))
  }

  /// The text of a scalar; `null` stands for one that is not there.
  private func text(_ key: String) -> String? { values[key].flatMap { ["null", "~", ""].contains($0) ? nil : $0 } }

  func word(_ key: String, default fallback: String) throws(ModelError) -> String { text(key) ?? fallback }

  func integer(
    _ key: String, in range: ClosedRange<Int>, default fallback: Int? = nil
  ) throws(ModelError) -> Int {
    guard let text = text(key) ?? fallback.map(String.init) else { throw ModelError(file: path, part: key, .missing) }
    guard let value = Int(text), range.contains(value) else {
      let expected =
        range.count == 1 ? "\(range.lowerBound)" : "an integer from \(range.lowerBound) to \(range.upperBound)"
      throw fault(key, expected: expected, found: text)
    }
    return value
  }

  func number(_ key: String, default fallback: Double) throws(ModelError) -> Double {
    guard let text = text(key) else { return fallback }
    guard let value = Double(text), value.isFinite else { throw fault(key, expected: "a number", found: text) }
    return value
  }
}
