import Dataflow
import DataflowTesting
import LLMStep
import Messages
import ModelKit
import Parity
import Tensors
import Testing

/// What `llm-step` remembers of a session's earlier turns.
@Suite struct LLMStepTests {
  private static func features(_ matrix: Matrix) -> Features {
    Features(values: SharedBuffer(matrix.values), rows: matrix.rows, dim: matrix.columns)
  }

  /// A prompt of 23 positions, as `omni-prompt` sends it.
  private static func prompt() throws -> [Features] {
    let embedding = try ModelStore.shared.miniOmni2Embedding(at: Goldens.shippedRelease)
    let prompt = MiniOmni2Prompt(.t1t2, question: [Int32](1...20), ids: embedding.ids)
    let (shared, last) = try embedding.embed(prompt)
    return [features(shared), features(last)]
  }

  /// Asks the same again and again, and gives the answers' first hidden states.
  private func states(
    _ parameters: [String: ParameterValue], times: Int, resetBefore: Int? = nil
  ) async throws -> [[Features]] {
    let prompt = try Self.prompt()
    var all: [[Features]] = []
    let model = ["model": ParameterValue.string(Goldens.shippedRelease), "weights": .string("stored")]
    try await withNode(LLMStepNode.self, parameters: model.merging(parameters) { $1 }) { node in
      let session = try await node.beginSession("a")
      for time in 0..<times {
        if time == resetBefore {
          try await node.send(Control("reset"), to: "control", turn: Turn(session, epoch: 0))
        }
        let turn = try await node.beginTurn(in: session)
        for part in prompt { try await node.send(part, to: "embeddings", turn: turn) }
        // The end of the turn comes back from the head, too.
        node.endTurn(turn)
        all.append(try await node.turn(Features.self, from: "hidden"))
      }
    }
    return all
  }

  @Test func eachTurnStartsAfreshUnlessTold() async throws {
    let states = try await states([:], times: 3)
    #expect(states.allSatisfy { $0.count == 1 && $0 == states[0] })
  }

  @Test func earlierTurnsStayUntilAReset() async throws {
    let states = try await states(["context": .string("session"), "limit": .int(200)], times: 4, resetBefore: 2)
    #expect(states.allSatisfy { $0.count == 1 })
    #expect(states[1] != states[0])
    #expect(states[2] == states[0] && states[3] == states[1])
  }

  @Test func aContextThatIsFullIsStartedAfresh() async throws {
    // Three prompts of 23 fit 80 positions; the fourth does not.
    let states = try await states(["context": .string("session"), "limit": .int(80)], times: 6)
    #expect(states[1] != states[0] && states[2] != states[1])
    #expect(states[3] == states[0] && states[4] == states[1] && states[5] == states[2])
  }
}
