internal import ModelKit
internal import Tensors

/// A line of the parity table: one stage beside PyTorch.
package struct ParityRow: Sendable {
  package var stage: String
  /// What was compared.
  package var what: String
  /// The greatest difference over the greatest magnitude, and the most that is allowed.
  package var error: Float?
  package var bound: Float = 1e-4
  /// How many of how many were equal.
  package var equal: (found: Int, of: Int)?
  /// What else there is to say.
  package var remark = ""

  package init(_ stage: String, _ what: String, error: Float) {
    (self.stage, self.what, self.error) = (stage, what, error)
  }

  package init(_ stage: String, _ what: String, equal found: Int, of all: Int) {
    (self.stage, self.what, equal) = (stage, what, (found, all))
  }

  package var holds: Bool {
    (error.map { $0 <= bound } ?? true) && (equal.map { $0.found == $0.of && $0.of > 0 } ?? true)
  }
}

/// Every stage of Mini-Omni2 on the micro checkpoint, against the goldens.
package struct MicroParity {
  private let goldens: Goldens
  private let cases: OmniCases

  /// - Throws: `ModelError`.
  package init(_ goldens: Goldens) throws {
    (self.goldens, cases) = (goldens, try OmniCases(goldens))
  }

  /// Computes the table, telling each row as it is known.
  ///
  /// - Throws: `ModelError`, `ModelInputError`.
  package func rows(_ tell: (ParityRow) -> Void = { _ in }) throws -> [ParityRow] {
    var rows: [ParityRow] = []
    for stage in [tokenizer, ears, eyes, mind, answers, voice] {
      for row in try stage() {
        tell(row)
        rows.append(row)
      }
    }
    return rows
  }

  private func tokenizer() throws -> [ParityRow] {
    let texts = goldens.manifest.tokenizer
    let equal = texts.filter { cases.models.tokenizer.encode($0.text, specials: .parse) == $0.ids }
    return [ParityRow("tokenizer", "ids of texts", equal: equal.count, of: texts.count)]
  }

  private func ears() throws -> [ParityRow] {
    let expected = try goldens.tensors("speech")
    let samples = try expected.integers("samples").map { Int16(truncatingIfNeeded: $0) }
    let mel = LogMel(padding: .silence).features(samples.map { Float($0) / 32768 })
    let columns = try expected.matrix("mel")
    let transposed = (0..<columns.rows).flatMap { band in
      (0..<columns.columns).map { mel.values[$0 * mel.columns + band] }
    }
    let heard = try cases.models.heard(samples)
    let encoded = try expected.matrix("encoder").prefix(heard.rows)
    let adapted = try cases.models.adaptedSpeech(heard)
    let counts = goldens.manifest.featureCounts
    return [
      ParityRow("log-mel", "spectrogram", error: relativeError(transposed, columns.values)),
      ParityRow("whisper-encoder", "features", error: relativeError(heard.values, encoded.values)),
      ParityRow(
        "whisper-encoder", "counts of features",
        equal: counts.filter { LogMel.heardRows($0.samples) == $0.features }.count,
        of: counts.count),
      ParityRow("adapter", "speech", error: relativeError(adapted.values, try expected.floats("adapter"))),
    ]
  }

  private func eyes() throws -> [ParityRow] {
    let expected = try goldens.tensors("vision")
    var (encoder, adapter): (Float, Float) = (0, 0)
    for picture in goldens.manifest.pictures {
      let seen = try cases.seen(picture)
      encoder = max(encoder, relativeError(seen.values, try expected.floats("\(picture).encoder")))
      let adapted = try cases.models.adaptedPicture(seen)
      adapter = max(adapter, relativeError(adapted.values, try expected.floats("\(picture).adapter")))
    }
    let name = "picture.jpg"
    let shape = try expected.shape("\(name).decoded")
    let decoded = try expected.floats("\(name).decoded").map { UInt8($0) }
    let resized = try decoded.withUnsafeBufferPointer {
      BicubicCrop(size: 224).pixels(of: try PixelView($0, width: shape[1], height: shape[0], channels: 3))
    }
    let pillows = try expected.floats("\(name).resized")
    let equal = zip(resized, pillows).filter { Float($0) == $1 }.count
    return [
      ParityRow("vision-encoder", "resized pixels", equal: equal, of: pillows.count),
      ParityRow("vision-encoder", "features, of \(goldens.manifest.pictures.count) pictures the worst", error: encoder),
      ParityRow("adapter", "vision", error: adapter),
    ]
  }

  private func mind() throws -> [ParityRow] {
    let expected = try goldens.tensors("language")
    let (shared, last) = try cases.model.embedding.embed(try cases.prompt("a1a2.5"))
    let input = try expected.floats("speech.input")
    let row = Array(shared.values + last.row(0))
    let speech = try cases.teacherForced("speech", case: "a1a2.5")
    let image = try cases.teacherForced("image", case: "image-a1a2.0")
    return [
      ParityRow("omni-prompt", "embeddings", error: relativeError(row, input.prefix(row.count))),
      ParityRow("llm-step", "states of prefill and each step", error: max(speech.states, image.states)),
      ParityRow("audio-token-head", "logits of both heads", error: max(speech.logits, image.logits)),
    ]
  }

  private func answers() throws -> [ParityRow] {
    let expected = try goldens.tensors("answers")
    var forms: [String] = []
    var found: [String: (prompts: Int, tokens: Int, all: Int, positions: Int)] = [:]
    var (plain, spoken) = (0, 0)
    for entry in goldens.manifest.answers {
      let form = String(entry.name.prefix { $0 != "." })
      if found[form] == nil { forms.append(form) }
      let prompt = try cases.prompt(entry.name)
      let answer = try cases.answer(prompt, speaks: OmniCases.task(entry.name).speaks, limit: entry.limit)
      let isSame = try answer.columns == OmniCases.columns(expected.matrix("\(entry.name).tokens"))
      var count = found[form] ?? (0, 0, 0, 0)
      count.prompts += try cases.models.globalIDs(prompt) == expected.integers("\(entry.name).prompt") ? 1 : 0
      count.tokens += isSame && answer.text == entry.text && answer.frames.count == entry.frames ?? 0 ? 1 : 0
      count.all += 1
      count.positions += answer.columns.count
      found[form] = count
      if form == "a1a2" {
        spoken += 1
        plain += try cases.plainAnswer(prompt) == answer.columns ? 1 : 0
      }
    }
    var rows: [ParityRow] = []
    for form in forms {
      guard let count = found[form] else { continue }
      rows.append(ParityRow("omni-prompt", "\(form): prompts", equal: count.prompts, of: count.all))
      var row = ParityRow("audio-token-head", "\(form): answers, tokens and text", equal: count.tokens, of: count.all)
      row.remark = "\(count.positions) positions"
      rows.append(row)
    }
    return rows + [ParityRow("llm-step", "a1a2: lean decode beside the plain one", equal: plain, of: spoken)]
  }

  private func voice() throws -> [ParityRow] {
    let expected = try goldens.tensors("snac")
    let model = try ModelStore().snac(at: goldens.codec)
    let decoder = try SnacDecoder(model)
    var (whole, streamed, exact): (Float, Float, Float) = (0, 0, 0)
    for name in ["random", "one", "answer"] {
      let frames = try goldens.frames(name)
      let wave = try decoder.decode(frames)
      whole = max(whole, relativeError(wave, try expected.floats("\(name).wave")))
      let stream = SnacStream(model)
      var samples: [Float] = []
      for start in stride(from: 0, to: frames.count, by: model.configuration.layers) {
        try decoder.push(frames[start..<start + model.configuration.layers], to: stream, into: &samples)
      }
      try decoder.finish(stream, into: &samples)
      streamed = max(streamed, relativeError(samples, try expected.floats("\(name).wave")))
      exact = max(exact, relativeError(samples, wave))
    }
    let sound = try expected.floats("encoded.samples").map { $0 / 32768 }
    let codes = try SnacEncoder(model).encode(sound)
    let known = try goldens.frames("encoded")
    var joined = ParityRow("snac-decoder", "streamed beside the whole", error: exact)
    joined.bound = 1e-5
    return [
      ParityRow("snac-decoder", "whole clips, noise off", error: whole),
      ParityRow("snac-decoder", "streamed frame by frame", error: streamed),
      joined,
      ParityRow("snac-encoder", "codes", equal: zip(codes, known).filter { $0 == $1 }.count, of: known.count),
    ]
  }
}
