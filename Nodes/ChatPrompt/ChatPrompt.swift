public import Dataflow
public import Messages
internal import ModelKit

/// Puts what was said into the form in which a chat model was taught to be asked.
///
/// Told how its answers were played, it repeats the conversation in each prompt: what was asked, and of each answer what
/// was *heard*, which after an interruption is less than what was thought of.
///
/// A turn in which nothing was said (noise that Whisper made no words of) gets no prompt: it ends, and nobody answers.
public struct ChatPromptNode: Node {
  public static let kind = "chat-prompt"
  public static let summary = "Turns text into a chat model's prompt (ChatML), with what was said before."

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let model: String
    public let system: String
    public let history: Int
    public init(_ read: inout ParameterReader) {
      model = read.model(
        "model", default: "smollm2-135m-instruct",
        help: "The model whose tokenizer is used: its name in the model cache, its folder or its file.")
      system = read(
        "system", default: ChatPromptNode.spokenAnswers,
        help: "What the model is told before the question; empty for nothing.")
      history = read(
        "history", default: 8, in: 0...1_000, unit: "turns",
        help: "How many earlier turns a prompt repeats, where answers come in.")
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let text: Input<Text>
    public let answer: Input<AnswerState>
    public let tokens: Output<Tokens>
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      text = bind.input("text", help: "What was said, in any number of pieces; the turn's end completes it.")
      answer = bind.input(
        "answer", optional: true,
        help: "What was heard of the answers; a feedback edge brings it. Without it each prompt stands alone.")
      tokens = bind.output(
        "tokens", type: .tokens(vocabulary: Tokens.vocabulary(ofModel: parameters.model)),
        help: "The prompt, whole, up to where the answer begins.")
    }
  }

  /// Made for answers that are listened to.
  public static let spokenAnswers =
    "You are a helpful voice assistant. Answer in one or two short, plain sentences."

  /// A question, and what was heard of its answer.
  private struct Exchange {
    let epoch: UInt32
    let asked: String
    var heard = ""
  }

  private let parameters: Parameters
  private let context: NodeContext
  private let tokenizer: Tokenizer
  private var texts: [Turn: Received<Text>] = [:]
  private var conversations: [Session: [Exchange]] = [:]

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    tokenizer = try ModelStore.shared.causalLM(at: ModelFolder.path(parameters.model)).tokenizer
  }

  public mutating func run(_ ports: Ports) async throws {
    for try await arrival in arrivals(on: ports.text, ports.answer) {
      if let cut = arrival.cut {
        texts = texts.filter { $0.key.session != cut.session || $0.key.epoch > cut.epoch }
      } else if let event = try ports.text.event(of: arrival) {
        switch event {
        case .message(let piece): hear(piece)
        case .turnEnded(let turn):
          guard let said = texts.removeValue(forKey: turn) else { continue }
          try await ask(said, ports)
        case .sessionEnded(let session):
          texts = texts.filter { $0.key.session != session }
          conversations[session] = nil
        case .sessionBegan, .turnCut: break
        }
      } else if case .message(let state)? = try ports.answer.event(of: arrival) {
        note(state.value, in: state.session)
      }
    }
  }

  private mutating func hear(_ piece: Received<Text>) {
    let before = texts[piece.turn]
    texts[piece.turn] = Received(
      Text((before?.value.string ?? "") + piece.value.string), turn: piece.turn, stamp: before?.stamp ?? piece.stamp)
  }

  private mutating func ask(_ said: Received<Text>, _ ports: Ports) async throws {
    let words = said.value.string.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    guard !words.isEmpty else { return }
    var messages: [ChatMessage] = []
    if !parameters.system.isEmpty { messages.append(ChatMessage(.system, parameters.system)) }
    // Of what nothing was heard, the model did not say anything.
    for exchange in (conversations[said.session] ?? []).filter({ !$0.heard.isEmpty }).suffix(parameters.history) {
      messages += [ChatMessage(.user, exchange.asked), ChatMessage(.assistant, exchange.heard)]
    }
    messages.append(ChatMessage(.user, words))
    if ports.answer.isConnected {
      conversations[said.session, default: []].append(Exchange(epoch: said.turn.epoch, asked: words))
      // What will never be repeated need not be kept.
      let spare = (conversations[said.session]?.count ?? 0) - parameters.history - 16
      if spare > 0 { conversations[said.session]?.removeFirst(spare) }
    }
    let prompt = try ChatTemplate.encode(messages, with: tokenizer)
    let vocabulary = Tokens.vocabulary(ofModel: parameters.model)
    try await ports.tokens.send(Tokens(prompt, vocabulary: vocabulary), following: said)
  }

  /// An interrupted answer ends where it was cut, and the model is to see that.
  private mutating func note(_ state: AnswerState, in session: Session) {
    guard state.phase == .finished || state.phase == .cut,
      let place = conversations[session]?.firstIndex(where: { $0.epoch == state.epoch })
    else { return }
    let isCut = state.phase == .cut && !state.heard.isEmpty
    conversations[session]?[place].heard = state.heard + (isCut ? " …" : "")
  }
}
