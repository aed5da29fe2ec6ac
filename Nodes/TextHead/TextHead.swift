public import Dataflow
public import Messages
public import ModelKit
internal import Tensors

/// Chooses the next token from a hidden state, sends it back into the loop, and hands out the text as it comes.
///
/// It ends the turn, on all outputs, at the model's end token or at `max-tokens`. Hidden states of several sessions that are
/// there together are multiplied with the head together, which reads its weights once; what a session gets does not depend
/// on the others.
public struct TextHeadNode: Node {
  public static let kind = "text-head"
  public static let summary = "Chooses tokens from hidden states: logits, sampling, text; ends the answer."
  public static let ending = Ending.explicit

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let model: String
    public let weights: WeightPrecision
    public let temperature: Float
    public let topK: Int
    public let topP: Float
    public let repetitionPenalty: Float
    public let maxTokens: Int
    public let seed: Int

    public init(_ read: inout ParameterReader) {
      model = read.model(
        "model", default: "smollm2-135m-instruct",
        help: "The model whose head and tokenizer are used: its name in the model cache, its folder or its file.")
      weights = read(
        "weights", default: .int8,
        help: "How the head's matrix is kept and multiplied, as llm-step's are; the same as there loads the model once."
      )
      temperature = read(
        "temperature", default: 0, in: 0...5, help: "0 always takes the most likely token; larger is more varied.")
      topK = read(
        "top-k", default: 0, in: 0...1_000_000, unit: "tokens",
        help: "Draw from this many of the most likely tokens; 0 is no limit.")
      topP = read(
        "top-p", default: 1, in: 0...1,
        help: "Draw from the most likely tokens that together reach this probability; 1 is no limit.")
      repetitionPenalty = read(
        "repetition-penalty", default: 1, in: 1...2,
        help: "Makes tokens of this answer less likely to come again; 1 is off.")
      maxTokens = read(
        "max-tokens", default: 128, in: 1...1_000_000, unit: "tokens", help: "Where an answer is broken off.")
      seed = read(
        "seed", default: 0, in: 0...Int.max, help: "Seed of the draws of each turn; 0 takes the run's.")
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let hidden: Input<Features>
    public let token: Output<Tokens>
    public let text: Output<Text>

    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      hidden = bind.input(
        "hidden", found: .features(dim: try ModelHeader.hiddenWidth(parameters.model)),
        help: "Hidden states; of several rows the last one counts.")
      token = bind.output(
        "token", type: .tokens(vocabulary: Tokens.vocabulary(ofModel: parameters.model)),
        help: "The chosen token, for the next step; end tokens are not sent.")
      text = bind.output("text", help: "The answer in pieces, each whole UTF-8.")
    }
  }

  private let parameters: Parameters
  private let context: NodeContext
  private let model: CausalLM
  private let head: LanguageHeadRunner
  private let vocabulary: String
  private var answers: [Turn: Answer] = [:]
  /// The last turn of each session that has been ended here.
  private var ended: [Session: UInt32] = [:]
  /// What has come and is chosen next, of different turns.
  private var waiting: [Received<Features>] = []

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    Compute.setThreads(context.threads)
    model = try ModelStore.shared.causalLM(at: ModelFolder.path(parameters.model), weights: parameters.weights) {
      if context.isStopping { throw CancellationError() }
    }
    head = LanguageHeadRunner(model.head)
    vocabulary = Tokens.vocabulary(ofModel: parameters.model)
  }

  public mutating func run(_ ports: Ports) async throws {
    var events = ports.hidden.events.makeAsyncIterator()
    while let event = try await events.next() {
      try await take(event, ports)
      while let event = try events.waiting() { try await take(event, ports) }
      try await choose(ports)
    }
  }

  private mutating func take(_ event: InputEvent<Features>, _ ports: Ports) async throws {
    if case .message(let hidden) = event {
      if waiting.count == HeadRows.most || waiting.contains(where: { $0.turn == hidden.turn }) {
        try await choose(ports)
      }
      return waiting.append(hidden)
    }
    // An end is behind what was sent before it.
    try await choose(ports)
    switch event {
    case .turnEnded(let turn): try await finish(turn, ports)
    case .turnCut(let cut):
      answers = answers.filter { $0.key.session != cut.session || $0.key.epoch > cut.epoch }
    case .sessionEnded(let session):
      answers = answers.filter { $0.key.session != session }
      ended[session] = nil
      context.endSession(session)
    case .sessionBegan, .message: break
    }
  }

  /// What has been answered in a turn.
  fileprivate struct Answer {
    var sampler: Sampler
    var text: TextStream
    /// Tokens chosen, and which.
    var count = 0
    var said: Set<Int32> = []
  }

  private func newAnswer(_ turn: Turn) -> Answer {
    // A turn's draws depend on its number and not on what other sessions do meanwhile.
    let seed = parameters.seed == 0 ? context.seed : UInt64(parameters.seed)
    let options = SamplingOptions(
      temperature: parameters.temperature, topK: parameters.topK, topP: parameters.topP,
      seed: seed &+ UInt64(turn.epoch) &* 0x9e37_79b9_7f4a_7c15)
    return Answer(sampler: Sampler(options), text: TextStream(model.tokenizer))
  }

  /// A position and the token chosen for it.
  private struct Choice {
    let hidden: Received<Features>
    let token: Int32
  }

  /// Chooses the tokens of all that waits, and hands them out.
  private mutating func choose(_ ports: Ports) async throws {
    if waiting.isEmpty { return }
    let choices = try chooseTokens()
    // Tokens go back first and together: the next step waits for nothing else.
    for choice in choices where !isLast(choice.token, of: choice.hidden.turn) {
      let token = Tokens(CollectionOfOne(choice.token), vocabulary: vocabulary)
      try await ports.token.send(token, following: choice.hidden)
    }
    for choice in choices {
      let turn = choice.hidden.turn
      if !model.endTokens.contains(choice.token), let piece = answers[turn]?.text.append(choice.token), !piece.isEmpty {
        try await ports.text.send(Text(piece), following: choice.hidden)
      }
      if isLast(choice.token, of: turn) { try await finish(turn, ports) }
    }
  }

  private mutating func chooseTokens() throws -> [Choice] {
    let chosen = waiting.filter {
      !$0.turn.isCut && $0.turn.epoch > ended[$0.session] ?? 0 && $0.value.rows > 0
    }
    waiting.removeAll(keepingCapacity: true)
    head.rows.removeAll()
    for hidden in chosen {
      guard hidden.value.dim == head.head.width else {
        throw ModelInputError.shape(expected: "hidden states of \(head.head.width)", found: "\(hidden.value.dim)")
      }
      hidden.value.values.withUnsafeBufferPointer { values in
        if let start = values.baseAddress { head.rows.add(start + (values.count - hidden.value.dim)) }
      }
    }
    head.compute()
    let (rows, penalty) = (head.rows, parameters.repetitionPenalty)
    return chosen.enumerated().compactMap { place, hidden in
      if answers[hidden.turn] == nil { answers[hidden.turn] = newAnswer(hidden.turn) }
      let token = answers[hidden.turn]?.choose(rows[place], penalty: penalty)
      return token.map { Choice(hidden: hidden, token: $0) }
    }
  }

  private func isLast(_ token: Int32, of turn: Turn) -> Bool {
    model.endTokens.contains(token) || answers[turn]?.count ?? 0 >= parameters.maxTokens
  }

  /// Ends the turn, once.
  private mutating func finish(_ turn: Turn, _ ports: Ports) async throws {
    guard turn.epoch > ended[turn.session] ?? 0 else { return }
    if var answer = answers.removeValue(forKey: turn) {
      let rest = answer.text.finish()
      if !rest.isEmpty { try await ports.text.send(Text(rest), turn: turn) }
    }
    ended[turn.session] = turn.epoch
    context.endTurn(turn)
  }
}

extension TextHeadNode.Answer {
  /// Chooses the next token.
  ///
  /// - Parameters:
  ///   - logits: changed by it.
  ///   - penalty: makes the logits of tokens that the answer holds already less likely; 1 is off.
  fileprivate mutating func choose(_ logits: UnsafeMutableBufferPointer<Float>, penalty: Float) -> Int32 {
    if penalty > 1 {
      for token in said {
        let value = logits[Int(token)]
        logits[Int(token)] = value > 0 ? value / penalty : value * penalty
      }
    }
    let token = sampler.sample(UnsafeBufferPointer(logits))
    count += 1
    if penalty > 1 { said.insert(token) }
    return token
  }
}
