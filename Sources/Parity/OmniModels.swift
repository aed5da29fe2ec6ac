package import ModelKit
package import Tensors

/// Every model of a Mini-Omni2 release, with what computes with it.
package final class OmniModels {
  /// - Parameter release: the folder.
  /// - Throws: `ModelError`.
  package init(_ release: String, store: ModelStore = ModelStore()) throws {
    model = try store.miniOmni2(at: release)
    runner = MiniOmni2Runner(model)
    head = MiniOmni2HeadRunner(try store.miniOmni2Head(at: release))
    tokenizer = try store.tokenizer(at: release + "/tokenizer.json")
    whisper = WhisperEncoder(try store.whisperEncoder(at: release))
    clip = ClipEncoder(try store.clip(at: release))
    adapters = try store.adapters(at: release)
  }

  package let model: MiniOmni2
  package let runner: MiniOmni2Runner
  package let head: MiniOmni2HeadRunner
  package let tokenizer: Tokenizer
  private let whisper: WhisperEncoder
  private let clip: ClipEncoder
  private let adapters: MiniOmni2Adapters

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

  /// CLIP's features of a square of 224 by 224 pixels, RGB.
  package func seen(_ pixels: [UInt8]) throws -> Matrix {
    try pixels.withUnsafeBufferPointer { try clip.encode(PixelView($0, width: 224, height: 224, channels: 3)) }
  }

  package func adaptedPicture(_ features: Matrix) throws -> Matrix {
    try MiniOmni2Adapter(adapters, .vision).apply(features)
  }

  // MARK: Language

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

  /// Follows an answer of two rows whose tokens are given.
  ///
  /// - Parameter body: gets each position's number, both rows' hidden states, and the logits: the text's, from the row that
  ///   writes, then the seven audio layers', from the row that speaks.
  package func follow(
    _ columns: [[Int32]], from prompt: MiniOmni2Prompt, _ body: (Int, Matrix, [Float]) throws -> Void
  ) throws {
    let (shared, last) = try model.embedding.embed(prompt)
    let speech = try KVCache(model)
    _ = try runner.forward(shared, cache: speech)
    let caches = [speech, try speech.fork()]
    var next = last
    for (step, column) in columns.enumerated() {
      let hidden = try runner.step(next, caches: caches)
      let logits =
        try Array(head.textLogits(hidden, row: 1)) + head.audioLogits(hidden, row: 0).flatMap { Array($0) }
      try body(step, hidden, logits)
      try feed(column, into: &next)
    }
  }

  /// A position's tokens as the next input, of a row that speaks and perhaps one that writes.
  package func feed(_ tokens: [Int32], into next: inout Matrix) throws {
    let text = tokens[tokens.count - 1]
    try model.embedding.embed(audio: tokens.count == 1 ? nil : tokens.dropLast(), text: text, into: &next, row: 0)
    if next.rows == 2 { try model.embedding.embed(audio: nil, text: text, into: &next, row: 1) }
  }
}
