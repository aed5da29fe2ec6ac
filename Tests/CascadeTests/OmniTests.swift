#if Images
  import Catalog
  import DataflowRuntime
  import DataflowTesting
  import Foundation
  import Messages
  import ModelKit
  import Testing

  /// `Graphs/omni.yaml` with the weights that are shipped. The question is synthetic speech.
  @Suite(.enabled(if: (try? ModelFolder.path("whisper-tiny.en")) != nil, "needs the model: tools/models fetch"))
  struct OmniTests {
    private static let graphs = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("Graphs")

    private static func run(_ graph: String, _ overrides: [String]) async throws -> TestRun {
      let run = try TestRun(
        file: graphs.appendingPathComponent(graph).path, overrides: overrides,
        catalog: NodeCatalog(nodes: Catalog.nodes, messages: MessageTypes.all))
      #expect(try await run.run().failure == nil)
      return run
    }

    @Test(.timeLimit(.minutes(2))) func aQuestionAboutAPictureIsAnsweredInSpeech() async throws {
      let answer = FileManager.default.temporaryDirectory.appendingPathComponent("omni-\(UUID().uuidString).wav")
      defer { try? FileManager.default.removeItem(at: answer) }
      let run = try await Self.run("omni.yaml", ["answer=\(answer.path)"])
      #expect(run.printed == ["answer: Yes, there is a yellow star."])
      #expect(run.turns.map(\.outcome) == [.completed])
      let heard = try await Self.run("transcribe.yaml", ["input=\(answer.path)"])
      #expect(heard.printed == ["Yes, there is a yellow star."])
    }
  }
#endif
