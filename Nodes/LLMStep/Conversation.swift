internal import Dataflow
internal import Messages
internal import ModelKit

/// A session's state: what the model remembers, the turn that it is at, and those that wait.
final class Conversation {
  struct Prompt {
    var tokens: [Int32] = []
    var stamp = Stamp()
  }

  let cache: KVCache
  /// The tokens whose keys and values are in the cache.
  var tokens: [Int32] = []
  /// The turn that is being answered.
  var active: Turn?
  /// Turns whose prompts are complete, in order.
  var waiting: [Turn] = []
  var prompts: [Turn: Prompt] = [:]
  /// No more turns will come.
  var isComplete = false

  init(_ cache: KVCache) { self.cache = cache }

  func add(_ message: Received<Tokens>) {
    prompts[message.turn, default: Prompt(stamp: message.stamp)].tokens += message.value.ids
  }

  /// How much of a prompt need not be computed again; its last token always is, for its hidden state.
  func commonPrefix(with prompt: [Int32]) -> Int {
    min(zip(tokens, prompt).prefix { $0 == $1 }.count, prompt.count - 1)
  }

  func truncate(to count: Int) {
    cache.truncate(to: count)
    tokens.removeSubrange(min(count, tokens.count)...)
  }

  /// The turns up to this epoch were interrupted.
  func forget(through epoch: UInt32) {
    if let turn = active, turn.epoch <= epoch { active = nil }
    waiting.removeAll { $0.epoch <= epoch }
    prompts = prompts.filter { $0.key.epoch > epoch }
  }
}
