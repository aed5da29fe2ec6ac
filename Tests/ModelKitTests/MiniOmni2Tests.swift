import Foundation
import ModelKit
import Tensors
import Testing

/// Mini-Omni2's language model on the micro checkpoint against PyTorch.
@Suite struct MiniOmni2Tests {
  private let store = ModelStore()
  private let release = MiniOmni2Goldens.release

  @Test func theConfigurationIsRead() throws {
    let shape = try MiniOmni2Configuration(folder: release)
    #expect(shape.layers == 2 && shape.width == 64 && shape.heads == 4 && shape.keyHeads == 2)
    #expect(shape.headWidth == 16 && shape.feedForwardWidth == 160 && shape.context == 256)
    #expect(shape.vocabularySize == 1280 && shape.codebookSize == 64)
    let (ids, expected) = (MiniOmni2IDs(shape), try MiniOmni2Goldens.manifest.get().ids)
    #expect(
      [ids.endOfText, ids.padText, ids.inputText, ids.answerText, ids.transcribe]
        == ["eot", "pad", "input", "answer", "asr"].map { expected.text[$0] })
    #expect(
      [ids.endOfAudio, ids.padAudio, ids.inputAudio, ids.answerAudio, ids.image, ids.endOfImage]
        == ["eoa", "pad", "input", "answer", "image", "eoimage"].map { expected.audio[$0] })
    #expect(expected.codes == shape.codebookSize)
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
    for text in try MiniOmni2Goldens.manifest.get().tokenizer {
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
    let (goldens, answers) = (try MiniOmni2Goldens.tensors("language"), try MiniOmni2Goldens.tensors("answers"))
    let model = try store.miniOmni2(at: release)
    let head = MiniOmni2HeadRunner(try store.miniOmni2Head(at: release))
    let runner = MiniOmni2Runner(model)
    let expected = try goldens.floats("\(name).input")
    let columns = expected.count / 128
    let shared = try #require(
      Matrix(rows: columns - 1, columns: 64, values: Array(expected[..<((columns - 1) * 64)])))
    let ends = expected[((columns - 1) * 64)..<(columns * 64)] + expected.suffix(64)
    let last = try #require(Matrix(rows: 2, columns: 64, values: Array(ends)))

    let states = try goldens.floats("\(name).states")
    let logits = try goldens.matrix("\(name).logits")
    let tokens = try answers.matrix("\(answer).tokens")
    let speech = try KVCache(model)
    _ = try runner.forward(shared, cache: speech)
    let caches = [speech, try speech.fork()]
    var next = last
    var worst: Float = 0
    for step in 0..<states.count / 128 {
      let hidden = try runner.step(next, caches: caches)
      worst = max(worst, deviation(hidden.values, from: states[(step * 128)..<(step * 128 + 128)]))
      let found = try Array(head.textLogits(hidden, row: 1)) + head.audioLogits(hidden, row: 0).flatMap { Array($0) }
      worst = max(worst, deviation(found, from: logits.row(step)))
      let column = (0..<8).map { Int32(tokens.row($0)[tokens.row($0).startIndex + step]) }
      try model.embedding.embed(audio: column[..<7], text: column[7], into: &next, row: 0)
      try model.embedding.embed(audio: nil, text: column[7], into: &next, row: 1)
    }
    #expect(worst < 1e-4)
  }

  // MARK: Answers

  @Test(
    arguments: try MiniOmni2Goldens.manifest.get().answers.filter { $0.seed == nil && $0.picture == nil }.map(\.name))
  func promptsAndTokensAreTheReferences(name: String) throws {
    let answers = try MiniOmni2Goldens.tensors("answers")
    let entry = try #require(try MiniOmni2Goldens.manifest.get().answers.first { $0.name == name })
    let model = try store.miniOmni2(at: release)
    let prompt = try MiniOmni2Cases.prompt(name, store)
    let found = MiniOmni2Cases.globalIDs(prompt, model.configuration)
    #expect(found == (try answers.integers("\(name).prompt")))

    let answer = try MiniOmni2Cases.answer(prompt, model, store, speaks: MiniOmni2Cases.task(name).speaks, entry.limit)
    #expect(answer.columns == (try MiniOmni2Cases.columns(answers, "\(name).tokens")))
    #expect(answer.text == entry.text)
    #expect(answer.frames == entry.frames ?? 0)
    #expect(answer.wrongCodes == 0)
  }

  /// The decode that computes only what is needed against the plain form: both rows to the end, every head of each.
  @Test(arguments: 0..<5)
  func leavingOutWhatNothingNeedsChangesNoToken(seed: Int) throws {
    let model = try store.miniOmni2(at: release)
    let prompt = MiniOmni2Prompt(.t1a2, question: [Int32(seed), 7, 11], rows: 2, ids: model.embedding.ids)
    let lean = try MiniOmni2Cases.answer(prompt, model, store, speaks: true, nil)

    let (runner, ids) = (MiniOmni2Runner(model), model.embedding.ids)
    let head = MiniOmni2HeadRunner(try store.miniOmni2Head(at: release))
    let (shared, last) = try model.embedding.embed(prompt)
    let caches = [try KVCache(model), try KVCache(model)]
    var hidden = Matrix(rows: 2, columns: model.configuration.width)
    var rows: [Float] = []
    for (row, cache) in caches.enumerated() {
      let whole = try #require(
        Matrix(rows: prompt.columns, columns: shared.columns, values: shared.values + Array(last.row(row))))
      rows += try runner.forward(whole, cache: cache).values
    }
    hidden = try #require(Matrix(rows: 2, columns: model.configuration.width, values: rows))
    var columns: [[Int32]] = []
    var hasTextEnded = false
    while columns.last?[6] != ids.endOfAudio, columns.count < 256 - prompt.columns {
      var choices: [(text: Int32, audio: [Int32])] = []
      for row in 0..<2 {
        let text = Sampler.mostLikely(try head.textLogits(hidden, row: row))
        choices.append((text, try head.audioLogits(hidden, row: row).map { Sampler.mostLikely($0) }))
      }
      let text = hasTextEnded ? ids.padText : choices[1].text
      hasTextEnded = hasTextEnded || text == ids.endOfText
      columns.append(choices[0].audio + [text])
      var next = Matrix(rows: 2, columns: model.configuration.width)
      try model.embedding.embed(audio: choices[0].audio[...], text: text, into: &next, row: 0)
      try model.embedding.embed(audio: nil, text: text, into: &next, row: 1)
      hidden = try runner.step(next, caches: caches)
    }
    #expect(lean.columns == columns)
  }

  @Test(arguments: [WeightPrecision.f32, .bf16, .int8])
  func weightsAreKeptAsAsked(precision: WeightPrecision) throws {
    let plain = try store.miniOmni2(at: release)
    let kept = try store.miniOmni2(at: release, weights: precision)
    #expect(kept !== plain)
    let again = try store.miniOmni2(at: release, weights: precision)
    #expect(kept === again)
    #expect(kept.embedding === plain.embedding)
    let (shared, _) = try plain.embedding.embed(try MiniOmni2Cases.prompt("t1a2.0", store))
    let expected = try MiniOmni2Runner(plain).forward(shared, cache: KVCache(plain)).values
    let found = try MiniOmni2Runner(kept).forward(shared, cache: KVCache(kept)).values
    // The file's matrices are bf16: only 8 bits lose something, about 1/256 of a block's greatest weight each.
    #expect(deviation(found, from: expected) < (precision == .int8 ? 0.05 : 1e-5))
    #expect(precision != .int8 || found != expected)
  }
}

/// Runs the goldens' cases.
enum MiniOmni2Cases {
  static func task(_ name: String) -> MiniOmni2Task {
    let form = name.split(separator: ".")[0]
    return MiniOmni2Task(rawValue: String(form)) ?? .a1a2  // a1a2-limit, a1a2-one-row
  }

  /// A case's prompt, its features made by the encoders and adapters from the case's inputs.
  static func prompt(_ name: String, _ store: ModelStore) throws -> MiniOmni2Prompt {
    let entry = try #require(try MiniOmni2Goldens.manifest.get().answers.first { $0.name == name })
    let tokenizer = try store.tokenizer(at: MiniOmni2Goldens.release + "/tokenizer.json")
    let ids = try store.miniOmni2Embedding(at: MiniOmni2Goldens.release).ids
    return MiniOmni2Prompt(
      task(name), question: entry.question.map { tokenizer.encode($0, specials: .parse) } ?? [],
      rows: name.contains("one-row") ? 1 : nil, ids: ids)
  }

  static func globalIDs(_ prompt: MiniOmni2Prompt, _ shape: MiniOmni2Configuration) -> [Int32] {
    var all: [Int32] = []
    for last in prompt.lastAudio {
      for layer in 0..<7 {
        let local = prompt.audio.dropLast() + [last]
        all += local.map { $0 + Int32(shape.textVocabularySize + layer * shape.audioVocabularySize) }
      }
      all += prompt.text
    }
    return all
  }

  struct Answer {
    var columns: [[Int32]] = []
    var text = ""
    var frames = 0
    var wrongCodes = 0
  }

  /// Answers greedily, as the graph does: one prefill, forked for the last column; no row and no head that nothing needs.
  static func answer(
    _ prompt: MiniOmni2Prompt, _ model: MiniOmni2, _ store: ModelStore, speaks: Bool, _ limit: Int?
  ) throws -> Answer {
    let (runner, ids) = (MiniOmni2Runner(model), model.embedding.ids)
    let head = MiniOmni2HeadRunner(try store.miniOmni2Head(at: MiniOmni2Goldens.release))
    var text = TextStream(try store.tokenizer(at: MiniOmni2Goldens.release + "/tokenizer.json"))
    let (shared, last) = try model.embedding.embed(prompt)
    var caches = [try KVCache(model)]
    _ = try runner.forward(shared, cache: caches[0])
    if last.rows == 2 { caches.append(try caches[0].fork()) }
    var (next, answer, result) = (last, MiniOmni2Answer(ids, speaks: speaks), Answer())
    for _ in 0..<(limit ?? model.configuration.context) - prompt.columns {
      let step = try answer.choose(try runner.step(next, caches: caches), head)
      result.columns.append(step.tokens)
      if let word = step.word { result.text += text.append(word) }
      if step.isLast { break }
      if answer.hasTextEnded, caches.count == 2 {
        caches.removeLast()
        next = Matrix(rows: 1, columns: next.columns)
      }
      let word = step.tokens[step.tokens.count - 1]
      try model.embedding.embed(
        audio: speaks ? step.tokens[..<7] : nil, text: word, into: &next, row: 0)
      if caches.count == 2 { try model.embedding.embed(audio: nil, text: word, into: &next, row: 1) }
    }
    result.text += text.finish()
    (result.frames, result.wrongCodes) = (answer.frames, answer.wrongCodes)
    return result
  }

  static func columns(_ answers: any Checkpoint, _ name: String) throws -> [[Int32]] {
    let tokens = try answers.matrix(name)
    return (0..<tokens.columns).map { column in
      (0..<tokens.rows).map { Int32(tokens.values[$0 * tokens.columns + column]) }
    }
  }
}
