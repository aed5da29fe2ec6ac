public import Dataflow
public import Messages
public import ModelKit
internal import Tensors

/// Chooses Mini-Omni2's tokens from hidden states, seven of audio and one of text at a time, sends them back into the
/// loop, and hands out codes for the codec and text as they are whole.
///
/// Hidden states of several sessions that are there together are multiplied with the head together: its weights, too, are
/// read once. What a session gets does not depend on the others.
///
/// The audio tokens come from the first row of hidden states and the text from the last. It ends the turn, on all
/// outputs, where the model does; the node before it does where the context is full.
public struct AudioTokenHeadNode: Node {
  public static let kind = "audio-token-head"
  public static let summary =
    "Chooses Mini-Omni2's tokens: seven audio heads and the text head, sampling, frames, text."
  public static let ending = Ending.explicit

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let model: String
    public let weights: WeightPrecision
    public let task: MiniOmni2Task
    public let temperature: Float
    public let topK: Int
    public let topP: Float
    public let seed: Int

    public init(_ read: inout ParameterReader) {
      model = read.model(
        "model", default: "mini-omni2", help: "The Mini-Omni2 release: its name in the model cache, or its folder.")
      weights = read(
        "weights", default: .int8,
        help: """
          How the matrices are kept and multiplied: 'stored' computes with what the file holds in 32 bits, as f32 does; \
          bf16, int8 and int4 round weights and activations, and are faster (docs/performance.md).
          """)
      task = read(
        "task", default: .a1a2, help: "The same as the prompt's: it says whether the answer is spoken.")
      temperature = read(
        "temperature", default: 0, in: 0...5,
        help: "0 always takes the most likely token, which is the release's setting; larger is more varied.")
      topK = read(
        "top-k", default: 0, in: 0...1_000_000, unit: "tokens",
        help: "Draw from this many of the most likely tokens; 0 is no limit.")
      topP = read(
        "top-p", default: 1, in: 0...1,
        help: "Draw from the most likely tokens that together reach this probability; 1 is no limit.")
      seed = read(
        "seed", default: 0, in: 0...Int.max, help: "Seed of the draws of each turn; 0 takes the run's.")
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let hidden: Input<Features>
    public let token: Output<Tokens>
    public let codes: Output<AudioCodes>
    public let text: Output<Text>
    public let said: Output<Said>

    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      let model = parameters.model
      hidden = bind.input(
        "hidden", found: .features(dim: try ModelHeader.miniOmni2(model).width),
        help: "Hidden states of a position: the row that speaks first, the one that writes last.")
      token = bind.output(
        "token", type: .tokens(vocabulary: Tokens.vocabulary(ofModel: model)),
        help:
          "What was chosen, for the next step: seven audio ids and a text id, or of an answer in text this one alone.")
      codes = bind.output(
        "codes", type: .codes(layers: MiniOmni2Configuration.audioLayers),
        found: .reading {
          .codes(layers: MiniOmni2Configuration.audioLayers, size: try ModelHeader.miniOmni2(model).codebookSize)
        }, help: "The codes of each audio frame as soon as it is whole: one coarse, two middle, four fine.")
      text = bind.output("text", help: "The answer in pieces, each whole UTF-8.")
      said = bind.output(
        "said", help: "The same with the time by which each piece will have been heard: a guess, then what came of it.")
    }
  }

  private let parameters: Parameters
  private let context: NodeContext
  private let head: MiniOmni2HeadRunner
  private let tokenizer: Tokenizer
  private let vocabulary: String
  private var answers: [Turn: Answer] = [:]
  /// What has come and is chosen next, of different turns.
  private var waiting: [Received<Features>] = []
  /// The last turn of each session that has been ended here.
  private var ended: [Session: UInt32] = [:]

  /// What has been answered in a turn.
  private struct Answer {
    var tokens: MiniOmni2Answer
    var text: TextStream
    var alignment = TextAlignment()
  }

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    Compute.setThreads(context.threads)
    let check: CancellationCheck = { if context.isStopping { throw CancellationError() } }
    let path = try ModelFolder.path(parameters.model)
    head = MiniOmni2HeadRunner(
      try ModelStore.shared.miniOmni2Head(at: path, weights: parameters.weights, checkCancelled: check))
    tokenizer = try ModelStore.shared.tokenizer(at: path + "/tokenizer.json", checkCancelled: check)
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

  private func newAnswer(_ turn: Turn) -> Answer {
    // A turn's draws depend on its number and not on what other sessions do meanwhile.
    let seed = parameters.seed == 0 ? context.seed : UInt64(parameters.seed)
    let sampling = SamplingOptions(
      temperature: parameters.temperature, topK: parameters.topK, topP: parameters.topP,
      seed: seed &+ UInt64(turn.epoch) &* 0x9e37_79b9_7f4a_7c15)
    return Answer(
      tokens: MiniOmni2Answer(head.head.ids, speaks: parameters.task.speaks, sampling: sampling),
      text: TextStream(tokenizer))
  }

  /// A position and what came of it; nil if its hidden states do not fit the head.
  private struct Choice {
    let hidden: Received<Features>
    let step: MiniOmni2Answer.Step?
  }

  /// Chooses the tokens of all that waits, and hands them out.
  private mutating func choose(_ ports: Ports) async throws {
    if waiting.isEmpty { return }
    let choices = chooseTokens()
    // Tokens go back first and together: the next step waits for nothing else.
    for choice in choices where choice.step?.isLast == false {
      let tokens = Tokens(answers[choice.hidden.turn]?.tokens.tokens ?? [], vocabulary: vocabulary)
      try await ports.token.send(tokens, following: choice.hidden)
    }
    for choice in choices {
      if let step = choice.step { try await hand(step, of: choice.hidden, ports) }
      if choice.step?.isLast != false { try await finish(choice.hidden.turn, ports) }
    }
  }

  private mutating func chooseTokens() -> [Choice] {
    let chosen = waiting.filter { !$0.turn.isCut && $0.turn.epoch > ended[$0.session] ?? 0 }
    waiting.removeAll(keepingCapacity: true)
    head.removeAll()
    let needs = chosen.map { ask($0) }
    head.compute()
    var choices: [Choice] = []
    for (hidden, needs) in zip(chosen, needs) {
      choices.append(Choice(hidden: hidden, step: needs.flatMap { take($0, hidden.turn) }))
    }
    return choices
  }

  /// Adds what an answer needs to what the head computes; fails the turn if its hidden states do not fit.
  private mutating func ask(_ hidden: Received<Features>) -> MiniOmni2Answer.Needs? {
    let (value, head) = (hidden.value, head)
    let answer = answers[hidden.turn] ?? newAnswer(hidden.turn)
    answers[hidden.turn] = answer
    do {
      return try value.values.withUnsafeBufferPointer { try answer.tokens.ask($0, rows: value.rows, head) }
    } catch {
      context.fail(hidden.turn, because: "\(error)")
      return nil
    }
  }

  private mutating func take(_ needs: MiniOmni2Answer.Needs, _ turn: Turn) -> MiniOmni2Answer.Step? {
    let head = head
    return answers[turn]?.tokens.choose(needs, head)
  }

  /// Hands out what a position has completed.
  private mutating func hand(
    _ step: MiniOmni2Answer.Step, of hidden: Received<Features>, _ ports: Ports
  ) async throws {
    let turn = hidden.turn
    let piece = step.word.flatMap { answers[turn]?.text.append($0) } ?? ""
    if !piece.isEmpty, parameters.task.speaks, let said = answers[turn]?.alignment.append(piece) {
      context.said([SaidText(said)], of: turn)
      try await ports.said.send(Said([SaidText(said)]), following: hidden)
    }
    if step.hasFrame, let frame = answers[turn]?.tokens.frame {
      let codes = AudioCodes(
        codes: SharedBuffer(frame), layers: frame.count, size: head.head.configuration.codebookSize)
      try await ports.codes.send(codes, following: hidden)
    }
    if !piece.isEmpty { try await ports.text.send(Text(piece), following: hidden) }
  }

  /// Ends the turn, once.
  private mutating func finish(_ turn: Turn, _ ports: Ports) async throws {
    guard turn.epoch > ended[turn.session] ?? 0 else { return }
    if var answer = answers.removeValue(forKey: turn) {
      let rest = answer.text.finish()
      if !rest.isEmpty { try await ports.text.send(Text(rest), turn: turn) }
      if parameters.task.speaks {
        if !rest.isEmpty { _ = answer.alignment.append(rest) }
        let seconds = Double(answer.tokens.frames) * MiniOmni2Configuration.secondsPerFrame
        let said = answer.alignment.completed(duration: seconds).map(SaidText.init)
        context.said(said, of: turn, replacing: true)
        try await ports.said.send(Said(said, replacing: true), turn: turn)
      }
      let wrong = answer.tokens.wrongCodes
      if wrong > 0 { context.log("turn \(turn): \(wrong) audio tokens were no codes; the ones before them went on") }
    }
    ended[turn.session] = turn.epoch
    context.endTurn(turn)
  }
}

extension SaidText {
  fileprivate init(_ piece: TextAlignment.Piece) { self.init(piece.text, end: Int64(piece.end * 1e9)) }
}
