import Dataflow
import DataflowRuntime
import DataflowTesting
import Foundation
import Messages
import Synchronization
import Testing

/// What edges leave behind: nothing.
@Suite(.timeLimit(.minutes(2))) struct MemoryTests {
  private struct Weak { weak var session: Session? }

  /// Every envelope holds its session, so the session's end shows that all of them are gone.
  @Test(arguments: [Carrier.direct, .inproc, .ipc])
  func aRunThatIsStoppedLetsGoOfMessagesUnderWay(over carrier: Carrier) async throws {
    let kept = Mutex(Weak())
    let isFull = Latch()
    do {
      let run = try RunTests.run(
        [
          "source": .opener { context, ports in
            guard let session = context.beginSession(named: "a") else { return }
            kept.withLock { $0.session = session }
            let turn = context.beginTurn(in: session)
            for number in 0..<64 {
              if number == 8 { isFull.open() }
              try await ports.output.send(Text("\(number)"), turn: turn)
            }
          },
          "sink": .node { context, _ in
            while !context.isStopping { try await Task.sleep(for: .milliseconds(1)) }
          },
        ], [["from": "source.out", "to": "sink.in", "depth": 8] as [String: Any]], apart: ["sink"], over: carrier)
      async let summary = run.run()
      await isFull.wait()
      run.stop()
      _ = try await summary
    }
    // Threads that have ended may still be about to let go.
    for _ in 0..<2000 where kept.withLock({ $0.session }) != nil { try await Task.sleep(for: .milliseconds(1)) }
    #expect(kept.withLock { $0.session } == nil)
  }

  /// A message that left even sixteen bytes would show in every window. A process of its own: what other tests allocate
  /// meanwhile would show too.
  @Test(.enabled(if: MemoryTests.residentBytes() != nil, "the system does not tell how much memory the process has"))
  func manyMessagesLeaveNothingOnTheHeap() async {
    await #expect(processExitsWith: .success) {
      let (windows, size) = (8, 200_000)
      let seen = Mutex<[Int]>([])
      let run = try RunTests.run(
        [
          "source": .opener { context, ports in
            guard let session = context.beginSession(named: "a") else { return }
            let turn = context.beginTurn(in: session)
            for _ in 0..<windows * size { try await ports.output.send(Text("some words"), turn: turn) }
            context.endTurn(turn)
            context.endSession(session)
          },
          "sink": .node { _, ports in
            var count = 0
            for try await _ in ports.input {
              count += 1
              if count % size == 0, let bytes = MemoryTests.residentBytes() { seen.withLock { $0.append(bytes) } }
            }
          },
        ], ["source.out -> sink.in"])
      #expect(try await run.run().failure == nil)
      let levels = seen.withLock { $0 }
      #expect(levels.count == windows)
      let growth = zip(levels.dropFirst(), levels).map { $0 - $1 }
      #expect((growth.min() ?? .max) < size * 8)
    }
  }

  /// Nil where the system does not tell.
  private static func residentBytes() -> Int? {
    (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ").dropFirst().first
      .flatMap { Int($0) }.map { $0 * 4096 }
  }
}
