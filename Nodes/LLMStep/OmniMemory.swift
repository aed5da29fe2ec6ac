internal import ModelKit
internal import Tensors

/// Mini-Omni2's memory: a row that speaks and, until the text has ended, one that writes.
final class OmniMemory: SessionMemory {
  private let runner: MiniOmni2Runner
  private let pool: CachePool
  private let limit: Int
  private let keepsTurns: Bool
  /// The row that speaks.
  private var cache: KVCache?
  /// The row that writes. It goes on from the other's prompt, which is copied when the prompt has been read.
  private var second: KVCache?
  /// Of the prompt: the parts that are not read yet, and the last position.
  private var parts: ArraySlice<Matrix> = []
  private var last: Matrix?
  private var isReading = false
  /// Positions that are remembered before the prompt and with it. Half a prompt is no turn to remember.
  private var before = 0
  private var whole = 0

  init(_ runner: MiniOmni2Runner, _ pool: CachePool, limit: Int, keepsTurns: Bool) {
    (self.runner, self.pool, self.keepsTurns) = (runner, pool, keepsTurns)
    self.limit = min(limit, runner.model.configuration.context)
  }

  func begin(_ prompt: Prompt) throws {
    guard prompt.tokens.isEmpty, let last = prompt.embeddings.last, (1...2).contains(last.rows) else {
      throw UnusablePrompt("Mini-Omni2 takes embeddings, as omni-prompt makes them; connect the input embeddings")
    }
    let parts = prompt.embeddings.dropLast()
    let columns = parts.reduce(1) { $0 + $1.rows }
    guard columns < limit else { throw UnusablePrompt(tooLong: columns, limit, "positions") }
    for part in prompt.embeddings { try runner.check(part) }
    let cache = try self.cache ?? pool.take()
    self.cache = cache
    // Earlier turns stay as long as the new one has room for some answer.
    if !keepsTurns || cache.count + columns >= limit { reset() }
    (self.parts, self.last) = (parts, last)
    (before, whole) = (cache.count, cache.count + columns)
  }

  func read() throws -> Bool {
    guard let cache, let part = parts.first else { return false }
    if !isReading { try runner.begin(part, cache: cache) }
    isReading = try runner.layers.proceed() == nil
    if !isReading { parts.removeFirst() }
    return !parts.isEmpty
  }

  func addLast(to batch: StepBatch) throws {
    guard let cache, let last else { return }
    if last.rows == 2 {
      // The rows differ in their last position alone: what comes before is computed once.
      let other = try pool.take()
      try other.copy(cache)
      second = other
    }
    last.copyRows(0..<1, to: batch.add(cache))
    if let second { last.copyRows(1..<2, to: batch.add(second)) }
    self.last = nil
  }

  func add(_ tokens: UnsafeBufferPointer<Int32>, to batch: StepBatch) throws -> Bool {
    // The answer ends with the position that would fill the context: no state is computed that nothing follows.
    guard let cache, cache.count + 2 <= limit else { return false }
    let embedding = runner.model.embedding
    guard let text = tokens.last, [1, MiniOmni2Configuration.audioLayers + 1].contains(tokens.count) else {
      throw UnusablePrompt("\(tokens.count) tokens came back; audio-token-head sends 8, or 1 without audio")
    }
    // Once the text has ended nothing needs the row that writes it.
    if text == embedding.ids.endOfText { dropSecond() }
    let rows = batch.rows
    do {
      let audio = tokens.count == 1 ? nil : UnsafeBufferPointer(rebasing: tokens.dropLast())
      try embedding.embed(audio: audio, text: text, into: batch.add(cache))
      if let second { try embedding.embed(audio: nil, text: text, into: batch.add(second)) }
    } catch {
      batch.removeRows(from: rows)
      throw error
    }
    return true
  }

  private func dropSecond() { if let cache = second.take() { pool.give(cache) } }

  func end() {
    if isReading { runner.layers.abandon() }
    isReading = false
    (parts, last) = ([], nil)
    if let cache, cache.count < whole { cache.truncate(to: before) }
    whole = 0
    dropSecond()
    if !keepsTurns, let cache = cache.take() { pool.give(cache) }
  }

  func reset() { cache?.truncate(to: 0) }
}
