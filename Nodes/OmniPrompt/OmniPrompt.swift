public import Dataflow
public import Messages
public import ModelKit
internal import Tensors

/// Puts together what Mini-Omni2 is asked: the columns of a task, with the features of speech and pictures in their
/// places, as embeddings.
///
/// A turn's prompt goes out when all that its task needs has come in: first the positions that its rows have in common,
/// then the last one, a row for each.
public struct OmniPromptNode: Node {
  public static let kind = "omni-prompt"
  public static let summary = "Builds Mini-Omni2's prompt: features and text in, embeddings of its columns out."

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let model: String
    public let task: MiniOmni2Task
    public let oneRow: Bool

    public init(_ read: inout ParameterReader) {
      model = read.model(
        "model", default: "mini-omni2", help: "The Mini-Omni2 release: its name in the model cache, or its folder.")
      task = read(
        "task", default: .a1a2,
        help: """
          What goes in (a: speech, t: text, image) and what comes out (a: speech with its text, t: text); 1 is the \
          release's word for a single turn. a1t1 writes down what was said, caption describes a picture.
          """)
      oneRow = read(
        "one-row", default: false,
        help: "Lets one row speak and write where the task has two; faster, and its text is worse.")
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let speech: Input<Features>
    public let image: Input<Features>
    public let text: Input<Text>
    public let embeddings: Output<Features>

    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      let task = parameters.task
      let width = FoundType.features(dim: try ModelHeader.miniOmni2(parameters.model).width)
      speech = bind.input(
        "speech", found: width, optional: !task.hears,
        help: "Adapted features of a spoken question, a row for each 20 ms; needed by the tasks that hear.")
      image = bind.input(
        "image", found: width, optional: !task.sees,
        help: "Adapted features of a picture, 50 rows; needed by the tasks that see.")
      text = bind.input(
        "text", optional: !task.reads, help: "A written question; needed by the tasks that read.")
      embeddings = bind.output(
        "embeddings", found: width,
        help: "A row a position, the last in a message of its own with one row, or two that go on side by side.")
    }
  }

  /// What has come of a turn.
  private struct Question {
    var speech: [Matrix] = []
    var image: Matrix?
    var text = ""
    var stamp: Stamp?
    /// Inputs whose turn has ended.
    var complete = 0
  }

  private let parameters: Parameters
  private let context: NodeContext
  private let embedding: MiniOmni2Embedding
  private let tokenizer: Tokenizer
  private var questions: [Turn: Question] = [:]
  /// On how many of the needed inputs a session has ended.
  private var ended: [Session: Int] = [:]
  /// How many inputs the task needs.
  private var needed: Int {
    [parameters.task.hears, parameters.task.sees, parameters.task.reads].filter { $0 }.count
  }

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    let check: CancellationCheck = { if context.isStopping { throw CancellationError() } }
    let path = try ModelFolder.path(parameters.model)
    embedding = try ModelStore.shared.miniOmni2Embedding(at: path, checkCancelled: check)
    tokenizer = try ModelStore.shared.tokenizer(at: path + "/tokenizer.json", checkCancelled: check)
  }

  public mutating func run(_ ports: Ports) async throws {
    let task = parameters.task
    for try await arrival in arrivals(on: ports.speech, ports.image, ports.text) {
      if let cut = arrival.cut {
        questions = questions.filter { $0.key.session != cut.session || $0.key.epoch > cut.epoch }
      } else if let event = try ports.speech.event(of: arrival) {
        try await take(event, isNeeded: task.hears, ports) { $0.speech.append($1.matrix) }
      } else if let event = try ports.image.event(of: arrival) {
        // Of several pictures the last counts.
        try await take(event, isNeeded: task.sees, ports) { $0.image = $1.matrix }
      } else if let event = try ports.text.event(of: arrival) {
        try await take(event, isNeeded: task.reads, ports) { $0.text += $1.string }
      }
    }
  }

  private mutating func take<Value: Message>(
    _ event: InputEvent<Value>, isNeeded: Bool, _ ports: Ports, keep: (inout Question, Value) -> Void
  ) async throws {
    guard isNeeded else { return }
    switch event {
    case .message(let message):
      var question = questions.removeValue(forKey: message.turn) ?? Question()
      question.stamp = question.stamp ?? message.stamp
      keep(&question, message.value)
      questions[message.turn] = question
    case .turnEnded(let turn):
      questions[turn, default: Question()].complete += 1
      guard questions[turn]?.complete == needed, let question = questions.removeValue(forKey: turn) else { return }
      try await ask(question, turn, ports.embeddings)
    case .sessionEnded(let session):
      // One input may be through with the session while another is still at its turns.
      ended[session, default: 0] += 1
      guard ended[session] == needed else { return }
      ended[session] = nil
      if questions[Turn(session, epoch: 0)] != nil {
        context.fail(
          Turn(session, epoch: 0),
          because:
            "what was said belongs to no turn; put a node that opens turns, such as voice-activity, before the encoder")
      }
      questions = questions.filter { $0.key.session != session }
    case .sessionBegan, .turnCut: break
    }
  }

  private func ask(_ question: Question, _ turn: Turn, _ output: Output<Features>) async throws {
    let task = parameters.task
    // A turn in which nothing was said, shown or written has no prompt.
    guard let stamp = question.stamp else { return }
    let lacking = [
      task.hears && question.speech.isEmpty ? "speech" : nil, task.sees && question.image == nil ? "picture" : nil,
    ].compactMap { $0 }
    guard lacking.isEmpty else {
      return context.fail(
        turn, because: "the task \(task.rawValue) needs a \(lacking.joined(separator: " and a ")), and none came")
    }
    let prompt = MiniOmni2Prompt(
      task, speech: Matrix(joining: question.speech), image: question.image,
      question: tokenizer.encode(question.text), rows: parameters.oneRow ? 1 : nil, ids: embedding.ids)
    let most = embedding.configuration.context
    guard prompt.columns < most else {
      return context.fail(
        turn, because: "the prompt has \(prompt.columns) positions and the context holds \(most); ask something shorter"
      )
    }
    let (shared, last): (Matrix, Matrix)
    do {
      (shared, last) = try embedding.embed(prompt)
    } catch {
      return context.fail(turn, because: "\(error)")
    }
    for part in [shared, last] {
      try await output.send(Features(part), turn: turn, time: stamp.time, trace: stamp.trace)
    }
  }
}

extension Features {
  fileprivate init(_ matrix: Matrix) {
    self.init(values: SharedBuffer(matrix.values), rows: matrix.rows, dim: matrix.columns)
  }

  fileprivate var matrix: Matrix {
    Matrix(rows: rows, columns: dim, values: Array(values)) ?? Matrix(rows: 0, columns: dim)
  }
}
