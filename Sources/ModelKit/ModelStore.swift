internal import Synchronization
internal import Tensors

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Darwin)
  internal import Darwin
#endif

/// Loads each model once, however many nodes share it, and forgets it when the last one lets go.
///
/// Callers that ask for a model while it loads wait for that load. When it fails or is cancelled, those who wait try
/// themselves, so that each gets the model or an error of its own.
public final class ModelStore: Sendable {
  /// The process's store.
  public static let shared = ModelStore()

  private enum Entry {
    case loading
    case loaded(Weak)
  }
  private enum Step<Model> {
    case use(Model)
    case wait
    case load
  }
  private struct Weak {
    weak var model: (any AnyObject & Sendable)?
  }
  private let entries = Mutex<[String: Entry]>([:])

  public init() {}

  /// The language model in a GGUF file, or in a folder that holds `model.gguf`, its matrices kept as `weights` says.
  ///
  /// - Throws: ``ModelError``; `ComputeError` for a wrong `ANTIPHON_CPU`; what `checkCancelled` throws.
  public func causalLM(
    at path: String, weights: WeightPrecision = .stored, checkCancelled: CancellationCheck = {}
  ) throws -> CausalLM {
    try load(ModelFolder.languageModelFile(path), variant: weights.rawValue, checkCancelled) {
      try CausalLM(gguf: $0, precision: weights, checkCancelled: checkCancelled)
    }
  }

  /// The Whisper encoder in a file of CTranslate2's or openai-whisper's, or in a folder that holds one.
  ///
  /// - Throws: ``ModelError``; `ComputeError` for a wrong `ANTIPHON_CPU`; what `checkCancelled` throws.
  public func whisperEncoder(
    at path: String, weights: WeightPrecision = .stored, checkCancelled: CancellationCheck = {}
  ) throws -> WhisperEncoderModel {
    try load(ModelFolder.whisperFile(path), variant: weights.rawValue, checkCancelled) {
      try WhisperEncoderModel(file: $0, precision: weights, checkCancelled: checkCancelled)
    }
  }

  /// The Whisper decoder in a folder with `model.bin`, `tokenizer.json` and `config.json`.
  ///
  /// - Throws: ``ModelError``; `ComputeError` for a wrong `ANTIPHON_CPU`; what `checkCancelled` throws.
  public func whisperDecoder(
    at directory: String, checkCancelled: CancellationCheck = {}
  ) throws -> WhisperDecoderModel {
    try load(directory, checkCancelled) { try WhisperDecoderModel(directory: $0, checkCancelled: checkCancelled) }
  }

  /// CLIP's vision transformer in one of OpenAI's archives, or in a folder that holds one, such as `ViT-B-32.pt`.
  ///
  /// - Throws: ``ModelError``; `ComputeError` for a wrong `ANTIPHON_CPU`; what `checkCancelled` throws.
  public func clip(
    at path: String, weights: WeightPrecision = .stored, checkCancelled: CancellationCheck = {}
  ) throws -> ClipModel {
    try load(ModelFolder.clipFile(path), variant: weights.rawValue, checkCancelled) {
      try ClipModel(file: $0, precision: weights, checkCancelled: checkCancelled)
    }
  }

  /// The adapters in the folder of a Mini-Omni2 release.
  ///
  /// - Throws: ``ModelError``; `ComputeError` for a wrong `ANTIPHON_CPU`; what `checkCancelled` throws.
  public func adapters(
    at folder: String, weights: WeightPrecision = .stored, checkCancelled: CancellationCheck = {}
  ) throws -> MiniOmni2Adapters {
    try load(folder, variant: weights.rawValue, checkCancelled) {
      try MiniOmni2Adapters(folder: $0, precision: weights, checkCancelled: checkCancelled)
    }
  }

  /// The language model of the Mini-Omni2 release in a folder, its matrices kept as `weights` says.
  ///
  /// - Throws: ``ModelError``; `ComputeError` for a wrong `ANTIPHON_CPU`; what `checkCancelled` throws.
  public func miniOmni2(
    at folder: String, weights: WeightPrecision = .stored, checkCancelled: CancellationCheck = {}
  ) throws -> MiniOmni2 {
    let embedding = try miniOmni2Embedding(at: folder, checkCancelled: checkCancelled)
    return try load(folder, variant: weights.rawValue, checkCancelled) {
      try MiniOmni2(
        embedding: embedding, weights: MiniOmni2Weights(folder: $0, checkCancelled: checkCancelled), precision: weights,
        checkCancelled: checkCancelled)
    }
  }

  /// The embedding of the Mini-Omni2 release in a folder.
  ///
  /// - Throws: what ``miniOmni2(at:weights:checkCancelled:)`` throws.
  public func miniOmni2Embedding(
    at folder: String, checkCancelled: CancellationCheck = {}
  ) throws -> MiniOmni2Embedding {
    try load(folder, checkCancelled) {
      let weights = try MiniOmni2Weights(folder: $0, checkCancelled: checkCancelled)
      return MiniOmni2Embedding(weights.configuration, try weights.embedding())
    }
  }

  /// The head of the Mini-Omni2 release in a folder, its matrix kept as `weights` says.
  ///
  /// - Throws: what ``miniOmni2(at:weights:checkCancelled:)`` throws.
  public func miniOmni2Head(
    at folder: String, weights: WeightPrecision = .stored, checkCancelled: CancellationCheck = {}
  ) throws -> MiniOmni2Head {
    try load(folder, variant: weights.rawValue, checkCancelled) {
      try Compute.check()
      let file = try MiniOmni2Weights(folder: $0, checkCancelled: checkCancelled)
      let keeper = WeightKeeper(weights, file: file.path, part: "head")
      defer { keeper.finish() }
      return MiniOmni2Head(file.configuration, try keeper.keep(file.head()))
    }
  }

  /// The tokenizer in a `tokenizer.json`.
  ///
  /// - Throws: ``ModelError``, or what `checkCancelled` throws.
  public func tokenizer(at path: String, checkCancelled: CancellationCheck = {}) throws -> Tokenizer {
    try load(path, checkCancelled) { try Tokenizer(json: $0, checkCancelled: checkCancelled) }
  }

  /// The SNAC codec in a folder with `config.json` and `pytorch_model.bin` or `model.safetensors`.
  ///
  /// - Throws: ``ModelError``; `ComputeError` for a wrong `ANTIPHON_CPU`; what `checkCancelled` throws.
  public func snac(at directory: String, checkCancelled: CancellationCheck = {}) throws -> SnacModel {
    try load(directory, checkCancelled) { try SnacModel(directory: $0, checkCancelled: checkCancelled) }
  }

  /// Silero's voice activity detector in an ONNX file, or in a folder that holds `model.onnx`.
  ///
  /// - Throws: ``ModelError``; `ComputeError` for a wrong `ANTIPHON_CPU`; what `checkCancelled` throws.
  public func silero(at path: String, checkCancelled: CancellationCheck = {}) throws -> SileroModel {
    try load(path, checkCancelled) { try SileroModel(path: $0, checkCancelled: checkCancelled) }
  }

  /// The model of this kind at a path: the one in memory, or what `read` makes of the canonical path.
  ///
  /// - Parameter variant: what tells models that are made of the same file in several ways.
  package func load<Model: AnyObject & Sendable>(
    _ path: String, variant: String = "", _ checkCancelled: CancellationCheck, read: (String) throws -> Model
  ) throws -> Model {
    let (canonical, identity) = try Self.resolve(path)
    let key = "\(Model.self) \(variant) \(identity) \(canonical)"
    while true {
      try checkCancelled()
      let step: Step<Model> = entries.withLock { entries in
        switch entries[key] {
        case .loading: return .wait
        case .loaded(let weak):
          if let model = weak.model as? Model { return .use(model) }
        case nil: break
        }
        entries[key] = .loading
        return .load
      }
      switch step {
      case .use(let model): return model
      case .wait: usleep(5_000)  // loads are rare and take far longer; polling lets a waiter be cancelled
      case .load:
        do {
          let model = try read(canonical)
          entries.withLock { $0[key] = .loaded(Weak(model: model)) }
          return model
        } catch {
          entries.withLock { $0[key] = nil }
          throw error
        }
      }
    }
  }

  /// The canonical path, and what tells a replaced file from the one before.
  private static func resolve(_ path: String) throws(ModelError) -> (path: String, identity: String) {
    var status = stat()
    guard let resolved = realpath(path, nil) else {
      throw ModelError(file: path, .cannotOpen(String(cString: strerror(errno))))
    }
    defer { free(resolved) }
    guard stat(resolved, &status) == 0 else {
      throw ModelError(file: path, .cannotOpen(String(cString: strerror(errno))))
    }
    return (String(cString: resolved), "\(status.st_dev):\(status.st_ino)")
  }
}
