import Adapter
import Dataflow
import DataflowRuntime
import DataflowTesting
import Messages
import Parity
import Testing
import VisionEncoder
import WhisperEncoder

/// Ears and eyes as nodes, whichever way their messages come and go.
@Suite struct EncoderNodeTests {
  private static let model = ParameterValue.string(Goldens.shippedRelease)
  /// The goldens are 32-bit computations.
  private static let exact = ["model": model, "weights": .string("stored")]

  /// Sends a turn through a node, and gives what comes out.
  private func answer<N: Node>(
    _ type: N.Type, _ parameters: [String: ParameterValue] = [:], to values: [any Message], at input: String,
    from output: String, over carrier: Carrier = .direct
  ) async throws -> [Features] {
    var features: [Features] = []
    try await withNode(type, parameters: parameters.merging(Self.exact) { own, _ in own }, over: carrier) { node in
      let session = try await node.beginSession("a")
      let turn = try await node.beginTurn(in: session)
      for value in values { try await node.send(value, to: input, turn: turn) }
      node.endTurn(turn)
      node.endSession(session)
      features = try await node.turn(Features.self, from: output)
    }
    return features
  }

  /// How a turn ends in which a node gets something that it cannot use.
  private func outcome<N: Node>(
    _ type: N.Type, _ parameters: [String: ParameterValue] = [:], of value: any Message, at input: String
  ) async throws -> String {
    var outcome = ""
    try await withNode(type, parameters: parameters.merging(Self.exact) { own, _ in own }) { node in
      let session = try await node.beginSession("a")
      let turn = try await node.beginTurn(in: session)
      try await node.send(value, to: input, turn: turn)
      node.endTurn(turn)
      node.endSession(session)
      while node.turns.isEmpty { await Task.yield() }
      outcome = "\(node.turns[0].outcome)"
    }
    return outcome
  }

  private func photograph() throws -> ImageFrame {
    let (shape, values) = try Goldens.tensor("picture.jpg.decoded", in: "vision.safetensors")
    return ImageFrame(pixels: SharedBuffer(values.map { UInt8($0) }), width: shape[1], height: shape[0])
  }

  /// Spoken question 5, a tenth of a second at a time.
  private func question() throws -> [AudioChunk] {
    let samples = try Goldens.tensor("samples", in: "speech.safetensors").values.map { $0 / 32_768 }
    return stride(from: 0, to: samples.count, by: 1_600).map {
      AudioChunk(samples: SharedBuffer(samples[$0..<min($0 + 1_600, samples.count)]), rate: 16_000)
    }
  }

  private let exactly: [String: ParameterValue] = ["rows": .string("heard"), "padding": .string("silence")]

  @Test(arguments: Carrier.allCases) func aPictureBecomesAFeatureForEachToken(over carrier: Carrier) async throws {
    let features = try await answer(
      VisionEncoderNode.self, to: [try photograph()], at: "image", from: "features", over: carrier)
    let expected = try Goldens.tensor("picture.jpg.encoder", in: "vision.safetensors")
    try #require(features.count == 1)
    #expect([features[0].rows, features[0].dim] == expected.shape)
    #expect(relativeError(features[0].values, expected.values) < 1e-4)
  }

  @Test(arguments: Carrier.allCases) func whatWasHeardBecomesFeatures(over carrier: Carrier) async throws {
    let features = try await answer(
      WhisperEncoderNode.self, exactly, to: try question(), at: "audio", from: "features", over: carrier)
    let expected = try Goldens.tensor("encoder", in: "speech.safetensors").values
    try #require(features.count == 1)
    #expect((features[0].rows, features[0].dim) == (21, 48))
    #expect(relativeError(features[0].values, expected.prefix(21 * 48)) < 1e-4)
  }

  @Test func encodingAheadChangesNothing() async throws {
    let (question, pause) = (try question(), AudioChunk(samples: SharedBuffer([]), rate: 16_000))
    func features(_ values: [any Message], _ ahead: Bool) async throws -> [[Float]] {
      let parameters = exactly.merging(["ahead": .bool(ahead)]) { $1 }
      return try await answer(WhisperEncoderNode.self, parameters, to: values, at: "audio", from: "features")
        .map { Array($0.values) }
    }
    let plain = try await features(question, false)
    #expect(plain.count == 1)
    #expect(try await features(question + [pause], true) == plain)
    #expect(try await features([pause] + question.prefix(2) + [pause, pause] + question.dropFirst(2), true) == plain)
    #expect(try await features(question + [pause], false) == plain)
  }

  @Test func whatIsEncodedAheadIsThereWhenTheTurnEnds() async throws {
    let pause = AudioChunk(samples: SharedBuffer([]), rate: 16_000)
    try await withNode(WhisperEncoderNode.self, parameters: exactly.merging(Self.exact) { $1 }) { node in
      let (first, second) = (try await node.beginSession("a"), try await node.beginSession("b"))
      let turns = (try await node.beginTurn(in: first), try await node.beginTurn(in: second))
      for chunk in try question() { try await node.send(chunk, to: "audio", turn: turns.0) }
      // One session pauses, the other asks, is answered, and then the first has ended.
      try await node.send(pause, to: "audio", turn: turns.0)
      for chunk in try question() + [pause] { try await node.send(chunk, to: "audio", turn: turns.1) }
      node.endTurn(turns.1)
      node.endSession(second)
      node.endTurn(turns.0)
      node.endSession(first)
      let features = try await node.turn(Features.self, from: "features") + node.turn(Features.self, from: "features")
      #expect(features.count == 2)
      #expect(Array(features[0].values) == Array(features[1].values))
    }
  }

  @Test(arguments: Carrier.allCases) func featuresComeToTheModelsWidth(over carrier: Carrier) async throws {
    let encoded = try Goldens.tensor("encoder", in: "speech.safetensors").values.prefix(21 * 48)
    let speech = try await answer(
      AdapterNode.self, to: [Features(values: SharedBuffer(encoded), rows: 21, dim: 48)], at: "features",
      from: "adapted", over: carrier)
    let expected = try Goldens.tensor("adapter", in: "speech.safetensors")
    try #require(speech.count == 1)
    #expect([speech[0].rows, speech[0].dim] == expected.shape)
    #expect(relativeError(speech[0].values, expected.values) < 1e-4)

    let seen = try Goldens.tensor("picture.png.encoder", in: "vision.safetensors").values
    let vision = try await answer(
      AdapterNode.self, ["modality": .string("vision")],
      to: [Features(values: SharedBuffer(seen), rows: 50, dim: 32)], at: "features", from: "adapted", over: carrier)
    try #require(vision.count == 1)
    #expect(
      relativeError(vision[0].values, try Goldens.tensor("picture.png.adapter", in: "vision.safetensors").values) < 1e-4
    )
  }

  // Random weights, which 4 bits suit worse than trained ones.
  @Test(arguments: [("f32", 1e-4 as Float), ("bf16", 0.03), ("int8", 0.1), ("int4", 0.7)])
  func weightsAreKeptAsAsked(precision: String, bound: Float) async throws {
    let kept: [String: ParameterValue] = ["weights": .string(precision)]
    let heard = try await answer(
      WhisperEncoderNode.self, exactly.merging(kept) { $1 }, to: try question(), at: "audio", from: "features")
    let seen = try await answer(VisionEncoderNode.self, kept, to: [try photograph()], at: "image", from: "features")
    let encoded = try Goldens.tensor("picture.png.encoder", in: "vision.safetensors").values
    let adapted = try await answer(
      AdapterNode.self, kept.merging(["modality": .string("vision")]) { $1 },
      to: [Features(values: SharedBuffer(encoded), rows: 50, dim: 32)], at: "features", from: "adapted")
    for (found, name, file) in [
      (heard, "encoder", "speech"), (seen, "picture.jpg.encoder", "vision"), (adapted, "picture.png.adapter", "vision"),
    ] {
      let values = try #require(found.first).values
      let expected = try Goldens.tensor(name, in: "\(file).safetensors").values
      let error = relativeError(values, expected.prefix(values.count))
      #expect(error <= bound && (precision == "f32" || error > 1e-6), "\(name): \(error)")
    }
  }

  // MARK: How Whisper hears

  @Test func aWindowHasAllRowsUnlessTold() async throws {
    let whole = try await answer(
      WhisperEncoderNode.self, ["padding": .string("silence")], to: try question(), at: "audio", from: "features")
    #expect(whole.map(\.rows) == [1_500])
    let expected = try Goldens.tensor("encoder", in: "speech.safetensors").values
    #expect(relativeError(whole[0].values, expected) < 1e-4)
    let otherwise = try await answer(WhisperEncoderNode.self, to: try question(), at: "audio", from: "features")
    #expect(relativeError(otherwise[0].values, expected) > 1e-3, "zeros are not silence")
  }

  @Test func tightIsAnotherEncodingOfTheSameRows() async throws {
    var parameters = exactly
    parameters["encode"] = .string("tight")
    let tight = try await answer(
      WhisperEncoderNode.self, parameters, to: try question(), at: "audio", from: "features")
    let padded = try await answer(WhisperEncoderNode.self, exactly, to: try question(), at: "audio", from: "features")
    #expect(tight.map(\.rows) == [21])
    #expect(relativeError(tight[0].values, padded[0].values) > 1e-3)
  }

  @Test(arguments: [480_000, 480_001, 500_000, 1_000_000])
  func ofLongSpeechTheFirstWindowIsHeard(count: Int) async throws {
    let sound = (0..<count).map { Float($0 % 200) / 400 }
    let chunks = stride(from: 0, to: count, by: 50_000).map {
      AudioChunk(samples: SharedBuffer(sound[$0..<min($0 + 50_000, count)]), rate: 16_000)
    }
    let heard = try await answer(WhisperEncoderNode.self, exactly, to: chunks, at: "audio", from: "features")
    #expect(heard.map(\.rows) == [1_500])
  }

  @Test func longSpeechComesInWindowsUnlessTold() async throws {
    let sound = AudioChunk(samples: SharedBuffer([Float](repeating: 0.1, count: 500_000)), rate: 16_000)
    let windows = try await answer(WhisperEncoderNode.self, to: [sound], at: "audio", from: "features")
    #expect(windows.map(\.rows) == [1_500, 1_500])
  }

  // MARK: What cannot be used

  @Test func whatDoesNotFitFailsItsTurnAlone() async throws {
    let twoChannels = ImageFrame(pixels: SharedBuffer([1, 2, 3, 4]), width: 2, height: 1, channels: 2)
    let picture = try await outcome(VisionEncoderNode.self, of: twoChannels, at: "image")
    #expect(picture.contains("failed") && picture.contains("1, 3 or 4 channels"), "\(picture)")
    let empty = ImageFrame(pixels: SharedBuffer([]), width: 0, height: 5)
    #expect(try await outcome(VisionEncoderNode.self, of: empty, at: "image").contains("failed"))
    let narrow = Features(values: SharedBuffer([1, 2]), rows: 1, dim: 2)
    let features = try await outcome(AdapterNode.self, of: narrow, at: "features")
    #expect(features.contains("expected features of 48"), "\(features)")
  }

  @Test func aModelThatIsNotThereIsNamed() async throws {
    let parameters: [String: ParameterValue] = ["model": .string("/nonexistent/mini-omni2")]
    for type in [VisionEncoderNode.self, WhisperEncoderNode.self, AdapterNode.self] as [any Node.Type] {
      func start<N: Node>(_ type: N.Type) async throws {
        try await withNode(type, parameters: parameters) { node in _ = try await node.next() }
      }
      do {
        try await start(type)
        Issue.record("\(type.kind) started without a model")
      } catch {
        #expect("\(error)".contains("/nonexistent/mini-omni2"), "\(error)")
      }
    }
  }
}
