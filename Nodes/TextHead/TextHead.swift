public import Dataflow
public import Messages
internal import ModelKit
internal import Tensors

/// Chooses the next token from a hidden state, sends it back into the loop, and hands out the text as it comes.
///
/// It ends the turn, on all outputs, at the model's end token or at `max-tokens`.
public struct TextHeadNode: Node {
  public static let kind = "text-head"
  public static let summary = "Chooses tokens from hidden states: logits, sampling, text; ends the answer."
  public static let ending = Ending.explicit

  public struct Parameters: NodeParameters {
    public let model: String
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
  private var answers: [Turn: Answer] = [:]
  /// The last turn of each session that has been ended here.
  private var ended: [Session: UInt32] = [:]
  private var logits = Matrix(rows: 0, columns: 0)

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    Compute.setThreads(context.threads)
    model = try ModelStore.shared.causalLM(at: ModelFolder.path(parameters.model)) {
      if context.isStopping { throw CancellationError() }
    }
    head = LanguageHeadRunner(model.head)
  }

  public mutating func run(_ ports: Ports) async throws {
    for try await event in ports.hidden.events {
      switch event {
      case .message(let hidden): try await choose(hidden, ports)
      case .turnEnded(let turn): try await finish(turn, ports)
      case .turnCut(let cut):
        answers = answers.filter { $0.key.session != cut.session || $0.key.epoch > cut.epoch }
      case .sessionEnded(let session):
        answers = answers.filter { $0.key.session != session }
        ended[session] = nil
        context.endSession(session)
      case .sessionBegan: break
      }
    }
  }

  /// What has been answered in a turn.
  private struct Answer {
    var sampler: Sampler
    var text: TextStream
    var tokens: [Int32] = []
  }

  private func newAnswer(_ turn: Turn) -> Answer {
    // A turn's draws depend on its number and not on what other sessions do meanwhile.
    let seed = parameters.seed == 0 ? context.seed : UInt64(parameters.seed)
    let options = SamplingOptions(
      temperature: parameters.temperature, topK: parameters.topK, topP: parameters.topP,
      seed: seed &+ UInt64(turn.epoch) &* 0x9e37_79b9_7f4a_7c15)
    return Answer(sampler: Sampler(options), text: TextStream(model.tokenizer))
  }

  private mutating func choose(_ hidden: Received<Features>, _ ports: Ports) async throws {
    let turn = hidden.turn
    guard !turn.isCut, turn.epoch > ended[turn.session] ?? 0, hidden.value.rows > 0 else { return }
    var answer = answers[turn] ?? newAnswer(turn)
    let last = hidden.value.values.suffix(hidden.value.dim)
    guard let row = Matrix(rows: 1, columns: hidden.value.dim, values: Array(last)) else { return }
    try head.logits(row, into: &logits)
    let token = answer.sampler.sample(penalized(logits.values, answer.tokens))
    if model.endTokens.contains(token) { return try await finish(turn, ports) }

    answer.tokens.append(token)
    let piece = answer.text.append(token)
    answers[turn] = answer
    // The next step need not wait for the text to be taken.
    let isLast = answer.tokens.count >= parameters.maxTokens
    if !isLast {
      let vocabulary = Tokens.vocabulary(ofModel: parameters.model)
      try await ports.token.send(Tokens([token], vocabulary: vocabulary), following: hidden)
    }
    if !piece.isEmpty { try await ports.text.send(Text(piece), following: hidden) }
    if isLast { try await finish(turn, ports) }
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

  /// The logits with those of tokens that the answer holds already made less likely.
  private func penalized(_ logits: [Float], _ tokens: [Int32]) -> [Float] {
    guard parameters.repetitionPenalty > 1 else { return logits }
    var logits = logits
    for token in Set(tokens) {
      let value = logits[Int(token)]
      logits[Int(token)] = value > 0 ? value / parameters.repetitionPenalty : value * parameters.repetitionPenalty
    }
    return logits
  }
}
