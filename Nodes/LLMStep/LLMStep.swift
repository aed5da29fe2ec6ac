public import Dataflow
public import Messages
internal import ModelKit
internal import Tensors

/// Runs a language model step by step: a prompt in, one hidden state out; then a token in, the next hidden state out.
///
/// What chooses the tokens (``text-head``, or any other head) is a node of its own; its tokens come back over a feedback
/// edge, and when it ends the turn on that edge, the turn ends here. A session's turns are worked on one after the other,
/// different sessions in turns with each other.
public struct LLMStepNode: Node {
  public static let kind = "llm-step"
  public static let summary = "Runs a language model (GGUF): prompts and fed-back tokens in, hidden states out."
  public static let ending = Ending.explicit

  public enum Keeping: String, CaseIterable, Sendable { case session, turn }

  public struct Parameters: NodeParameters {
    public let model: String
    public let limit: Int
    public let context: Keeping

    public init(_ read: inout ParameterReader) {
      model = read.model(
        "model", default: "smollm2-135m-instruct",
        help: "The model: its name in the model cache, its folder or its file.")
      limit = read(
        "limit", default: 2_048, in: 16...1_048_576, unit: "tokens",
        help: "How much prompt and answer together may hold, at most the model's own limit.")
      context = read(
        "context", default: .session,
        help: """
          'session': what a prompt has in common with what was computed before (the system prompt, earlier turns that \
          it repeats) is not computed again; 'turn': each turn starts afresh.
          """)
    }
  }

  public struct Ports: PortSet {
    public let prompt: Input<Tokens>
    public let token: Input<Tokens>
    public let hidden: Output<Features>

    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      let type = PortType.tokens(vocabulary: Tokens.vocabulary(ofModel: parameters.model))
      prompt = bind.input("prompt", type: type, help: "The prompt; the turn's end on this input completes it.")
      token = bind.input("token", type: type, help: "The token that was chosen; a feedback edge brings it.")
      hidden = bind.output(
        "hidden", found: .features(dim: try ModelHeader.hiddenWidth(parameters.model)),
        help: "The last position's hidden state after the final norm, one row for the prompt and one for each token.")
    }
  }

  private let parameters: Parameters
  private let context: NodeContext
  private let model: CausalLM
  private let runner: CausalLMRunner
  private var conversations: [Session: Conversation] = [:]

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    Compute.setThreads(context.threads)
    context.progress("loading \(parameters.model)", 0)
    model = try ModelStore.shared.causalLM(at: ModelFolder.path(parameters.model)) {
      if context.isStopping { throw CancellationError() }
    }
    runner = CausalLMRunner(model)
    context.progress("loading \(parameters.model)", 1)
  }

  public mutating func run(_ ports: Ports) async throws {
    for try await event in merge(ports.prompt, ports.token) {
      switch event {
      case .first(.message(let prompt)):
        try conversation(prompt.session).add(prompt)
      case .first(.turnEnded(let turn)):
        try conversation(turn.session).waiting.append(turn)
        try await proceed(turn.session, ports.hidden)
      case .first(.sessionEnded(let session)):
        try conversation(session).isComplete = true
        try await proceed(session, ports.hidden)
      case .second(.message(let token)):
        if let conversation = conversations[token.session], conversation.active == token.turn {
          try await step(conversation, token.value.ids.map { $0 }, token.turn, token.stamp, ports.hidden)
          try await proceed(token.session, ports.hidden)
        }
      case .second(.turnEnded(let turn)):
        if let conversation = conversations[turn.session], conversation.active == turn {
          conversation.active = nil
          context.endTurn(turn)
          try await proceed(turn.session, ports.hidden)
        }
      case .first(.turnCut(let cut)), .second(.turnCut(let cut)):
        if let conversation = conversations[cut.session] {
          conversation.forget(through: cut.epoch)
          try await proceed(cut.session, ports.hidden)
        }
      case .first(.sessionBegan), .second(.sessionBegan), .second(.sessionEnded): break
      }
    }
  }

  private mutating func conversation(_ session: Session) throws -> Conversation {
    if let conversation = conversations[session] { return conversation }
    let conversation = Conversation(try KVCache(model, capacity: parameters.limit))
    conversations[session] = conversation
    return conversation
  }

  /// Starts the session's next turn if none is being worked on, and ends the session after its last.
  private mutating func proceed(_ session: Session, _ output: Output<Features>) async throws {
    guard let conversation = conversations[session] else { return }
    while conversation.active == nil, !conversation.waiting.isEmpty {
      let turn = conversation.waiting.removeFirst()
      guard let prompt = conversation.prompts.removeValue(forKey: turn), !prompt.tokens.isEmpty else {
        // Nothing was asked.
        context.endTurn(turn)
        continue
      }
      guard prompt.tokens.count < conversation.cache.capacity else {
        context.fail(
          turn,
          because: """
            the prompt has \(prompt.tokens.count) tokens and the context holds \(conversation.cache.capacity); \
            ask something shorter or raise \(context.name).limit
            """)
        context.endTurn(turn)
        continue
      }
      conversation.active = turn
      let known = parameters.context == .session ? conversation.commonPrefix(with: prompt.tokens) : 0
      conversation.truncate(to: known)
      try await step(conversation, Array(prompt.tokens[known...]), turn, prompt.stamp, output)
    }
    if conversation.active == nil, conversation.isComplete {
      conversations[session] = nil
      context.endSession(session)
    }
  }

  /// Computes over the tokens and sends the last one's hidden state. When the context is full, or the turn has been
  /// interrupted, the turn is over instead.
  private func step(
    _ conversation: Conversation, _ tokens: [Int32], _ turn: Turn, _ stamp: Stamp, _ output: Output<Features>
  ) async throws {
    guard conversation.cache.count + tokens.count <= conversation.cache.capacity else {
      conversation.active = nil
      context.endTurn(turn)
      return
    }
    let context = context
    let hidden: Matrix
    do {
      hidden = try runner.forward(tokens: tokens, cache: conversation.cache) {
        if context.isStopping { throw CancellationError() }
        try turn.check()
      }
    } catch is TurnCut {
      conversation.active = nil
      return
    }
    conversation.tokens += tokens
    try await output.send(
      Features(values: SharedBuffer(hidden.values), rows: hidden.rows, dim: hidden.columns), turn: turn,
      time: stamp.time, trace: stamp.trace)
  }
}
