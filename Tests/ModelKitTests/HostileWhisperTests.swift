import ModelKit
import Tensors
import Testing

/// Whole Whisper models from somebody who means harm: refused with a typed error, or harmless when computed with.
@Suite struct HostileWhisperTests {
  /// Loads the model and computes with it, as the nodes do.
  @discardableResult
  private func use(_ model: SmallWhisper, weights: [UInt8]? = nil) throws -> Transcription {
    try model.withFolder(weights: weights) { folder in
      let encoder = try WhisperEncoder(ModelStore().whisperEncoder(at: folder))
      let decoder = try WhisperDecoder(ModelStore().whisperDecoder(at: folder))
      let mel = Matrix(rows: 2 * SmallWhisper.audioContext, columns: encoder.model.configuration.melBins)
      return try decoder.transcribe(encoder.encode(mel))
    }
  }

  @Test(arguments: [false, true])
  func aSmallModelTranscribes(isMultilingual: Bool) throws {
    let result = try use(SmallWhisper(isMultilingual: isMultilingual))
    #expect(result.tokens.count <= 8)
    #expect(result.averageLogProbability.isFinite)
  }

  @Test(arguments: [1, 2, 3, 4], [false, true])
  func aTextContextThatAPromptFillsIsRefused(context: Int, isMultilingual: Bool) throws {
    let error = try #require(throws: ModelError.self) {
      try use(SmallWhisper(isMultilingual: isMultilingual, textContext: context))
    }
    #expect(error.part == "decoder/position_encodings/encodings")
    #expect(error.description.contains("found \(context)"))
  }

  @Test(arguments: [false, true])
  func theShortestTextContextHoldsPromptAndToken(isMultilingual: Bool) throws {
    #expect(try use(SmallWhisper(isMultilingual: isMultilingual, textContext: 5)).tokens.count <= 2)
  }

  @Test func aMissingTensorIsNamed() throws {
    let whole = SmallWhisper()
    for index in whole.variables.indices {
      var model = whole
      let name = model.variables.remove(at: index).name
      let error = try #require(throws: ModelError.self) { try use(model) }
      // A layer is there if the first of its tensors that is looked for is.
      #expect(name == error.part || error.part.map { name.hasPrefix($0) } == true, "\(name): \(error)")
    }
  }

  @Test func aTensorOfAnotherShapeIsNamed() throws {
    let whole = SmallWhisper()
    for variable in whole.variables where !variable.shape.isEmpty {
      let shapes = variable.shape.indices.map { axis in
        variable.shape.enumerated().map { $0.offset == axis ? $0.element + 1 : $0.element }
      }
      for shape in shapes + [variable.shape + [1], [0]] {
        var model = whole
        model.reshape(variable.name, shape)
        do {
          // Contexts, bins and inner widths are the file's to choose.
          try use(model)
        } catch is ModelError {
        } catch is ModelInputError {
        }
      }
      var model = whole
      model.reshape(variable.name, [0])
      #expect(throws: ModelError.self, "\(variable.name)") { try use(model) }
    }
  }

  @Test(arguments: [
    ("encoder/position_encodings/encodings", [1_501, 8]), ("encoder/position_encodings/encodings", [0, 8]),
    ("decoder/position_encodings/encodings", [70_000, 8]), ("decoder/layer_0/ffn/linear_0/weight", [100_000, 8]),
    ("encoder/layer_0/ffn/linear_0/weight", [0, 8]), ("encoder/conv1/weight", [200_000, 1, 3]),
  ])
  func hugeAndEmptyClaimsAreRefused(name: String, shape: [Int]) throws {
    var model = SmallWhisper()
    model.reshape(name, shape)
    let error = try #require(throws: ModelError.self) { try use(model) }
    #expect(error.part == name || name == "encoder/conv1/weight", "\(error)")
  }

  @Test(arguments: [0, 3, 0xff])
  func headsThatDoNotDivideAreRefused(heads: UInt8) throws {
    for part in ["encoder", "decoder"] {
      var model = SmallWhisper()
      for index in model.variables.indices where model.variables[index].name == "\(part)/num_heads" {
        model.variables[index].bytes = [heads]
      }
      let error = try #require(throws: ModelError.self) { try use(model) }
      #expect(error.part == "\(part)/num_heads")
    }
  }

  @Test func spoiltWeightsDoNoHarm() throws {
    let model = SmallWhisper()
    try Fixtures.hostileVariants(of: model.weights, seed: 11) { bytes in
      do { try use(model, weights: bytes) } catch is ModelError {} catch is ModelInputError {}
    }
  }

  @Test func spoiltTokenizersAndSettingsDoNoHarm() throws {
    let whole = SmallWhisper()
    try Fixtures.hostileVariants(of: Array(whole.tokenizer.utf8), seed: 12) { bytes in
      var model = whole
      model.tokenizer = String(decoding: bytes, as: UTF8.self)
      do { try use(model) } catch is ModelError {} catch is ModelInputError {}
    }
    try Fixtures.hostileVariants(of: Array(whole.config.utf8), seed: 13) { bytes in
      var model = whole
      model.config = String(decoding: bytes, as: UTF8.self)
      do { try use(model) } catch is ModelError {} catch is ModelInputError {}
    }
  }
}
