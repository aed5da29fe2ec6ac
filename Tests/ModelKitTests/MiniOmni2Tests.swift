import Foundation
import ModelKit
import Parity
import Tensors
import Testing

/// Mini-Omni2's language model on the micro checkpoint against PyTorch.
@Suite struct MiniOmni2Tests {
  private let store = ModelStore()
  private let goldens: Goldens
  private let release: String

  init() throws {
    goldens = try Goldens()
    release = goldens.release
  }

  @Test func theConfigurationIsRead() throws {
    let shape = try MiniOmni2Configuration(folder: release)
    #expect(shape.layers == 2 && shape.width == 64 && shape.heads == 4 && shape.keyHeads == 2)
    #expect(shape.headWidth == 16 && shape.feedForwardWidth == 160 && shape.context == 256)
    #expect(shape.vocabularySize == 1280 && shape.codebookSize == 64)
    let (ids, expected) = (MiniOmni2IDs(shape), goldens.manifest.ids)
    #expect(
      [ids.endOfText, ids.padText, ids.inputText, ids.answerText, ids.transcribe]
        == ["eot", "pad", "input", "answer", "asr"].map { expected.text[$0] })
    #expect(
      [ids.endOfAudio, ids.padAudio, ids.inputAudio, ids.answerAudio, ids.image, ids.endOfImage]
        == ["eoa", "pad", "input", "answer", "image", "eoimage"].map { expected.audio[$0] })
    #expect(expected.codes == shape.codebookSize)
    #expect([ids.interrupt, ids.noInterrupt] == [ids.transcribe + 1, ids.transcribe + 2])
  }

  @Test(arguments: [
    ("n_layer: 2", "n_layer: 0", "n_layer: expected an integer from 1 to 1024, found 0"),
    ("n_layer: 2\n", "", "n_layer: missing"),
    ("n_head: 4", "n_head: 3", "n_head: expected heads that divide among groups"),
    ("padded_vocab_size: 1280", "padded_vocab_size: 1281", "padded_vocab_size: expected 1280, found 1281"),
    ("asr_adapter: llamamlp", "asr_adapter: conv", "asr_adapter: expected llamamlp or mlp, found conv"),
    ("post_adapter: false", "post_adapter: true", "post_adapter: expected false, found true"),
    ("norm_eps: 1.0e-06", "norm_eps: .nan", "norm_eps: expected a number, found .nan"),
    ("n_layer: 2", "n_layer: *a", "'*', an anchor, alias, tag or complex key, is refused"),
    ("n_layer: 2", "n_layer: [", "this is not YAML"),
  ])
  func aWrongConfigurationIsNamed(old: String, new: String, message: String) throws {
    let text = try String(contentsOfFile: release + "/model_config.yaml", encoding: .utf8)
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("antiphon-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try text.replacingOccurrences(of: old, with: new).write(
      to: folder.appendingPathComponent("model_config.yaml"), atomically: true, encoding: .utf8)
    let error = try #require(throws: ModelError.self) { try MiniOmni2Configuration(folder: folder.path) }
    #expect(error.description.contains(message), "\(error)")
  }

  @Test func theTokenizerAgrees() throws {
    let tokenizer = try store.tokenizer(at: release + "/tokenizer.json")
    for text in goldens.manifest.tokenizer {
      #expect(tokenizer.encode(text.text, specials: .parse) == text.ids, "\(text.text)")
      #expect(tokenizer.decode(text.ids) == text.decoded)
    }
  }

  @Test func theCheckpointLacksNothing() throws {
    let checkpoint = try Checkpoints.open(release + "/lit_model.pth")
    let needs = try #require(try CheckpointNeeds.of(kind: "llm-step", for: checkpoint))
    #expect(try needs.differences(checkpoint) == CheckpointNeeds.Differences())
  }

  // MARK: Layers

  /// Every state and logit along an answer: max |a - b| / max |b| below 1e-4.
  @Test(arguments: [("speech", "a1a2.5"), ("image", "image-a1a2.0")])
  func everyStateAndLogitAgrees(name: String, answer: String) throws {
    let worst = try OmniCases(goldens, store: store).teacherForced(name, case: answer)
    #expect(worst.states < 1e-4 && worst.logits < 1e-4, "\(worst)")
  }

  @Test(arguments: [("speech", "a1a2.5"), ("image", "image-a1a2.0")])
  func thePromptsEmbeddingsAgree(name: String, answer: String) throws {
    let cases = try OmniCases(goldens, store: store)
    let (shared, last) = try cases.model.embedding.embed(try cases.prompt(answer))
    let expected = try goldens.tensors("language").floats("\(name).input")
    let row = shared.values + last.row(0)
    #expect(relativeError(row, expected.prefix(row.count)) < 1e-4)
    #expect(relativeError(last.row(1), expected.suffix(last.columns)) < 1e-4)
  }

  // MARK: Answers

  @Test func promptsAndTokensAreTheReferences() throws {
    let (cases, answers) = (try OmniCases(goldens, store: store), try goldens.tensors("answers"))
    #expect(goldens.manifest.answers.count > 50)
    for entry in goldens.manifest.answers {
      let prompt = try cases.prompt(entry.name)
      #expect(try cases.models.globalIDs(prompt) == answers.integers("\(entry.name).prompt"), "\(entry.name)")
      let speaks = OmniCases.task(entry.name).speaks
      let answer = try cases.answer(prompt, speaks: speaks, limit: entry.limit)
      #expect(try answer.columns == OmniCases.columns(answers.matrix("\(entry.name).tokens")), "\(entry.name)")
      #expect(answer.text == entry.text, "\(entry.name)")
      #expect(answer.frames.count == entry.frames ?? 0 && answer.wrongCodes == 0, "\(entry.name)")
    }
  }

  /// The decode that computes only what is needed against the plain form: both rows to the end, every head of each.
  @Test(arguments: 0..<20)
  func leavingOutWhatNothingNeedsChangesNoToken(seed: Int) throws {
    let cases = try OmniCases(goldens, store: store)
    let prompt = try cases.prompt("a1a2.\(seed)")
    let plain = try cases.plainAnswer(prompt)
    #expect(plain.count > 10)
    #expect(try cases.answer(prompt, speaks: true).columns == plain)
  }

  /// Five sessions of two rows, at different positions, together and each alone.
  @Test(arguments: WeightPrecision.allCases)
  func whatASessionGetsDoesNotDependOnTheOthers(precision: WeightPrecision) throws {
    let model = try store.miniOmni2(at: release, weights: precision)
    let runner = MiniOmni2Runner(model)
    let head = MiniOmni2HeadRunner(try store.miniOmni2Head(at: release, weights: precision))
    func caches() throws -> [KVCache] {
      try (0..<10).map { row in
        let question = (0..<(row / 2 * 5)).map { Int32($0 + row / 2) }
        let (shared, _) = try model.embedding.embed(
          MiniOmni2Prompt(.t1t2, question: question, ids: model.embedding.ids))
        let cache = try KVCache(model)
        _ = try runner.forward(shared, cache: cache)
        return cache
      }
    }
    let (together, alone) = (try caches(), try caches())
    var input = Matrix(rows: 10, columns: model.configuration.width)
    for step in 0..<4 {
      for row in 0..<10 {
        let audio = (0..<7).map { Int32(($0 * 3 + row / 2 + step) % 60) }
        try model.embedding.embed(
          audio: row % 2 == 0 ? audio[...] : nil, text: Int32(row / 2 + step), into: &input, row: row)
      }
      let states = try runner.step(input, caches: together)
      head.removeAll()
      var answers = (0..<5).map { _ in MiniOmni2Answer(model.embedding.ids, speaks: true) }
      let needs = try states.values.withUnsafeBufferPointer { values in
        try answers.enumerated().map { index, answer in
          let size = 2 * states.columns
          return try answer.ask(UnsafeBufferPointer(rebasing: values[index * size..<(index + 1) * size]), rows: 2, head)
        }
      }
      head.compute()
      for index in answers.indices { _ = answers[index].choose(needs[index], head) }
      for index in answers.indices {
        let rows = Array(input.row(2 * index) + input.row(2 * index + 1))
        let own = try #require(Matrix(rows: 2, columns: input.columns, values: rows))
        let state = try runner.step(own, caches: Array(alone[2 * index...2 * index + 1]))
        #expect(state.values == Array(states.row(2 * index) + states.row(2 * index + 1)), "session \(index)")
        var answer = MiniOmni2Answer(model.embedding.ids, speaks: true)
        _ = try answer.choose(state, head)
        #expect(answer.tokens == answers[index].tokens)
      }
    }
  }

  @Test func idsThatAreNoCodesDoNotReachTheCodec() throws {
    let cases = try OmniCases(goldens, store: store)
    let ids = cases.model.embedding.ids
    var answer = MiniOmni2Answer(ids, speaks: true)
    var frames: [[Int32]] = []
    for position in 0..<12 {
      // Layer 2 says pad where its codes of frames 1 and 3 stand, and before any of its codes.
      let second: Int32 = [0, 4, 6].contains(position) ? ids.padAudio : Int32(position)
      if answer.advance([1, 1, second, 1, 1, 1, 1, 5]).hasFrame { frames.append(answer.frame) }
    }
    #expect(frames.map { $0[2] } == [3, 3, 5, 5, 7])
    #expect(answer.wrongCodes == 2)
  }

  @Test func anAnswerMayEndBeforeItHasBegun() throws {
    let ids = try OmniCases(goldens, store: store).model.embedding.ids
    var spoken = MiniOmni2Answer(ids, speaks: true)
    let step = spoken.advance([0, 0, 0, 0, 0, 0, ids.endOfAudio, 5])
    #expect(step.word == nil && !step.hasFrame && step.isLast)
    #expect(spoken.positions == 0 && spoken.frames == 0)
    var written = MiniOmni2Answer(ids, speaks: false)
    let end = written.advance([ids.endOfText])
    #expect(end.word == nil && end.isLast)
  }

  @Test(arguments: ["lit_model.pth", "model_config.yaml"]) func aSpoiltReleaseDoesNoHarm(spoilt: String) throws {
    let names = ["lit_model.pth", "model_config.yaml", "tokenizer.json"]
    var files: [String: [UInt8]] = [:]
    for name in names { files[name] = Array(try Data(contentsOf: URL(fileURLWithPath: "\(release)/\(name)"))) }
    let whole = try #require(files[spoilt])
    try Fixtures.hostileVariants(of: whole, seed: 23) { bytes in
      files[spoilt] = bytes
      do {
        try withFolder(files) { folder in
          let model = try ModelStore().miniOmni2(at: folder)
          _ = MiniOmni2HeadRunner(try ModelStore().miniOmni2Head(at: folder))
          _ = MiniOmni2Runner(model)
        }
      } catch is ModelError {}
    }
  }

  // The file's matrices are bf16. Products of bf16 round what goes in, 8 bits lose about 1/256 of a block's greatest
  // number of both, 4 bits 1/16 of the weights' (random ones: trained ones are measured by tools/bench quality).
  @Test(arguments: [(WeightPrecision.f32, 1e-5 as Float), (.bf16, 0.02), (.int8, 0.05), (.int4, 0.5)])
  func weightsAreKeptAsAsked(precision: WeightPrecision, bound: Float) throws {
    let cases = try OmniCases(goldens, store: store)
    let plain = cases.model
    let kept = try store.miniOmni2(at: goldens.release, weights: precision)
    #expect(kept !== plain)
    let again = try store.miniOmni2(at: goldens.release, weights: precision)
    #expect(kept === again)
    #expect(kept.embedding === plain.embedding)
    let (shared, _) = try plain.embedding.embed(try cases.prompt("a1a2.0"))
    let expected = try MiniOmni2Runner(plain).forward(shared, cache: KVCache(plain)).values
    let found = try MiniOmni2Runner(kept).forward(shared, cache: KVCache(kept)).values
    #expect(relativeError(found, expected) < bound)
    #expect(precision.tiles == nil || found != expected)
  }
}
