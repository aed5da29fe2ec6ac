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

/// Computes a session's turns with one of the models, and remembers what it may need again.
protocol SessionMemory: AnyObject {
  /// Reads a prompt.
  ///
  /// - Returns: the last position's hidden state, a row for each row.
  /// - Throws: ``UnusablePrompt``, `ModelInputError`, or what `check` throws.
  func begin(_ prompt: Prompt, check: CancellationCheck) throws -> Matrix

  /// Reads the tokens that were chosen.
  ///
  /// - Returns: their hidden state; nil when the context is full.
  /// - Throws: ``UnusablePrompt``, `ModelInputError`, or what `check` throws.
  func advance(_ tokens: [Int32], check: CancellationCheck) throws -> Matrix?

  /// Forgets everything.
  func reset()
}

/// A prompt, or tokens, that the model cannot take.
struct UnusablePrompt: Error, CustomStringConvertible {
  let description: String
}

/// A model of tokens.
final class TokenMemory: SessionMemory {
  private let runner: CausalLMRunner
  private let cache: KVCache
  private let keepsTurns: Bool
  /// The tokens whose keys and values are in the cache.
  private var tokens: [Int32] = []

  init(_ runner: CausalLMRunner, limit: Int, keepsTurns: Bool) throws {
    (self.runner, self.keepsTurns) = (runner, keepsTurns)
    cache = try KVCache(runner.model, capacity: limit)
  }

  func begin(_ prompt: Prompt, check: CancellationCheck) throws -> Matrix {
    guard prompt.embeddings.isEmpty else {
      throw UnusablePrompt(description: "this model takes tokens and not embeddings; connect the input prompt")
    }
    guard prompt.tokens.count < cache.capacity else { throw tooLong(prompt.tokens.count, cache.capacity, "tokens") }
    // What need not be computed again; the last token always is, for its hidden state.
    let common = zip(tokens, prompt.tokens).prefix { $0 == $1 }.count
    let known = keepsTurns ? min(common, prompt.tokens.count - 1) : 0
    cache.truncate(to: known)
    tokens.removeSubrange(min(known, tokens.count)...)
    return try forward(Array(prompt.tokens[known...]), check)
  }

  func advance(_ tokens: [Int32], check: CancellationCheck) throws -> Matrix? {
    guard cache.count + tokens.count <= cache.capacity else { return nil }
    return try forward(tokens, check)
  }

  private func forward(_ new: [Int32], _ check: CancellationCheck) throws -> Matrix {
    let hidden = try runner.forward(tokens: new, cache: cache, checkCancelled: check)
    tokens += new
    return hidden
  }

  func reset() {
    cache.truncate(to: 0)
    tokens = []
  }
}

/// Mini-Omni2: a row that speaks and, until the text has ended, one that writes.
final class OmniMemory: SessionMemory {
  private let runner: MiniOmni2Runner
  private let limit: Int
  private let keepsTurns: Bool
  /// A cache for each row; the second goes on from the first's prompt.
  private var caches: [KVCache]
  private var input: Matrix

  init(_ runner: MiniOmni2Runner, limit: Int, keepsTurns: Bool) throws {
    (self.runner, self.keepsTurns) = (runner, keepsTurns)
    self.limit = min(limit, runner.model.configuration.context)
    caches = [try KVCache(runner.model, capacity: self.limit)]
    input = Matrix(rows: 1, columns: runner.model.configuration.width)
  }

  func begin(_ prompt: Prompt, check: CancellationCheck) throws -> Matrix {
    guard prompt.tokens.isEmpty, let last = prompt.embeddings.last, (1...2).contains(last.rows) else {
      throw UnusablePrompt(
        description: "Mini-Omni2 takes embeddings, as omni-prompt makes them; connect the input embeddings")
    }
    let columns = prompt.embeddings.dropLast().reduce(1) { $0 + $1.rows }
    guard columns < limit else { throw tooLong(columns, limit, "positions") }
    caches.removeSubrange(1...)
    // Earlier turns stay as long as the new one has room for some answer.
    if !keepsTurns || caches[0].count + columns >= limit { reset() }
    let before = caches[0].count
    do {
      for part in prompt.embeddings.dropLast() { _ = try runner.forward(part, cache: caches[0], checkCancelled: check) }
      // The rows differ in their last position alone: what comes before is computed once.
      if last.rows == 2 { caches.append(try caches[0].fork()) }
      return try runner.step(last, caches: caches, checkCancelled: check)
    } catch {
      // Half a prompt is no turn to remember.
      caches[0].truncate(to: before)
      throw error
    }
  }

  func advance(_ tokens: [Int32], check: CancellationCheck) throws -> Matrix? {
    // The answer ends with the position that would fill the context: no state is computed that nothing follows.
    guard caches[0].count + 2 <= limit else { return nil }
    let embedding = runner.model.embedding
    guard let text = tokens.last, [1, MiniOmni2Configuration.audioLayers + 1].contains(tokens.count) else {
      throw UnusablePrompt(
        description: "\(tokens.count) tokens came back; audio-token-head sends 8, or 1 without audio")
    }
    // Once the text has ended nothing needs the row that writes it.
    if caches.count == 2, text == embedding.ids.endOfText { caches.removeLast() }
    if input.rows != caches.count { input = Matrix(rows: caches.count, columns: input.columns) }
    try embedding.embed(
      audio: tokens.count == 1 ? nil : tokens.dropLast(), text: text, into: &input, row: 0)
    if caches.count == 2 { try embedding.embed(audio: nil, text: text, into: &input, row: 1) }
    return try runner.step(input, caches: caches, checkCancelled: check)
  }

  func reset() { caches[0].truncate(to: 0) }
}

private func tooLong(_ found: Int, _ most: Int, _ what: String) -> UnusablePrompt {
  UnusablePrompt(
    description: "the prompt has \(found) \(what) and the context holds \(most); ask something shorter or raise limit")
}
