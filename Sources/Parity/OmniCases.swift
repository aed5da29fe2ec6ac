package import ModelKit
package import Tensors

/// Runs the goldens' cases with the models of the micro checkpoint.
package final class OmniCases {
  package let goldens: Goldens
  package let models: OmniModels
  package var model: MiniOmni2 { models.model }

  /// - Throws: `ModelError`.
  package init(_ goldens: Goldens, store: ModelStore = ModelStore()) throws {
    self.goldens = goldens
    models = try OmniModels(goldens.release, store: store)
  }

  /// The task that a case is of; `a1a2-limit` and `a1a2-one-row` are A1A2.
  package static func task(_ name: String) -> MiniOmni2Task {
    MiniOmni2Task(rawValue: String(name.prefix { $0 != "." })) ?? .a1a2
  }

  // MARK: Answers

  /// A case's prompt; its features are made from the case's inputs.
  package func prompt(_ name: String) throws -> MiniOmni2Prompt {
    let entry = try goldens.answer(name)
    return MiniOmni2Prompt(
      Self.task(name), speech: try entry.seed.map { try models.adaptedSpeech(models.heard(Goldens.speech($0))) },
      image: try entry.picture.map { try models.adaptedPicture(seen($0)) },
      question: entry.question.map { models.tokenizer.encode($0) } ?? [],
      rows: name.contains("one-row") ? 1 : nil, ids: model.embedding.ids)
  }

  /// CLIP's features of one of the goldens' pictures, from the pixels that Pillow decodes and resizes it to.
  package func seen(_ picture: String) throws -> Matrix {
    try models.seen(goldens.tensors("vision").floats("\(picture).resized").map { UInt8($0) })
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
    _ = try models.runner.forward(shared, cache: caches[0])
    if last.rows == 2 { caches.append(try caches[0].fork()) }
    var (next, answer, result) = (last, MiniOmni2Answer(model.embedding.ids, speaks: speaks), Answer())
    var text = TextStream(models.tokenizer)
    for _ in 0..<max(0, (limit ?? model.configuration.context) - prompt.columns) {
      let step = try answer.choose(try models.runner.step(next, caches: caches), models.head)
      result.columns.append(answer.tokens)
      if let word = step.word { result.text += text.append(word) }
      if step.hasFrame { result.frames.append(answer.frame) }
      if step.isLast { break }
      if answer.hasTextEnded, caches.count == 2 {
        caches.removeLast()
        next = Matrix(rows: 1, columns: next.columns)
      }
      try models.feed(answer.tokens, into: &next)
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
      states.append(try models.runner.forward(whole, cache: cache))
    }
    guard var hidden = Matrix(joining: states) else { return [] }
    var columns: [[Int32]] = []
    var hasTextEnded = false
    while columns.last?[6] != ids.endOfAudio, columns.count < model.configuration.context - prompt.columns {
      var choices: [(text: Int32, audio: [Int32])] = []
      for row in 0..<hidden.rows {
        let text = Sampler.mostLikely(try models.head.textLogits(hidden, row: row))
        choices.append((text, try models.head.audioLogits(hidden, row: row).map { Sampler.mostLikely($0) }))
      }
      let text = hasTextEnded ? ids.padText : choices[choices.count - 1].text
      hasTextEnded = hasTextEnded || text == ids.endOfText
      columns.append(choices[0].audio + [text])
      var next = Matrix(rows: hidden.rows, columns: hidden.columns)
      try models.feed(choices[0].audio + [text], into: &next)
      hidden = try models.runner.step(next, caches: caches)
    }
    return columns
  }

  /// The greatest errors of states and logits along an answer, every token given.
  package func teacherForced(_ name: String, case answer: String) throws -> (states: Float, logits: Float) {
    let (language, answers) = (try goldens.tensors("language"), try goldens.tensors("answers"))
    let (states, logits) = (try language.floats("\(name).states"), try language.matrix("\(name).logits"))
    // Of some answers the goldens hold the first steps alone.
    let columns = try Self.columns(answers.matrix("\(answer).tokens")).prefix(logits.rows)
    var worst = (states: Float(0), logits: Float(0))
    try models.follow(Array(columns), from: prompt(answer)) { step, hidden, found in
      let size = hidden.values.count
      worst.states = max(worst.states, relativeError(hidden.values, states[(step * size)..<(step * size + size)]))
      worst.logits = max(worst.logits, relativeError(found, logits.row(step)))
    }
    return worst
  }

  /// The columns of a matrix of tokens, one a row.
  package static func columns(_ tokens: Matrix) -> [[Int32]] {
    (0..<tokens.columns).map { column in (0..<tokens.rows).map { Int32(tokens.values[$0 * tokens.columns + column]) } }
  }
}
