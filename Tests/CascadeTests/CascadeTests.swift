import Catalog
import ChatPrompt
import Dataflow
import DataflowRuntime
import DataflowTesting
import Foundation
import Messages
import ModelKit
import Testing

private let mind = "smollm2-135m-instruct"
private let ears = "whisper-tiny.en"

/// Whether a model has been fetched; tests that need one skip without it.
private func isFetched(_ model: String) -> Bool { (try? ModelFolder.path(model)) != nil }

/// A recording that does not belong to this package but may lie beside it.
private func sample(_ name: String) -> String {
  URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("../shared/samples/\(name)").standardizedFileURL.path
}

/// Runs a graph to its end.
private func run(nodes: [String: [String: Any]], edges: [Any]) async throws -> TestRun {
  let run = try TestRun(
    graph: ["antiphon": 1, "nodes": nodes, "edges": edges],
    catalog: NodeCatalog(nodes: Catalog.nodes, messages: MessageTypes.all))
  let summary = try await run.run()
  #expect(summary.failure == nil)
  return run
}

/// Asks the language model, each text in a turn of its own.
private func ask(
  _ texts: [String], prompt: [String: Any] = [:], step: [String: Any] = [:], head: [String: Any] = [:]
) async throws -> TestRun {
  try await run(
    nodes: [
      "question": ["kind": "text-input", "with": ["text": texts]],
      "prompt": ["kind": "chat-prompt", "with": ["model": mind].merging(prompt) { $1 }],
      "llm-step": ["kind": "llm-step", "with": ["model": mind].merging(step) { $1 }],
      "text-head": ["kind": "text-head", "with": ["model": mind].merging(head) { $1 }],
      "answer": ["kind": "text-output", "with": ["label": "{turn} "]],
    ],
    edges: [
      "question.text -> prompt.text", "prompt.tokens -> llm-step.prompt", "llm-step.hidden -> text-head.hidden",
      ["from": "text-head.token", "to": "llm-step.token", "feedback": true, "depth": 4] as [String: Any],
      "text-head.text -> answer.text",
    ])
}

@Suite(.enabled(if: isFetched(mind), "needs the model: tools/models fetch smollm2-135m-instruct"))
struct MindTests {
  private static let france = "What is the capital of France?"

  @Test func aQuestionIsAnswered() async throws {
    let run = try await ask([Self.france])
    #expect(run.printed == ["1 The capital of France is Paris."])
    #expect(run.turns.map(\.outcome) == [.completed])
  }

  @Test(arguments: ["session", "turn"]) func turnsDoNotColourEachOther(context: String) async throws {
    let other = "Who wrote Romeo and Juliet?"
    let run = try await ask([Self.france, other, Self.france], step: ["context": context], head: ["max-tokens": 12])
    #expect(run.printed.count == 3)
    #expect(run.printed.first == "1 The capital of France is Paris.")
    #expect(run.printed.last == "3 The capital of France is Paris.")
  }

  /// What the prompts of a conversation say, with what was heard of the answers before.
  @Test func promptsRepeatWhatWasHeard() async throws {
    let tokenizer = try ModelStore.shared.causalLM(at: ModelFolder.path(mind)).tokenizer
    try await withNode(ChatPromptNode.self, parameters: ["system": .string(""), "history": .int(2)]) { node in
      let session = try await node.beginSession("a")
      func ask(_ text: String) async throws -> [Int32] {
        let turn = try await node.beginTurn(in: session)
        try await node.send(Text(text), to: "text", turn: turn)
        node.endTurn(turn)
        return Array(try #require(try await node.next(Tokens.self, from: "tokens")).ids)
      }
      func hear(_ phase: AnswerState.Phase, _ epoch: UInt32, _ heard: String) async throws {
        let state = AnswerState(phase, epoch: epoch, played: 1, heard: heard)
        try await node.send(state, to: "answer", turn: Turn(session, epoch: 0))
      }
      func prompt(_ messages: [(ChatMessage.Role, String)]) throws -> [Int32] {
        try ChatTemplate.encode(messages.map { ChatMessage($0, $1) }, with: tokenizer)
      }
      #expect(try await ask("One?") == prompt([(.user, "One?")]))
      try await hear(.speaking, 1, "")
      try await hear(.finished, 1, "First.")
      #expect(try await ask("Two?") == prompt([(.user, "One?"), (.assistant, "First."), (.user, "Two?")]))
      // Of the second answer half was heard, of the third nothing.
      try await hear(.cut, 2, "Second and")
      #expect(
        try await ask("Three?")
          == prompt([
            (.user, "One?"), (.assistant, "First."), (.user, "Two?"), (.assistant, "Second and …"), (.user, "Three?"),
          ]))
      try await hear(.cut, 3, "")
      #expect(
        try await ask("Four?")
          == prompt([
            (.user, "One?"), (.assistant, "First."), (.user, "Two?"), (.assistant, "Second and …"), (.user, "Four?"),
          ]))
      try await hear(.finished, 4, "Fourth.")
      // No more than two are repeated.
      #expect(
        try await ask("Five?")
          == prompt([
            (.user, "Two?"), (.assistant, "Second and …"), (.user, "Four?"), (.assistant, "Fourth."), (.user, "Five?"),
          ]))
    }
  }

  @Test func whereNothingWasSaidNobodyAnswers() async throws {
    let run = try await ask(["", "  ", Self.france])
    #expect(run.printed == ["3 The capital of France is Paris."])
    #expect(run.turns.map(\.outcome) == [.completed, .completed, .completed])
  }

  @Test func aSessionWithoutAnyTurnEnds() async throws {
    #expect(try await ask([]).turns.isEmpty)
  }

  @Test func anAnswerEndsWhereItMust() async throws {
    let run = try await ask([Self.france], head: ["max-tokens": 3])
    #expect(run.printed == ["1 The capital of"])
  }

  @Test func aFullContextEndsTheAnswer() async throws {
    // The prompt has 37 tokens.
    let run = try await ask([Self.france], step: ["limit": 41])
    #expect(run.turns.map(\.outcome) == [.completed])
    let answer = try #require(run.printed.first)
    #expect("1 The capital of France is Paris.".hasPrefix(answer) && answer.count < 30, "\(answer)")
  }

  @Test func aPromptThatDoesNotFitFailsItsTurnByName() async throws {
    let run = try await ask([Self.france], step: ["limit": 16])
    #expect(run.printed.isEmpty)
    let outcome = "\(run.turns.map(\.outcome))"
    #expect(outcome.contains("failed") && outcome.contains("holds 16") && outcome.contains("limit"), "\(outcome)")
  }

  @Test func theSameSeedGivesTheSameWords() async throws {
    let head: [String: Any] = ["temperature": 1, "top-k": 40, "top-p": 0.9, "seed": 7, "max-tokens": 24]
    let first = try await ask(["Tell me a story."], head: head).printed
    let second = try await ask(["Tell me a story."], head: head).printed
    #expect(first == second)
    #expect(first.first?.isEmpty == false)
  }
}

@Suite(.enabled(if: isFetched(ears), "needs the model: tools/models fetch whisper-tiny.en"))
struct EarsTests {
  private static let jfk =
    "And so my fellow Americans ask not what your country can do for you ask what you can do for your country."

  @Test(.enabled(if: FileManager.default.fileExists(atPath: sample("jfk.wav")), "needs ../shared/samples"))
  func aRecordingIsWrittenDown() async throws {
    let ends: [String: [String: Any]] = [
      "capture": ["kind": "audio-capture", "with": ["path": sample("jfk.wav")]],
      "encoder": ["kind": "whisper-encoder", "with": ["model": ears]],
      "decoder": ["kind": "whisper-decoder", "with": ["model": ears]],
      "transcript": ["kind": "text-output"],
    ]
    // As a whole, sound without turns; and by utterances.
    let whole = try await run(
      nodes: ends,
      edges: [
        "capture.audio -> encoder.audio", "encoder.features -> decoder.features", "decoder.text -> transcript.text",
      ])
    #expect(whole.printed == [Self.jfk])
    let cut = try await run(
      nodes: ends.merging(["voice-activity": ["kind": "voice-activity", "with": ["silence": 3_000]]]) { $1 },
      edges: [
        "capture.audio -> voice-activity.audio", "voice-activity.speech -> encoder.audio",
        "encoder.features -> decoder.features", "decoder.text -> transcript.text",
      ])
    #expect(cut.printed == [Self.jfk])
  }

  @Test func anUnknownLanguageIsNamed() async throws {
    let run = try TestRun(
      graph: [
        "antiphon": 1,
        "nodes": [
          "text": ["kind": "text-input"],
          "decoder": ["kind": "whisper-decoder", "with": ["model": ears, "language": "tlh"]],
          "encoder": ["kind": "whisper-encoder", "with": ["model": ears]],
          "capture": ["kind": "audio-capture", "with": ["path": "-"]],
        ] as [String: Any],
        "edges": ["capture.audio -> encoder.audio", "encoder.features -> decoder.features"],
      ],
      catalog: NodeCatalog(nodes: Catalog.nodes, messages: MessageTypes.all))
    let failure = try await run.run().failure ?? ""
    #expect(failure.contains("tlh") && failure.contains("en"), "\(failure)")
  }
}
