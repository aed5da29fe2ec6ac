internal import Tensors

/// What a model's file says of itself before any weight is read, for checks that must be quick.
public enum ModelHeader {
  /// Floats of an encoder feature of the Whisper model of that name, or in that folder or file.
  ///
  /// - Throws: ``ModelError`` when it is not there or cannot be read.
  public static func whisperWidth(_ model: String) throws -> Int {
    let reader = try WhisperReader(Checkpoints.open(ModelFolder.whisperFile(ModelFolder.path(model))))
    return try reader.shape("\(reader.names.convolution1)\(reader.names.weight)", rank: 3)[0]
  }

  /// Why the Whisper model of that name or in that folder does not serve for a language, by its code; nil if it does.
  ///
  /// - Throws: ``ModelError`` when it is not there or cannot be read.
  public static func refusal(of language: String, by model: String) throws -> String? {
    try refusal(of: language, by: model, thatKnows: WhisperDecoderModel.languages(directory: ModelFolder.path(model)))
  }

  /// The same for a model that is loaded, of which the languages are known.
  public static func refusal(of language: String, by model: String, thatKnows known: [String]) -> String? {
    guard !known.contains(language) else { return nil }
    return "the model \(model) does not know '\(language)'; it knows \(known.joined(separator: ", "))"
  }

  /// Floats of a feature of the CLIP model of that name, or in that folder or file.
  ///
  /// - Throws: ``ModelError`` when it is not there or cannot be read.
  public static func visionWidth(_ model: String) throws -> Int {
    try ClipReader(file: Checkpoints.open(ModelFolder.clipFile(ModelFolder.path(model)))).configuration().features
  }

  /// Floats that an adapter of the Mini-Omni2 of that name or in that folder takes and gives, as its configuration says.
  ///
  /// - Throws: ``ModelError`` when it is not there or cannot be read.
  public static func adapterWidths(
    _ model: String, _ modality: MiniOmni2Adapters.Modality
  ) throws -> (inputs: Int, outputs: Int) {
    let shape = try MiniOmni2Configuration(folder: ModelFolder.path(model))
    return (modality.inputs(shape), shape.width)
  }

  /// Floats of a hidden state of the language model, or Mini-Omni2, of that name, or in that folder or file.
  ///
  /// - Throws: ``ModelError`` when it is not there or cannot be read.
  public static func hiddenWidth(_ model: String) throws -> Int {
    let path = try ModelFolder.path(model)
    if ModelFolder.isMiniOmni2(path) { return try MiniOmni2Configuration(folder: path).width }
    let file = try GGUF(path: ModelFolder.languageModelFile(path))
    return try file.integer("\(file.string("general.architecture")).embedding_length", in: 1...Linear.mostInputs)
  }

  /// The shape of the Mini-Omni2 of that name or in that folder.
  ///
  /// - Throws: ``ModelError`` when it is not there or cannot be read.
  public static func miniOmni2(_ model: String) throws -> MiniOmni2Configuration {
    try MiniOmni2Configuration(folder: ModelFolder.path(model))
  }

  /// The shape of the SNAC codec of that name or in that folder.
  ///
  /// - Throws: ``ModelError`` when it is not there or cannot be read.
  public static func snac(_ model: String) throws -> SnacConfiguration {
    try SnacConfiguration(folder: ModelFolder.path(model))
  }
}
