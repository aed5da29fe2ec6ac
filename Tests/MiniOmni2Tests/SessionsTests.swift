import Dataflow
import DataflowRuntime
import DataflowTesting
import LLMStep
import Messages
import ModelKit
import Parity
import Synchronization
import Tensors
import Testing

/// Sessions of one `llm-step` whose tokens are given: each gets the hidden states that it gets alone, to the last bit.
@Suite(.timeLimit(.minutes(2))) struct SessionsTests {
  /// What a session asks and answers, which depends on its number alone.
  fileprivate struct Script: Sendable {
    let session: Int
    /// Prompts of different lengths, so that one session is read while others step.
    var question: [Int32] { (0..<Int32(3 + session * 17 % 90)).map { ($0 * 7 + Int32(session)) % 300 } }
    /// Positions that are answered in a turn.
    var answers: Int { 6 + session * 5 % 11 }
    /// The text ends in the middle of some answers.
    func tokens(_ position: Int, _ ids: MiniOmni2IDs) -> [Int32] {
      let audio = (0..<7).map { Int32((session * 11 + position * 5 + $0 * 3) % 60) }
      let end = 4 + session % 3
      return audio + [position == end ? ids.endOfText : position > end ? ids.padText : Int32(position + session)]
    }
  }

  /// States by session and turn, as they came.
  fileprivate typealias States = [String: [[Float]]]

  /// Runs sessions with these numbers.
  private func run(
    _ sessions: [Int], turns: Int = 1, step: [String: Any] = [:], over carrier: Carrier = .direct,
    scripts: @escaping @Sendable (Script, Int) -> [Int32]? = { _, _ in nil },
    cut: (@Sendable (TestRun, Script, Int) -> Void)? = nil
  ) async throws -> (states: States, run: TestRun) {
    let model = Goldens.shippedRelease
    let embedding = try ModelStore.shared.miniOmni2Embedding(at: model)
    let found = Mutex(States())
    let watched = Mutex<TestRun?>(nil)
    let question = asking.add { context, output in
      let all = sessions.compactMap { number in context.beginSession(named: "\(number)").map { ($0, number) } }
      for _ in 0..<turns {
        for (session, number) in all {
          let turn = context.beginTurn(in: session)
          let prompt = MiniOmni2Prompt(
            .t1t2, question: Script(session: number).question, rows: number % 2 + 1, ids: embedding.ids)
          let (shared, last) = try embedding.embed(prompt)
          for part in [shared, last] {
            try await output.send(
              Features(values: SharedBuffer(part.values), rows: part.rows, dim: part.columns), turn: turn)
          }
          context.endTurn(turn)
        }
      }
      for (session, _) in all { context.endSession(session) }
    }
    let answer = answering.add { hidden, count in
      let script = Script(session: Int(hidden.session.name) ?? 0)
      found.withLock { $0["\(hidden.turn)", default: []].append(Array(hidden.value.values)) }
      if let run = watched.withLock({ $0 }) { cut?(run, script, count) }
      if count >= script.answers { return nil }
      return scripts(script, count) ?? script.tokens(count, embedding.ids)
    }
    let exact: [String: Any] = ["model": model, "weights": "stored", "turns": 12]
    let run = try TestRun(
      graph: [
        "antiphon": 1,
        "nodes": [
          "question": ["kind": AskingNode.kind, "with": ["id": question]],
          "step": ["kind": LLMStepNode.kind, "with": exact.merging(step) { $1 }],
          "answer": ["kind": AnsweringNode.kind, "with": ["id": answer]],
        ] as [String: Any],
        "edges": [
          ["from": "question.out", "to": "step.embeddings", "depth": 4] as [String: Any],
          "step.hidden -> answer.hidden",
          ["from": "answer.token", "to": "step.token", "feedback": true, "depth": 12] as [String: Any],
        ],
      ], apart: ["answer"], over: carrier,
      catalog: NodeCatalog(nodes: [AskingNode.self, LLMStepNode.self, AnsweringNode.self], messages: MessageTypes.all))
    watched.withLock { $0 = run }
    let summary = try await run.run()
    watched.withLock { $0 = nil }
    #expect(summary.failure == nil)
    return (found.withLock { $0 }, run)
  }

  @Test(arguments: [Carrier.direct, .ipc], ["turn", "session"])
  func manySessionsGetWhatEachGetsAlone(over carrier: Carrier, context: String) async throws {
    let sessions = Array(0..<14)
    let (together, run) = try await run(sessions, turns: 2, step: ["context": context], over: carrier)
    #expect(run.turns.count == 28 && run.turns.allSatisfy { $0.outcome == .completed })
    #expect(together.count == 28)
    for session in sessions {
      let (alone, _) = try await self.run([session], turns: 2, step: ["context": context])
      for turn in ["\(session)#1", "\(session)#2"] {
        #expect(alone[turn]?.count == Script(session: session).answers + 1)
        #expect(together[turn] == alone[turn], "\(turn)")
      }
    }
  }

  @Test func aTurnThatFailsOrFillsTheContextLeavesTheOthersAlone() async throws {
    // Session 2 sends what no head does, session 3's audio id is outside its layer, session 5's prompt leaves room for one.
    let sessions = Array(0..<8)
    let limit = Script(session: 5).question.count + 3 + 3
    let wrong: @Sendable (Script, Int) -> [Int32]? = { script, count in
      switch (script.session, count) {
      case (2, 3): [1, 2, 3]
      case (3, 2): [1, 2, 3, 4, 5, 6, 9_999, 1]
      default: nil
      }
    }
    let (together, run) = try await run(sessions, step: ["limit": limit], scripts: wrong)
    #expect(run.turns.count == 8)
    let failed = run.turns.filter { $0.outcome != .completed }
    #expect("\(failed)".contains("3 tokens came back") && "\(failed)".contains("9999"), "\(failed)")
    #expect(failed.count == 2)
    #expect(together["2#1"]?.count == 4 && together["3#1"]?.count == 3 && together["5#1"]?.count == 3)
    for session in [0, 1, 4, 6, 7] {
      let (alone, _) = try await self.run([session], step: ["limit": limit])
      #expect(together["\(session)#1"] == alone["\(session)#1"], "\(session)")
    }
  }

  @Test func aTurnThatIsCutLeavesTheOthersAlone() async throws {
    let sessions = Array(0..<8)
    let (together, run) = try await run(
      sessions, turns: 2,
      cut: { run, script, count in
        if script.session == 4, count == 3 { run.interrupt(session: "4") }
      })
    #expect(run.turns.contains { $0.outcome == .interrupted(reason: "the test says so") })
    for session in sessions {
      let (alone, _) = try await self.run([session], turns: 2)
      for turn in ["\(session)#1", "\(session)#2"] {
        let (found, whole) = (together[turn] ?? [], alone[turn] ?? [])
        if session == 4 { #expect(whole.starts(with: found)) } else { #expect(found == whole, "\(turn)") }
      }
    }
  }
}

/// What tests say, which nodes find by number.
private final class Registry<Value: Sendable>: Sendable {
  private let all = Mutex<[Value]>([])
  func add(_ value: Value) -> Int {
    all.withLock {
      $0.append(value)
      return $0.count - 1
    }
  }
  subscript(_ id: Int) -> Value { all.withLock { $0[id] } }
}

private let asking = Registry<@Sendable (NodeContext, Output<Features>) async throws -> Void>()
/// Gets each hidden state and how many came before it in the turn; nil ends the turn.
private let answering = Registry<@Sendable (Received<Features>, Int) -> [Int32]?>()

private struct Number: NodeParameters {
  let id: Int
  init(_ read: inout ParameterReader) { id = read("id", default: 0, help: "Which script.") }
}

private struct AskingNode: Node {
  static let kind = "asking"
  static let summary = "Asks what a test says."
  static let ending = Ending.explicit
  static let opensTurns = true
  typealias Parameters = Number
  struct Ports: PortSet {
    let out: Output<Features>
    init(_ bind: inout PortBinder, _ parameters: Number) { out = bind.output("out", help: "Prompts.") }
  }
  private let id: Int
  private let context: NodeContext
  init(_ parameters: Number, _ context: NodeContext) { (id, self.context) = (parameters.id, context) }
  func run(_ ports: Ports) async throws { try await asking[id](context, ports.out) }
}

private struct AnsweringNode: Node {
  static let kind = "answering"
  static let summary = "Answers what a test says."
  static let ending = Ending.explicit
  typealias Parameters = Number
  struct Ports: PortSet {
    let hidden: Input<Features>
    let token: Output<Tokens>
    init(_ bind: inout PortBinder, _ parameters: Number) {
      hidden = bind.input("hidden", help: "Hidden states.")
      token = bind.output("token", help: "Tokens.")
    }
  }
  private let id: Int
  private let context: NodeContext
  private var counts: [Turn: Int] = [:]
  private var ended: Set<Turn> = []
  init(_ parameters: Number, _ context: NodeContext) { (id, self.context) = (parameters.id, context) }

  private mutating func end(_ turn: Turn) { if ended.insert(turn).inserted { context.endTurn(turn) } }

  mutating func run(_ ports: Ports) async throws {
    for try await event in ports.hidden.events {
      switch event {
      case .message(let hidden):
        let count = counts[hidden.turn, default: 0]
        counts[hidden.turn] = count + 1
        guard let tokens = answering[id](hidden, count) else {
          end(hidden.turn)
          continue
        }
        let vocabulary = Tokens.vocabulary(ofModel: Goldens.shippedRelease)
        try await ports.token.send(Tokens(tokens, vocabulary: vocabulary), following: hidden)
      case .turnEnded(let turn): end(turn)
      case .sessionEnded(let session): context.endSession(session)
      case .sessionBegan, .turnCut: break
      }
    }
  }
}
