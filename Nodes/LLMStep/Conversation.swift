internal import Dataflow
internal import Messages
internal import Tensors

/// A session's state: what the model remembers, the turn that it is at, and those that wait.
final class Conversation {
  let session: Session
  let memory: any SessionMemory
  /// The turn that is being answered.
  private(set) var active: Turn?
  /// What the turn's prompt came with.
  private(set) var stamp = Stamp()
  /// Positions of the turn that are to be computed: the rest of the prompt counts as one.
  var pending = 0
  /// The head has ended the turn, which is over when no position is pending.
  var isEnding = false
  /// Turns whose prompts are complete, in order.
  var waiting: [Turn] = []
  private var prompts: [Turn: (prompt: Prompt, stamp: Stamp)] = [:]
  /// No more turns will come.
  var isComplete = false
  /// Earlier turns are to be forgotten before the next one.
  private var isReset = false

  init(_ session: Session, _ memory: any SessionMemory) { (self.session, self.memory) = (session, memory) }

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

  /// Takes the next turn that waits.
  ///
  /// - Returns: nil if nothing was asked.
  func takePrompt(of turn: Turn) -> Prompt? {
    guard let (prompt, stamp) = prompts.removeValue(forKey: turn), !prompt.isEmpty else { return nil }
    self.stamp = stamp
    return prompt
  }

  /// Begins to answer a turn.
  ///
  /// - Throws: ``UnusablePrompt`` or `ModelInputError`; the turn is active all the same.
  func begin(_ turn: Turn, _ prompt: Prompt) throws {
    (active, pending) = (turn, 1)
    if isReset { memory.reset() }
    isReset = false
    try memory.begin(prompt)
  }

  /// The turn that is being answered is over.
  func end() {
    memory.end()
    (active, pending, isEnding) = (nil, 0, false)
  }

  /// The turns up to this epoch were interrupted.
  ///
  /// - Returns: whether the one that is being answered was.
  func forget(through epoch: UInt32) -> Bool {
    waiting.removeAll { $0.epoch <= epoch }
    prompts = prompts.filter { $0.key.epoch > epoch }
    guard let turn = active, turn.epoch <= epoch else { return false }
    end()
    return true
  }
}
