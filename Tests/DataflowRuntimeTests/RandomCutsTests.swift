import Dataflow
import DataflowRuntime
import DataflowTesting
import Messages
import Synchronization
import Testing

/// Many interruptions at random moments of a graph whose queues are full: nothing of a turn is seen behind its fence,
/// every turn ends once, and what was not cut arrives whole.
///
/// 10,000 cuts in all: some in one process, some over ipc between three parts.
@Suite(.timeLimit(.minutes(5))) struct RandomCutsTests {
  /// What the sink and the source have seen.
  private final class Log: Sendable {
    struct State {
      var stale: [String] = []
      var cuts = 0
      var seen: [UInt32: Int] = [:]
      var ended: [UInt32: Int] = [:]
      var opened: UInt32 = 0
    }
    let state = Mutex(State())
  }

  @Test(arguments: [(Carrier.direct, 6_000, false), (.ipc, 2_000, false), (.ipc, 1_000, true), (.tcp, 1_000, false)])
  func nothingStaleComesBehindTheFence(over carrier: Carrier, cuts: Int, inBatches: Bool) async throws {
    let log = Log()
    let valuesPerTurn = 40
    let depth = 3
    // Turns follow one another as fast as they can, until enough have been interrupted.
    let source = Scripted.opener { context, ports in
      guard let session = context.beginSession(named: "a") else { return }
      var random = SeededRandom(42)
      while log.state.withLock({ $0.cuts }) < cuts, !context.isStopping {
        let turn = context.beginTurn(in: session)
        log.state.withLock { $0.opened = max($0.opened, turn.epoch) }
        // Somewhere within the turn, or not at all; now and then behind its end.
        let moment = random.chance(80) ? Int.random(in: 0...valuesPerTurn, using: &random) : -1
        for number in 0..<valuesPerTurn where !turn.isCut {
          if number == moment { context.interrupt(session, because: "cut") }
          try await ports.output.send(Text("\(turn.epoch):\(number)"), turn: turn)
        }
        if moment == valuesPerTurn { context.interrupt(session, because: "cut") }
        // Otherwise the source would run away from the coordinator, and one fence would cut a hundred turns.
        while moment >= 0, !turn.isCut, log.state.withLock({ $0.ended[turn.epoch] == nil }), !context.isStopping {
          await Task.yield()
          if moment == valuesPerTurn { break }
        }
        context.endTurn(turn)
      }
      context.endSession(session)
    }
    let sink = Scripted.node { context, ports in
      var fenced: UInt32 = 0
      var worked = 0
      for try await event in ports.input.events {
        switch event {
        case .message(let text):
          let epoch = text.turn.epoch
          if epoch <= fenced || text.value.string.split(separator: ":").first != "\(epoch)" {
            log.state.withLock { $0.stale.append("\(text.turn) after \(fenced): \(text.value.string)") }
          }
          log.state.withLock { $0.seen[epoch, default: 0] += 1 }
          // Slower than the source, so that the queues are full.
          worked += 1
          if worked.isMultiple(of: 3) { await Task.yield() }
        case .turnCut(let turn):
          fenced = max(fenced, turn.epoch)
          log.state.withLock { $0.cuts += 1 }
        case .turnEnded(let turn):
          if turn.epoch <= fenced { log.state.withLock { $0.stale.append("\(turn) ended after \(fenced)") } }
          log.state.withLock { $0.ended[turn.epoch, default: 0] += 1 }
        case .sessionBegan, .sessionEnded: break
        }
      }
    }
    let batches = Scripted.node { _, ports in
      for try await batch in ports.input.batches(of: 2) {
        for text in batch { try await ports.output.send(contentsOf: [text.value], turn: text.turn) }
      }
    }
    let run = try TestRun(
      graph: Scripted.graph(
        ["source": source, "worker": inBatches ? batches : .relay, "sink": sink],
        [
          ["from": "source.out", "to": "worker.in", "depth": depth] as [String: Any],
          ["from": "worker.out", "to": "sink.in", "depth": depth] as [String: Any],
        ]), parts: [["worker"], ["sink"]], over: carrier, catalog: .scripts, clock: ManualClock())
    let summary = try await run.run()
    #expect(summary.failure == nil)
    let state = log.state.withLock { $0 }
    #expect(state.cuts >= cuts)
    #expect(state.stale.isEmpty, "\(state.stale.count) stale, first \(state.stale.first ?? "")")
    // One terminal for every turn that was opened, and for no other.
    let epochs = summary.turns.map(\.epoch)
    #expect(epochs.count == Set(epochs).count)
    #expect(epochs.count == summary.turns.count && epochs.allSatisfy { $0 <= state.opened })
    #expect(summary.turns.allSatisfy { $0.unacknowledged.isEmpty })
    for turn in summary.turns {
      switch turn.outcome {
      case .completed:
        // Whole, and its mark came once.
        #expect(state.seen[turn.epoch] == valuesPerTurn)
        #expect(state.ended[turn.epoch] == 1)
      case .interrupted: break
      case .failed(let reason): Issue.record("turn \(turn.epoch) failed: \(reason)")
      }
    }
    // Every turn that came to its end at the sink has ended well, or was cut while that was being reported.
    for (epoch, marks) in state.ended { #expect(marks == 1, "turn \(epoch)") }
  }
}
