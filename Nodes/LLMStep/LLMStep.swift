public import Dataflow
public import Messages
public import ModelKit
internal import Tensors

/// Runs a language model step by step: a prompt in, one hidden state out; then a token in, the next hidden state out.
///
/// What chooses the tokens (``text-head``, ``audio-token-head``, or any other head) is a node of its own; its tokens come
/// back over a feedback edge, and when it ends the turn on that edge, the turn ends here. A session's turns are worked on
/// one after the other, different sessions in turns with each other.
public struct LLMStepNode: Node {
  public static let kind = "llm-step"
  public static let summary = "Runs a language model: prompts and fed-back tokens in, hidden states out."
  public static let ending = Ending.explicit

  public enum Keeping: String, CaseIterable, Sendable { case session, turn }

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let model: String
    public let weights: WeightPrecision
    public let limit: Int
    public let turns: Int
    public let context: Keeping

    public init(_ read: inout ParameterReader) {
      model = read.model(
        "model", default: "smollm2-135m-instruct",
        help: """
          The model: its name in the model cache, its folder or its file; a language model of tokens (GGUF), or a \
          Mini-Omni2 release.
          """)
      weights = read(
        "weights", default: .stored,
        help: "How the matrices are kept in memory: as stored, or converted when they are loaded.")
      limit = read(
        "limit", default: 2_048, in: 16...1_048_576, unit: "tokens",
        help: "How much prompt and answer together may hold, at most the model's own limit.")
      turns = read(
        "turns", default: 4, in: 1...64,
        help: """
          How many sessions' turns are in the token loop at once; others wait. At most the depth of the feedback edge: \
          what goes round must have room, or the loop would wait for itself.
          """)
      context = read(
        "context", default: .turn,
        help: """
          'turn': each turn starts afresh, as Mini-Omni2 was trained; 'session': of tokens, what a prompt has in common \
          with what was computed before (the system prompt, earlier turns that it repeats) is not computed again; with \
          Mini-Omni2, earlier turns stay in the context until it is full or a control message says reset \
          (experimental).
          """)
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let prompt: Input<Tokens>
    public let embeddings: Input<Features>
    public let token: Input<Tokens>
    public let control: Input<Control>
    public let hidden: Output<Features>

    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      let type = PortType.tokens(vocabulary: Tokens.vocabulary(ofModel: parameters.model))
      let width = FoundType.features(dim: try ModelHeader.hiddenWidth(parameters.model))
      prompt = bind.input(
        "prompt", type: type, optional: true,
        help: "The prompt of a model of tokens; the turn's end on this input completes it.")
      embeddings = bind.input(
        "embeddings", found: width, optional: true,
        help: """
          The prompt of Mini-Omni2, a row a position; the last message is the last position, with one row to answer in \
          speech or text, or two to answer in both.
          """)
      token = bind.input(
        "token", type: type, help: "The token, or the eight of Mini-Omni2, that was chosen; a feedback edge brings it.")
      control = bind.input(
        "control", optional: true, help: "'reset' forgets the session's earlier turns; other events are not for here.")
      hidden = bind.output(
        "hidden", found: width,
        help: "The last position's hidden state after the final norm, for the prompt and for each token: a row a row.")
    }
  }

  private let parameters: Parameters
  private let context: NodeContext
  private let makeMemory: () throws -> any SessionMemory
  private var conversations: [Session: Conversation] = [:]
  /// Sessions with a turn that waits for room in the loop, in order.
  private var queue: [Session] = []

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    Compute.setThreads(context.threads)
    context.progress("loading \(parameters.model)", 0)
    let check: CancellationCheck = { if context.isStopping { throw CancellationError() } }
    let path = try ModelFolder.path(parameters.model)
    let keepsTurns = parameters.context == .session
    if ModelFolder.isMiniOmni2(path) {
      let runner = MiniOmni2Runner(
        try ModelStore.shared.miniOmni2(at: path, weights: parameters.weights, checkCancelled: check))
      makeMemory = { try OmniMemory(runner, limit: parameters.limit, keepsTurns: keepsTurns) }
    } else {
      let runner = CausalLMRunner(
        try ModelStore.shared.causalLM(at: path, weights: parameters.weights, checkCancelled: check))
      makeMemory = { try TokenMemory(runner, limit: parameters.limit, keepsTurns: keepsTurns) }
    }
    context.progress("loading \(parameters.model)", 1)
  }

  public mutating func run(_ ports: Ports) async throws {
    for try await arrival in arrivals(on: ports.prompt, ports.embeddings, ports.token, ports.control) {
      if let cut = arrival.cut {
        if let conversation = conversations[cut.session] {
          conversation.forget(through: cut.epoch)
          try await proceed(cut.session, ports.hidden)
          try await proceedWithOthers(ports.hidden)
        }
      } else if let event = try ports.prompt.event(of: arrival) {
        try await prompted(event, ports.hidden) { $0.add($1) }
      } else if let event = try ports.embeddings.event(of: arrival) {
        try await prompted(event, ports.hidden) { $0.add($1) }
      } else if let event = try ports.token.event(of: arrival) {
        try await answered(event, ports.hidden)
      } else if case .message(let control)? = try ports.control.event(of: arrival), control.value.name == "reset" {
        conversations[control.session]?.reset()
      }
    }
  }

  /// Something came in on an input of prompts.
  private mutating func prompted<Value: Message>(
    _ event: InputEvent<Value>, _ output: Output<Features>, add: (Conversation, Received<Value>) -> Void
  ) async throws {
    switch event {
    case .message(let prompt): add(conversation(prompt.session), prompt)
    case .turnEnded(let turn):
      let conversation = conversation(turn.session)
      // The end comes on each input of prompts that is connected; the first is enough.
      guard conversation.active != turn, !conversation.waiting.contains(turn) else { return }
      conversation.waiting.append(turn)
      try await proceed(turn.session, output)
    case .sessionEnded(let session):
      conversation(session).isComplete = true
      try await proceed(session, output)
    case .sessionBegan, .turnCut: break
    }
  }

  /// Something came back from the head.
  private mutating func answered(_ event: InputEvent<Tokens>, _ output: Output<Features>) async throws {
    switch event {
    case .message(let token):
      guard let conversation = conversations[token.session], conversation.active == token.turn else { return }
      let tokens = Array(token.value.ids)
      try await step(conversation, token.turn, token.stamp, output) { try $0.advance(tokens, check: $1) }
      if conversation.active == nil {
        try await proceed(token.session, output)
        try await proceedWithOthers(output)
      }
    case .turnEnded(let turn):
      guard let conversation = conversations[turn.session], conversation.active == turn else { return }
      conversation.active = nil
      context.endTurn(turn)
      try await proceed(turn.session, output)
      try await proceedWithOthers(output)
    case .sessionBegan, .sessionEnded, .turnCut: break
    }
  }

  /// Starts turns of sessions that waited, as long as there is room in the loop.
  private mutating func proceedWithOthers(_ output: Output<Features>) async throws {
    while !queue.isEmpty, hasRoom { try await proceed(queue.removeFirst(), output) }
  }

  private var hasRoom: Bool { conversations.values.filter { $0.active != nil }.count < parameters.turns }

  private mutating func conversation(_ session: Session) -> Conversation {
    if let conversation = conversations[session] { return conversation }
    let conversation = Conversation(makeMemory)
    conversations[session] = conversation
    return conversation
  }

  /// Starts the session's next turn if none is being worked on, and ends the session after its last.
  private mutating func proceed(_ session: Session, _ output: Output<Features>) async throws {
    guard let conversation = conversations[session] else { return }
    while conversation.active == nil, !conversation.waiting.isEmpty {
      guard hasRoom else {
        if !queue.contains(session) { queue.append(session) }
        return
      }
      let turn = conversation.waiting.removeFirst()
      guard let (prompt, stamp) = conversation.prompts.removeValue(forKey: turn), !prompt.isEmpty else {
        // Nothing was asked.
        context.endTurn(turn)
        continue
      }
      conversation.active = turn
      conversation.resetIfAsked()
      try await step(conversation, turn, stamp, output) { try $0.begin(prompt, check: $1) }
    }
    if conversation.active == nil, conversation.isComplete {
      conversations[session] = nil
      context.endSession(session)
    }
  }

  /// Computes and sends hidden states. When the context is full, or the turn has been interrupted, or cannot be answered,
  /// it is over instead.
  private func step(
    _ conversation: Conversation, _ turn: Turn, _ stamp: Stamp, _ output: Output<Features>,
    compute: (any SessionMemory, CancellationCheck) throws -> Matrix?
  ) async throws {
    let context = context
    let hidden: Matrix?
    do {
      hidden = try compute(try conversation.remembering()) {
        if context.isStopping { throw CancellationError() }
        try turn.check()
      }
    } catch is TurnCut {
      conversation.active = nil
      return
    } catch {
      // What came in does not fit the model: another turn may.
      guard error is UnusablePrompt || error is ModelInputError else { throw error }
      context.fail(turn, because: "\(error)")
      hidden = nil
    }
    guard let hidden else {
      conversation.active = nil
      context.endTurn(turn)
      return
    }
    try await output.send(
      Features(values: SharedBuffer(hidden.values), rows: hidden.rows, dim: hidden.columns), turn: turn,
      time: stamp.time, trace: stamp.trace)
  }
}
