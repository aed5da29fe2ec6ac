internal import Tensors

/// What a model's file says of itself before any weight is read, for checks that must be quick.
public enum ModelHeader {
  /// Floats of an encoder feature of the Whisper model of that name or in that folder.
  ///
  /// - Throws: ``ModelError`` when it is not there or cannot be read.
  public static func whisperWidth(_ model: String) throws -> Int {
    let file = try CTranslate2(path: ModelFolder.path(model) + "/model.bin")
    let name = "encoder/conv1/weight"
    let shape = try file.shape(name)
    guard shape.count == 3, shape[0] > 0 else {
      throw ModelError(
        file: file.file, part: name, .unexpected(expected: "[width, bins, 3]", found: "\(shape)"))
    }
    return shape[0]
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
}
