internal import Messages
internal import ModelKit
internal import Tensors

/// What a session's turn is begun with: tokens, or embeddings.
struct Prompt {
  var tokens: [Int32] = []
  /// Embeddings as they came, message by message, [positions, width] each. The last message holds the last position, with
  /// a row for each of the rows that go on from there.
  var embeddings: [Matrix] = []

  var isEmpty: Bool { tokens.isEmpty && embeddings.isEmpty }
}

/// What a session needs of the past, and how its positions are computed.
///
/// A turn's prompt is read up to its last position, layer by layer; that position, and then one for each choice of the
/// head's, is computed beside those of other sessions.
protocol SessionMemory: AnyObject {
  /// Takes a prompt.
  ///
  /// - Throws: ``UnusablePrompt`` or `ModelInputError`.
  func begin(_ prompt: Prompt) throws

  /// Reads on in the prompt, by a layer. Only one session's prompt is read at a time.
  ///
  /// - Returns: whether there is more to read before the last position.
  /// - Throws: `ModelInputError`.
  func read() throws -> Bool

  /// Adds the prompt's last position to those that are computed next, once all before it is read.
  ///
  /// - Throws: `ModelInputError`.
  func addLast(to batch: StepBatch) throws

  /// Adds the position of tokens that were chosen.
  ///
  /// - Returns: false when the context is full.
  /// - Throws: ``UnusablePrompt`` or `ModelInputError`.
  func add(_ tokens: UnsafeBufferPointer<Int32>, to batch: StepBatch) throws -> Bool

  /// The turn is over, even in the middle of its prompt.
  func end()

  /// Forgets everything.
  func reset()
}

/// A prompt, or tokens, that the model cannot take.
struct UnusablePrompt: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }

  init(tooLong found: Int, _ most: Int, _ what: String) {
    self.init(
      "the prompt has \(found) \(what) and the context holds \(most); ask something shorter or raise limit")
  }
}

/// A model of tokens.
final class TokenMemory: SessionMemory {
  private let runner: CausalLMRunner
  private let pool: CachePool
  private let capacity: Int
  private let keepsTurns: Bool
  private var cache: KVCache?
  /// The tokens whose keys and values are in the cache, and those of the prompt that come next.
  private var tokens: [Int32] = []
  private var prompt: ArraySlice<Int32> = []
  private var isReading = false

  init(_ runner: CausalLMRunner, _ pool: CachePool, limit: Int, keepsTurns: Bool) {
    (self.runner, self.pool, self.keepsTurns) = (runner, pool, keepsTurns)
    capacity = min(limit, runner.model.configuration.context)
  }

  func begin(_ prompt: Prompt) throws {
    guard prompt.embeddings.isEmpty else {
      throw UnusablePrompt("this model takes tokens and not embeddings; connect the input prompt")
    }
    let count = prompt.tokens.count
    guard count < capacity else { throw UnusablePrompt(tooLong: count, capacity, "tokens") }
    let cache = try self.cache ?? pool.take()
    self.cache = cache
    // What need not be computed again; the last token always is, for its hidden state.
    let common = zip(tokens, prompt.tokens).prefix { $0 == $1 }.count
    let known = keepsTurns ? min(common, count - 1) : 0
    cache.truncate(to: known)
    tokens.removeSubrange(min(known, tokens.count)...)
    if keepsTurns { tokens.reserveCapacity(capacity) }
    self.prompt = prompt.tokens[known...]
  }

  func read() throws -> Bool {
    guard let cache, prompt.count > 1 else { return false }
    if !isReading { try runner.begin(tokens: Array(prompt.dropLast()), cache: cache) }
    isReading = try runner.layers.proceed() == nil
    if isReading { return true }
    note(prompt.dropLast())
    prompt = prompt.suffix(1)
    return false
  }

  func addLast(to batch: StepBatch) throws {
    guard let cache, let token = prompt.first else { return }
    try add(token, cache, to: batch)
    prompt = []
  }

  func add(_ tokens: UnsafeBufferPointer<Int32>, to batch: StepBatch) throws -> Bool {
    guard tokens.count == 1 else { throw UnusablePrompt("\(tokens.count) tokens came back; text-head sends 1") }
    guard let cache, cache.count < cache.capacity else { return false }
    try add(tokens[0], cache, to: batch)
    return true
  }

  private func add(_ token: Int32, _ cache: KVCache, to batch: StepBatch) throws {
    let before = batch.rows
    do {
      try runner.embed(token, into: batch.add(cache))
    } catch {
      batch.removeRows(from: before)
      throw error
    }
    note(CollectionOfOne(token))
  }

  private func note(_ new: some Collection<Int32>) { if keepsTurns { tokens.append(contentsOf: new) } }

  func end() {
    if isReading { runner.layers.abandon() }
    isReading = false
    // A step that did not come to its end has left a token without its keys and values.
    tokens.removeSubrange(min(tokens.count, cache?.count ?? 0)...)
    if !keepsTurns, let cache = cache.take() { pool.give(cache) }
  }

  func reset() {
    cache?.truncate(to: 0)
    tokens = []
  }
}
