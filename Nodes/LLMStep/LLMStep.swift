public import Dataflow
public import Messages
public import ModelKit
internal import Tensors

/// Runs a language model step by step: a prompt in, one hidden state out; then a token in, the next hidden state out.
///
/// What chooses the tokens (``text-head``, ``audio-token-head``, or any other head) is a node of its own; its tokens come
/// back over a feedback edge, and when it ends the turn on that edge, the turn ends here. A session's turns are worked on
/// one after the other.
///
/// Different sessions share the weights: whoever's tokens are there when a step begins goes, in one batch, and nobody is
/// waited for. A prompt is read layer by layer, and between two layers the others make their steps. What a session gets
/// does not depend on the others, to the last bit.
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
        "weights", default: .int8,
        help: """
          How the matrices are kept and multiplied: 'stored' computes with what the file holds in 32 bits, as f32 does; \
          bf16, int8 and int4 round weights and activations, and are faster (docs/performance.md).
          """)
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
  private let makeMemory: () -> any SessionMemory
  private let width: Int
  private let batch: StepBatch
  private var conversations: [Session: Conversation] = [:]
  /// Sessions with a turn that waits for room in the loop, in order.
  private var queue: [Session] = []
  /// Sessions whose prompts are being read, the first one now.
  private var readers: [Conversation] = []
  /// What can be computed in the next step, in order.
  private var ready: [Position] = []
  /// What is computed in this one.
  private var members: [Member] = []

  /// A position that can be computed: the one of the tokens, or a prompt's last.
  private struct Position {
    let conversation: Conversation
    let turn: Turn
    let stamp: Stamp
    let tokens: SharedBuffer<Int32>?
  }

  /// A position with its rows in the batch.
  private struct Member {
    let position: Position
    let rows: Range<Int>
  }

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    Compute.setThreads(context.threads)
    context.progress("loading \(parameters.model)", 0)
    let check: CancellationCheck = { if context.isStopping { throw CancellationError() } }
    let path = try ModelFolder.path(parameters.model)
    let (limit, keepsTurns) = (parameters.limit, parameters.context == .session)
    if ModelFolder.isMiniOmni2(path) {
      let model = try ModelStore.shared.miniOmni2(at: path, weights: parameters.weights, checkCancelled: check)
      let runner = MiniOmni2Runner(model)
      let pool = CachePool { try KVCache(model, capacity: limit) }
      width = model.configuration.width
      batch = StepBatch(runner.layers, width: width)
      makeMemory = { OmniMemory(runner, pool, limit: limit, keepsTurns: keepsTurns) }
    } else {
      let model = try ModelStore.shared.causalLM(at: path, weights: parameters.weights, checkCancelled: check)
      let runner = CausalLMRunner(model)
      let pool = CachePool { try KVCache(model, capacity: limit) }
      width = model.configuration.width
      batch = StepBatch(runner.layers, width: width)
      makeMemory = { TokenMemory(runner, pool, limit: limit, keepsTurns: keepsTurns) }
    }
    context.progress("loading \(parameters.model)", 1)
  }

  public mutating func run(_ ports: Ports) async throws {
    var inputs = arrivals(on: ports.prompt, ports.embeddings, ports.token, ports.control).makeAsyncIterator()
    while true {
      if readers.isEmpty, ready.isEmpty {
        guard let arrival = try await inputs.next() else { return }
        try take(arrival, ports)
      }
      while let arrival = try inputs.waiting() { try take(arrival, ports) }
      try await step(ports.hidden)
      try read()
    }
  }

  // MARK: What comes in

  private mutating func take(_ arrival: AnyArrival, _ ports: Ports) throws {
    if let cut = arrival.cut {
      guard let conversation = conversations[cut.session] else { return }
      if conversation.forget(through: cut.epoch) { drop(conversation) }
      try proceed(conversation)
      try proceedWithOthers()
    } else if let event = try ports.prompt.event(of: arrival) {
      try prompted(event) { $0.add($1) }
    } else if let event = try ports.embeddings.event(of: arrival) {
      try prompted(event) { $0.add($1) }
    } else if let event = try ports.token.event(of: arrival) {
      try answered(event)
    } else if case .message(let control)? = try ports.control.event(of: arrival), control.value.name == "reset" {
      conversations[control.session]?.reset()
    }
  }

  /// Something came in on an input of prompts.
  private mutating func prompted<Value: Message>(
    _ event: InputEvent<Value>, add: (Conversation, Received<Value>) -> Void
  ) throws {
    switch event {
    case .message(let prompt): add(conversation(prompt.session), prompt)
    case .turnEnded(let turn):
      let conversation = conversation(turn.session)
      // The end comes on each input of prompts that is connected; the first is enough.
      guard conversation.active != turn, !conversation.waiting.contains(turn) else { return }
      conversation.waiting.append(turn)
      try proceed(conversation)
    case .sessionEnded(let session):
      let conversation = conversation(session)
      conversation.isComplete = true
      try proceed(conversation)
    case .sessionBegan, .turnCut: break
    }
  }

  /// Something came back from the head.
  private mutating func answered(_ event: InputEvent<Tokens>) throws {
    switch event {
    case .message(let token):
      guard let conversation = conversations[token.session], conversation.active == token.turn else { return }
      conversation.pending += 1
      ready.append(
        Position(conversation: conversation, turn: token.turn, stamp: token.stamp, tokens: token.value.ids))
    case .turnEnded(let turn):
      guard let conversation = conversations[turn.session], conversation.active == turn else { return }
      conversation.isEnding = true
      try endIfDone(conversation)
    case .sessionBegan, .sessionEnded, .turnCut: break
    }
  }

  private mutating func conversation(_ session: Session) -> Conversation {
    if let conversation = conversations[session] { return conversation }
    let conversation = Conversation(session, makeMemory())
    conversations[session] = conversation
    return conversation
  }

  // MARK: Turns

  private var hasRoom: Bool { conversations.values.count { $0.active != nil } < parameters.turns }

  /// Starts the session's next turn if none is being worked on, and ends the session after its last.
  private mutating func proceed(_ conversation: Conversation) throws {
    let session = conversation.session
    while conversation.active == nil, !conversation.waiting.isEmpty {
      guard hasRoom else {
        if !queue.contains(session) { queue.append(session) }
        return
      }
      let turn = conversation.waiting.removeFirst()
      guard let prompt = conversation.takePrompt(of: turn) else {
        // Nothing was asked.
        context.endTurn(turn)
        continue
      }
      do {
        try conversation.begin(turn, prompt)
        readers.append(conversation)
      } catch {
        try fail(conversation, turn, error)
      }
    }
    if conversation.active == nil, conversation.isComplete, conversations[session] != nil {
      conversations[session] = nil
      context.endSession(session)
    }
  }

  /// Starts turns of sessions that waited, as long as there is room in the loop.
  private mutating func proceedWithOthers() throws {
    while !queue.isEmpty, hasRoom {
      if let conversation = conversations[queue.removeFirst()] { try proceed(conversation) }
    }
  }

  private mutating func endIfDone(_ conversation: Conversation) throws {
    guard conversation.isEnding, conversation.pending == 0, let turn = conversation.active else { return }
    conversation.end()
    context.endTurn(turn)
    try proceed(conversation)
    try proceedWithOthers()
  }

  /// What came in does not fit the model: another turn may.
  ///
  /// - Throws: the error, if it means anything else.
  private mutating func fail(_ conversation: Conversation, _ turn: Turn, _ error: any Error) throws {
    guard error is UnusablePrompt || error is ModelInputError else { throw error }
    context.fail(turn, because: "\(error)")
    drop(conversation)
    conversation.end()
    context.endTurn(turn)
  }

  /// Nothing of the session is to be computed any more.
  private mutating func drop(_ conversation: Conversation) {
    readers.removeAll { $0 === conversation }
    ready.removeAll { $0.conversation === conversation }
  }

  // MARK: Work

  /// Reads on in the first of the prompts, by a layer.
  private mutating func read() throws {
    guard let conversation = readers.first, let turn = conversation.active else { return }
    do {
      if turn.isCut {
        // The notice is on its way; until it is here another prompt may be read.
        conversation.memory.end()
        drop(conversation)
      } else if try !conversation.memory.read() {
        readers.removeFirst()
        ready.append(Position(conversation: conversation, turn: turn, stamp: conversation.stamp, tokens: nil))
      }
    } catch {
      try fail(conversation, turn, error)
      try proceed(conversation)
      try proceedWithOthers()
    }
  }

  /// Computes all positions that are ready in one step, and sends their hidden states.
  private mutating func step(_ output: Output<Features>) async throws {
    try gather()
    if members.isEmpty { return }
    let (context, members) = (context, members)
    self.members.removeAll(keepingCapacity: true)
    let hidden: UnsafeBufferPointer<Float>
    do {
      hidden = try batch.step {
        if context.isStopping { throw CancellationError() }
        if members.allSatisfy({ $0.position.turn.isCut }) { try members.first?.position.turn.check() }
      }
    } catch is TurnCut {
      // Their notices are on their way.
      return
    }
    for member in members {
      let position = member.position
      let states = hidden[(member.rows.lowerBound * width)..<(member.rows.upperBound * width)]
      let values = SharedBuffer<Float>(count: states.count) { _ = $0.initialize(fromContentsOf: states) }
      try await output.send(
        Features(values: values, rows: member.rows.count, dim: width), turn: position.turn, time: position.stamp.time,
        trace: position.stamp.trace)
    }
    for member in members {
      member.position.conversation.pending -= 1
      try endIfDone(member.position.conversation)
    }
  }

  /// Puts what is ready into the batch. When a session's context is full, or what came for it does not fit the model, its
  /// turn is over instead.
  private mutating func gather() throws {
    batch.removeRows(from: 0)
    if ready.isEmpty { return }
    let positions = ready
    ready.removeAll(keepingCapacity: true)
    for position in positions {
      let (conversation, rows) = (position.conversation, batch.rows)
      guard conversation.active == position.turn, !position.turn.isCut else { continue }
      // What a session sent twice is computed one after the other.
      guard batch.hasRoom, !members.contains(where: { $0.position.conversation === conversation }) else {
        ready.append(position)
        continue
      }
      do {
        var hasRoom = true
        if let tokens = position.tokens {
          hasRoom = try tokens.withUnsafeBufferPointer { try conversation.memory.add($0, to: batch) }
        } else {
          try conversation.memory.addLast(to: batch)
        }
        if hasRoom {
          members.append(Member(position: position, rows: rows..<batch.rows))
        } else {
          (conversation.pending, conversation.isEnding) = (0, true)
          drop(conversation)
          try endIfDone(conversation)
        }
      } catch {
        try fail(conversation, position.turn, error)
        try proceed(conversation)
        try proceedWithOthers()
      }
    }
  }
}
