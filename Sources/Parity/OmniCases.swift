package import ModelKit
package import Tensors

/// Runs the goldens' cases with the models of the micro checkpoint, each loaded once.
package final class OmniCases {
  package let goldens: Goldens
  package let model: MiniOmni2
  package let head: MiniOmni2Head
  package let tokenizer: Tokenizer
  private let runner: MiniOmni2Runner
  private let headRunner: MiniOmni2HeadRunner
  private let whisper: WhisperEncoder
  private let clip: ClipEncoder
  private let adapters: MiniOmni2Adapters

  /// - Throws: `ModelError`.
  package init(_ goldens: Goldens, store: ModelStore = ModelStore()) throws {
    self.goldens = goldens
    model = try store.miniOmni2(at: goldens.release)
    head = try store.miniOmni2Head(at: goldens.release)
    tokenizer = try store.tokenizer(at: goldens.release + "/tokenizer.json")
    runner = MiniOmni2Runner(model)
    headRunner = MiniOmni2HeadRunner(head)
    whisper = WhisperEncoder(try store.whisperEncoder(at: goldens.release))
    clip = ClipEncoder(try store.clip(at: goldens.release))
    adapters = try store.adapters(at: goldens.release)
  }

  /// The task that a case is of; `a1a2-limit` and `a1a2-one-row` are A1A2.
  package static func task(_ name: String) -> MiniOmni2Task {
    MiniOmni2Task(rawValue: String(name.prefix { $0 != "." })) ?? .a1a2
  }

  // MARK: Features

  /// Whisper's features of speech, as many rows as were heard.
  package func heard(_ samples: [Int16]) throws -> Matrix {
    let samples = samples.map { Float($0) / 32768 }
    let encoded = try whisper.encode(LogMel(padding: .silence).features(samples))
    return encoded.prefix(LogMel.heardRows(samples.count))
  }

  package func adaptedSpeech(_ features: Matrix) throws -> Matrix {
    try MiniOmni2Adapter(adapters, .speech).apply(features)
  }

  /// CLIP's features of a picture, from the pixels that Pillow decodes and resizes it to.
  package func seen(_ picture: String) throws -> Matrix {
    let pixels = try goldens.tensors("vision").floats("\(picture).resized").map { UInt8($0) }
    return try pixels.withUnsafeBufferPointer { try clip.encode(PixelView($0, width: 224, height: 224, channels: 3)) }
  }

  package func adaptedPicture(_ features: Matrix) throws -> Matrix {
    try MiniOmni2Adapter(adapters, .vision).apply(features)
  }

  // MARK: Answers

  /// A case's prompt; its features are made from the case's inputs.
  package func prompt(_ name: String) throws -> MiniOmni2Prompt {
    let entry = try goldens.answer(name)
    return MiniOmni2Prompt(
      Self.task(name), speech: try entry.seed.map { try adaptedSpeech(heard(Goldens.speech($0))) },
      image: try entry.picture.map { try adaptedPicture(seen($0)) },
      question: entry.question.map { tokenizer.encode($0) } ?? [],
      rows: name.contains("one-row") ? 1 : nil, ids: model.embedding.ids)
  }

  /// A prompt's ids as the goldens write them: [rows, 8, columns].
  package func globalIDs(_ prompt: MiniOmni2Prompt) -> [Int32] {
    let shape = model.configuration
    return prompt.lastAudio.flatMap { last in
      let local = prompt.audio.dropLast() + [last]
      let audio = (0..<MiniOmni2Configuration.audioLayers).flatMap { layer in
        local.map { $0 + Int32(shape.textVocabularySize + layer * shape.audioVocabularySize) }
      }
      return audio + prompt.text
    }
  }

  package struct Answer {
    /// Position by position: eight tokens, or the text's.
    package var columns: [[Int32]] = []
    package var text = ""
    package var frames: [[Int32]] = []
    package var wrongCodes = 0
  }

  /// Answers greedily, as the graph does: one prefill, forked for the last column; no row and no head that nothing needs.
  package func answer(_ prompt: MiniOmni2Prompt, speaks: Bool, limit: Int? = nil) throws -> Answer {
    let (shared, last) = try model.embedding.embed(prompt)
    var caches = [try KVCache(model)]
    _ = try runner.forward(shared, cache: caches[0])
    if last.rows == 2 { caches.append(try caches[0].fork()) }
    var (next, answer, result) = (last, MiniOmni2Answer(model.embedding.ids, speaks: speaks), Answer())
    var text = TextStream(tokenizer)
    for _ in 0..<max(0, (limit ?? model.configuration.context) - prompt.columns) {
      let step = try answer.choose(try runner.step(next, caches: caches), headRunner)
      result.columns.append(step.tokens)
      if let word = step.word { result.text += text.append(word) }
      if let frame = step.frame { result.frames.append(frame) }
      if step.isLast { break }
      if answer.hasTextEnded, caches.count == 2 {
        caches.removeLast()
        next = Matrix(rows: 1, columns: next.columns)
      }
      try feed(step.tokens, into: &next)
    }
    result.text += text.finish()
    result.wrongCodes = answer.wrongCodes
    return result
  }

  /// Answers in speech by the plain form: every row of the prompt by itself, both rows to the end, every head of each.
  package func plainAnswer(_ prompt: MiniOmni2Prompt) throws -> [[Int32]] {
    let ids = model.embedding.ids
    let (shared, last) = try model.embedding.embed(prompt)
    let caches = try (0..<last.rows).map { _ in try KVCache(model) }
    var states: [Matrix] = []
    for (row, cache) in caches.enumerated() {
      let end = Matrix(rows: 1, columns: last.columns, values: Array(last.row(row)))
      guard let end, let whole = Matrix(joining: [shared, end]) else { return [] }
      states.append(try runner.forward(whole, cache: cache))
    }
    guard var hidden = Matrix(joining: states) else { return [] }
    var columns: [[Int32]] = []
    var hasTextEnded = false
    while columns.last?[6] != ids.endOfAudio, columns.count < model.configuration.context - prompt.columns {
      var choices: [(text: Int32, audio: [Int32])] = []
      for row in 0..<hidden.rows {
        let text = Sampler.mostLikely(try headRunner.textLogits(hidden, row: row))
        choices.append((text, try headRunner.audioLogits(hidden, row: row).map { Sampler.mostLikely($0) }))
      }
      let text = hasTextEnded ? ids.padText : choices[choices.count - 1].text
      hasTextEnded = hasTextEnded || text == ids.endOfText
      columns.append(choices[0].audio + [text])
      var next = Matrix(rows: hidden.rows, columns: hidden.columns)
      try feed(choices[0].audio + [text], into: &next)
      hidden = try runner.step(next, caches: caches)
    }
    return columns
  }

  /// The greatest errors of states and logits along an answer, every token given.
  package func teacherForced(_ name: String, case answer: String) throws -> (states: Float, logits: Float) {
    let (language, answers) = (try goldens.tensors("language"), try goldens.tensors("answers"))
    let (states, logits) = (try language.floats("\(name).states"), try language.matrix("\(name).logits"))
    let columns = try Self.columns(answers.matrix("\(answer).tokens"))
    let (shared, last) = try model.embedding.embed(try prompt(answer))
    let speech = try KVCache(model)
    _ = try runner.forward(shared, cache: speech)
    let caches = [speech, try speech.fork()]
    var (next, worst) = (last, (states: Float(0), logits: Float(0)))
    let size = 2 * model.configuration.width
    for step in 0..<states.count / size {
      let hidden = try runner.step(next, caches: caches)
      worst.states = max(worst.states, relativeError(hidden.values, states[(step * size)..<(step * size + size)]))
      let found = try Array(headRunner.textLogits(hidden, row: 1))
        + headRunner.audioLogits(hidden, row: 0).flatMap { Array($0) }
      worst.logits = max(worst.logits, relativeError(found, logits.row(step)))
      try feed(columns[step], into: &next)
    }
    return worst
  }

  /// The columns of a matrix of tokens, one a row.
  package static func columns(_ tokens: Matrix) -> [[Int32]] {
    (0..<tokens.columns).map { column in (0..<tokens.rows).map { Int32(tokens.values[$0 * tokens.columns + column]) } }
  }

  /// A position's tokens as the next input, of a row that speaks and perhaps one that writes.
  private func feed(_ tokens: [Int32], into next: inout Matrix) throws {
    let text = tokens[tokens.count - 1]
    try model.embedding.embed(audio: tokens.count == 1 ? nil : tokens.dropLast(), text: text, into: &next, row: 0)
    if next.rows == 2 { try model.embedding.embed(audio: nil, text: text, into: &next, row: 1) }
  }
}
