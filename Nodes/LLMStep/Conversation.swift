internal import Dataflow
internal import Messages
internal import Tensors

/// A session's state: what the model remembers, the turn that it is at, and those that wait.
final class Conversation {
  private let makeMemory: () throws -> any SessionMemory
  private var memory: (any SessionMemory)?
  /// The turn that is being answered.
  var active: Turn?
  /// Turns whose prompts are complete, in order.
  var waiting: [Turn] = []
  var prompts: [Turn: (prompt: Prompt, stamp: Stamp)] = [:]
  /// No more turns will come.
  var isComplete = false
  /// Earlier turns are to be forgotten before the next one.
  private var isReset = false

  init(_ makeMemory: @escaping () throws -> any SessionMemory) { self.makeMemory = makeMemory }

  /// The memory, taken when it is first needed.
  ///
  /// - Throws: `ModelInputError` when there is not that much.
  func remembering() throws -> any SessionMemory {
    if let memory { return memory }
    let memory = try makeMemory()
    self.memory = memory
    return memory
  }

  func add(_ message: Received<Tokens>) {
    prompts[message.turn, default: (Prompt(), message.stamp)].prompt.tokens += message.value.ids
  }

  func add(_ message: Received<Features>) {
    let value = message.value
    guard let part = Matrix(rows: value.rows, columns: value.dim, values: Array(value.values)) else { return }
    prompts[message.turn, default: (Prompt(), message.stamp)].prompt.embeddings.append(part)
  }

  /// Forgets earlier turns: now, or once the turn that is being answered, which stands on them, is over.
  func reset() { isReset = true }

  func resetIfAsked() {
    if isReset { memory?.reset() }
    isReset = false
  }

  /// The turns up to this epoch were interrupted.
  func forget(through epoch: UInt32) {
    if let turn = active, turn.epoch <= epoch { active = nil }
    waiting.removeAll { $0.epoch <= epoch }
    prompts = prompts.filter { $0.key.epoch > epoch }
  }
}
