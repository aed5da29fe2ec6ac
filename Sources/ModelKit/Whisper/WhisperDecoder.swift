public import Tensors

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Darwin)
  internal import Darwin
#endif

/// What was said in one window.
public struct Transcription: Sendable, Equatable {
  /// Without white space at its ends; empty when ``isSpeech`` is false.
  public var text: String
  /// Text tokens, as decoded.
  public var tokens: [Int32]
  /// The mean over tokens, the end included.
  public var averageLogProbability: Float
  public var noSpeechProbability: Float
  /// False when silence is likely (above 0.6) and the tokens are not (mean log-probability -1 or below): the rule and
  /// the thresholds of openai-whisper and faster-whisper.
  public var isSpeech: Bool
}

/// Whisper's text decoder: greedy, without timestamps, with the reference's list of suppressed tokens. One for each
/// thread that decodes.
public final class WhisperDecoder {
  public let model: WhisperDecoderModel
  private let shape: WhisperDecoderModel.Configuration
  private let scratch = Scratch()
  private let headWidth: Int
  /// Keys and values of the text so far, and those of the features, a layer after the other.
  private let past: KVCache
  private let cross: Floats
  private var crossRows = 0
  // Activations, for as many rows as a prompt has at most.
  private let x, normed, queryKeyValue, mixed, inner, logits: Floats
  private var isSuppressed: [Bool]

  /// Above this the window is taken for silence, unless the tokens are likely.
  private static let silenceThreshold: Float = 0.6
  private static let likelyThreshold: Float = -1
  /// Tokens of the longest prompt: start, language, task, no timestamps.
  static let promptRows = 4

  /// - Throws: ``ModelInputError/noMemory(bytes:)``.
  public init(_ model: WhisperDecoderModel) throws(ModelInputError) {
    self.model = model
    shape = model.configuration
    let (rows, width) = (Self.promptRows, shape.width)
    headWidth = width / shape.heads
    past = try KVCache(
      layers: shape.layers, keyHeads: shape.heads, headWidth: headWidth, capacity: shape.textContext)
    let crossCount = shape.layers * shape.audioContext * 2 * width
    guard let cross = Floats(reserving: crossCount) else { throw .noMemory(bytes: crossCount * 4) }
    self.cross = cross
    x = Floats(rows * width)
    normed = Floats(rows * width)
    queryKeyValue = Floats(rows * 3 * width)
    mixed = Floats(rows * width)
    inner = Floats(rows * (model.blocks.map(\.own.feedForwardInput.outputs).max() ?? 1))
    logits = Floats(shape.vocabularySize)
    isSuppressed = [Bool](repeating: false, count: shape.vocabularySize)
    for token in model.tokens.suppressed { isSuppressed[Int(token)] = true }
  }

  /// Writes down what was said.
  ///
  /// - Parameters:
  ///   - features: of one window, from ``WhisperEncoder``, perhaps on another machine.
  ///   - language: one of ``WhisperDecoderModel/languages``.
  ///   - limit: the most text tokens that are decoded; what is said beyond is left out.
  ///   - onText: gets the text piece by piece while it is decoded, whole characters, from the first that is not white
  ///     space; in a window that may be silent, all at the end. What it throws ends the decoding.
  /// - Throws: ``ModelInputError``, or what `checkCancelled` (polled once a token) or `onText` throws.
  public func transcribe(
    _ features: Matrix, language: String = "en", atMost limit: Int = .max, checkCancelled: CancellationCheck = {},
    onText: (String) throws -> Void = { _ in }
  ) throws -> Transcription {
    let prompt = try prompt(language: language)
    try listen(to: features, checkCancelled)
    past.truncate(to: 0)
    try checkCancelled()
    try forward(prompt)
    // The start's logits tell whether anything is said; the prompt's last ones what is said first.
    computeLogits(row: 0)
    let noSpeech = expf(logits.start[Int(model.tokens.noSpeech)] - logSum(skippingSuppressed: false, isFirst: false))
    let mayBeSilent = noSpeech > Self.silenceThreshold
    computeLogits(row: prompt.count - 1)

    var stream = TextStream(model.tokenizer)
    var result = Transcription(
      text: "", tokens: [], averageLogProbability: 0, noSpeechProbability: noSpeech, isSpeech: true)
    var started = false
    func emit(_ piece: String) throws {
      let visible = started ? piece[...] : piece.drop(while: \.isWhitespace)
      guard !visible.isEmpty else { return }
      started = true
      result.text += visible
      if !mayBeSilent { try onText(String(visible)) }
    }
    var total: Float = 0
    // Half the context, so that a text that runs in circles ends.
    let most = min(shape.textContext / 2, shape.textContext - prompt.count, limit)
    while result.tokens.count < most {
      let isFirst = result.tokens.isEmpty
      let token = mostLikely(isFirst: isFirst)
      total += logits.start[Int(token)] - logSum(skippingSuppressed: true, isFirst: isFirst)
      if token == model.tokens.endOfText { break }
      result.tokens.append(token)
      if token < model.tokens.endOfText { try emit(stream.append(token)) }
      guard result.tokens.count < most else { break }
      try checkCancelled()
      try forward([token])
      computeLogits(row: 0)
    }
    try emit(stream.finish())
    while result.text.last?.isWhitespace == true { result.text.removeLast() }
    result.averageLogProbability = total / Float(result.tokens.count + 1)
    if mayBeSilent {
      result.isSpeech = result.averageLogProbability > Self.likelyThreshold
      if !result.isSpeech { result.text = "" } else if !result.text.isEmpty { try onText(result.text) }
    }
    return result
  }

  /// How likely the text of a window is to begin with one of some tokens, beside what it is likeliest to begin with.
  ///
  /// - Parameters:
  ///   - tokens: those of the text's first word; what the model does not know, or never writes, adds nothing.
  ///   - features: of one window, as in ``transcribe(_:language:atMost:checkCancelled:onText:)``.
  /// - Returns: the natural logarithm of the quotient of the probabilities: minus infinity for no tokens, about 0 where
  ///   one of them is the likeliest.
  /// - Throws: ``ModelInputError``, or what `checkCancelled` throws.
  public func likelihood(
    of tokens: Set<Int32>, openingTextOf features: Matrix, language: String = "en",
    checkCancelled: CancellationCheck = {}
  ) throws -> Float {
    let prompt = try prompt(language: language)
    try listen(to: features, checkCancelled)
    past.truncate(to: 0)
    try checkCancelled()
    try forward(prompt)
    computeLogits(row: prompt.count - 1)
    let highest = logits.start[Int(mostLikely(isFirst: true))]
    var sum: Float = 0
    for token in tokens.sorted().map(Int.init) where (0..<shape.vocabularySize).contains(token) {
      if isAllowed(token, isFirst: true) { sum += expf(logits.start[token] - highest) }
    }
    return logf(sum)
  }

  private func prompt(language: String) throws(ModelInputError) -> [Int32] {
    let tokens = model.tokens
    guard model.languages.contains(language) else {
      throw .unknownLanguage(language, known: model.languages)
    }
    guard model.isMultilingual, let code = tokens.languages[language] else {
      return [tokens.startOfTranscript, tokens.noTimestamps]
    }
    return [tokens.startOfTranscript, code, tokens.transcribe, tokens.noTimestamps]
  }

  // MARK: Choosing tokens

  private func computeLogits(row: Int) {
    model.projection.apply(normed.start + row * shape.width, rows: 1, into: logits.start, scratch: scratch)
  }

  private func isAllowed(_ token: Int, isFirst: Bool) -> Bool {
    !isSuppressed[token] && !(isFirst && model.tokens.suppressedFirst.contains(Int32(token)))
  }

  private func mostLikely(isFirst: Bool) -> Int32 {
    var best = Int(model.tokens.endOfText)
    var highest = -Float.infinity
    for token in 0..<shape.vocabularySize where logits.start[token] > highest && isAllowed(token, isFirst: isFirst) {
      (best, highest) = (token, logits.start[token])
    }
    return Int32(best)
  }

  /// The logarithm of the summed exponentials of the logits.
  private func logSum(skippingSuppressed: Bool, isFirst: Bool) -> Float {
    var highest = -Float.infinity
    for token in 0..<shape.vocabularySize { highest = max(highest, logits.start[token]) }
    var sum: Float = 0
    for token in 0..<shape.vocabularySize {
      // Far below the highest nothing adds up to anything.
      let distance = logits.start[token] - highest
      guard distance > -30, !skippingSuppressed || isAllowed(token, isFirst: isFirst) else { continue }
      sum += expf(distance)
    }
    return highest + logf(sum)
  }

  // MARK: Layers

  /// Keys and values of the features for every layer.
  private func listen(to features: Matrix, _ checkCancelled: CancellationCheck) throws {
    guard features.columns == shape.width, features.rows > 0, features.rows <= shape.audioContext else {
      throw ModelInputError.shape(
        expected: "1 to \(shape.audioContext) features of \(shape.width)",
        found: "\(features.rows) of \(features.columns)")
    }
    crossRows = features.rows
    try features.values.withUnsafeBufferPointer { values in
      guard let values = values.baseAddress else { return }
      for (index, block) in model.blocks.enumerated() {
        try checkCancelled()
        block.crossKeyValue.apply(values, rows: features.rows, into: crossStart(index), scratch: scratch)
      }
    }
  }

  private func crossStart(_ layer: Int) -> UnsafeMutablePointer<Float> {
    cross.start + layer * shape.audioContext * 2 * shape.width
  }

  /// Appends tokens, no more than ``promptRows``; leaves their final hidden states in `normed`.
  private func forward(_ tokens: [Int32]) throws(ModelInputError) {
    try past.checkRoom(for: tokens.count)
    let (rows, width) = (tokens.count, shape.width)
    for (row, token) in tokens.enumerated() {
      model.embedding.expandRows(Int(token)..<Int(token) + 1, into: x.start + row * width)
    }
    model.positions.withUnsafeBufferPointer { positions in
      guard let positions = positions.baseAddress else { return }
      Operations.add(x.start, positions + past.count * width, count: rows * width)
    }
    let crossLayout = AttentionLayout(
      heads: shape.heads, keyHeads: shape.heads, headWidth: headWidth, queryStride: width,
      outStride: width, keyStride: 2 * width, keyHeadStride: headWidth)
    for (index, block) in model.blocks.enumerated() {
      try attend(block.own, layer: index, rows)
      norm(block.crossNorm, rows)
      block.crossQuery.apply(normed.start, rows: rows, into: queryKeyValue.start, scratch: scratch)
      Attention.run(
        crossLayout, q: queryKeyValue.start, queries: rows, k: crossStart(index), v: crossStart(index) + width,
        keys: crossRows, causal: false, out: mixed.start, scratch: scratch)
      block.crossOutput.apply(mixed.start, rows: rows, into: normed.start, scratch: scratch)
      Operations.add(x.start, normed.start, count: rows * width)
      norm(block.own.feedForwardNorm, rows)
      block.own.feedForwardInput.apply(normed.start, rows: rows, into: inner.start, scratch: scratch)
      Operations.gelu(inner.start, count: rows * block.own.feedForwardInput.outputs)
      block.own.feedForwardOutput.apply(inner.start, rows: rows, into: normed.start, scratch: scratch)
      Operations.add(x.start, normed.start, count: rows * width)
    }
    norm(model.norm, rows)
    past.advance(rows)
  }

  private func norm(_ norm: LayerNorm, _ rows: Int) {
    Operations.layerNorm(
      x.start, norm.weight, norm.bias, epsilon: EncoderStack.epsilon, rows: rows, into: normed.start)
  }

  private func attend(_ block: EncoderBlock, layer: Int, _ rows: Int) throws(ModelInputError) {
    let width = shape.width
    norm(block.attentionNorm, rows)
    block.projectAttention(normed.start, rows: rows, into: queryKeyValue.start, scratch: scratch)
    try past.store(
      layer: layer, keys: queryKeyValue.start + width, values: queryKeyValue.start + 2 * width, stride: 3 * width,
      rows: rows)
    let layout = AttentionLayout(
      heads: shape.heads, keyHeads: shape.heads, headWidth: headWidth, queryStride: 3 * width,
      outStride: width, keyStride: headWidth, keyHeadStride: past.headStride)
    Attention.run(
      layout, q: queryKeyValue.start, queries: rows, k: past.keys(layer), v: past.values(layer),
      keys: past.count + rows, causal: true, out: mixed.start, scratch: scratch)
    block.attentionOutput.apply(mixed.start, rows: rows, into: normed.start, scratch: scratch)
    Operations.add(x.start, normed.start, count: rows * width)
  }
}
