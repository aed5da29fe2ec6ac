internal import Dataflow
internal import Messages
internal import Tensors

/// A session's state: what the model remembers, the turn that it is at, and those that wait.
final class Conversation {
  let memory: any SessionMemory
  /// The turn that is being answered.
  var active: Turn?
  /// Turns whose prompts are complete, in order.
  var waiting: [Turn] = []
  var prompts: [Turn: (prompt: Prompt, stamp: Stamp)] = [:]
  /// No more turns will come.
  var isComplete = false

  init(_ memory: any SessionMemory) { self.memory = memory }

  func add(_ message: Received<Tokens>) {
    prompts[message.turn, default: (Prompt(), message.stamp)].prompt.tokens += message.value.ids
  }

  func add(_ message: Received<Features>) {
    let value = message.value
    guard let part = Matrix(rows: value.rows, columns: value.dim, values: Array(value.values)) else { return }
    prompts[message.turn, default: (Prompt(), message.stamp)].prompt.embeddings.append(part)
  }

  /// The turns up to this epoch were interrupted.
  func forget(through epoch: UInt32) {
    if let turn = active, turn.epoch <= epoch { active = nil }
    waiting.removeAll { $0.epoch <= epoch }
    prompts = prompts.filter { $0.key.epoch > epoch }
  }
}
