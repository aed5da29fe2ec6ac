public import Dataflow
public import Messages
public import ModelKit
internal import Tensors

/// Chooses Mini-Omni2's tokens from hidden states, seven of audio and one of text at a time, sends them back into the
/// loop, and hands out codes for the codec and text as they are whole.
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
        "weights", default: .stored,
        help: "How the head's matrix is kept in memory: as stored, or converted when it is loaded.")
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
    }
  }

  private let parameters: Parameters
  private let context: NodeContext
  private let head: MiniOmni2HeadRunner
  private let tokenizer: Tokenizer
  private var answers: [Turn: Answer] = [:]
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

  private mutating func choose(_ hidden: Received<Features>, _ ports: Ports) async throws {
    let (turn, value) = (hidden.turn, hidden.value)
    guard !turn.isCut, turn.epoch > ended[turn.session] ?? 0 else { return }
    var answer = answers.removeValue(forKey: turn) ?? newAnswer(turn)
    let step: MiniOmni2Answer.Step
    do {
      let states = Matrix(rows: value.rows, columns: value.dim, values: Array(value.values))
      step = try answer.tokens.choose(states ?? Matrix(rows: 0, columns: 0), head)
    } catch {
      context.fail(turn, because: "\(error)")
      return try await finish(turn, ports)
    }
    let piece = step.word.map { answer.text.append($0) } ?? ""
    if !piece.isEmpty, parameters.task.speaks { context.said([SaidText(answer.alignment.append(piece))], of: turn) }
    answers[turn] = answer
    // The next step need not wait for the sound and the text to be taken.
    if !step.isLast {
      let vocabulary = Tokens.vocabulary(ofModel: parameters.model)
      try await ports.token.send(Tokens(step.tokens, vocabulary: vocabulary), following: hidden)
    }
    if let frame = step.frame {
      let codes = AudioCodes(
        codes: SharedBuffer(frame), layers: frame.count, size: head.head.configuration.codebookSize)
      try await ports.codes.send(codes, following: hidden)
    }
    if !piece.isEmpty { try await ports.text.send(Text(piece), following: hidden) }
    if step.isLast { try await finish(turn, ports) }
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
        context.said(answer.alignment.completed(duration: seconds).map(SaidText.init), of: turn, replacing: true)
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
