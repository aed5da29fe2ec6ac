import Catalog
import DataflowRuntime
import Foundation
import GraphFile
import Messages
import Synchronization
import Tensors
import Testing

/// Interruptions of a run in three processes whose queues are full, before a loudspeaker that takes its time.
@Suite(.serialized, .timeLimit(.minutes(5))) struct InterruptionEndToEnd {
  private static let turns = 30
  private static let cuts = 3

  /// Short queues, so that they are full and a cut does not take all turns.
  private func graph(_ texts: [String], sound: String, pace: String) -> String {
    """
    antiphon: 1
    nodes:
      text: { kind: text-input, with: { text: [\(texts.map { "\"\($0)\"" }.joined(separator: ", "))], session: said } }
      speech: { kind: flite-speech }
      speaker: { kind: speaker, with: { path: \(sound), pace: \(pace) } }
    edges:
      - { from: text.text, to: speech.text, depth: 2 }
      - { from: speech.audio, to: speaker.audio, depth: 1 }
    """
  }

  /// The coordinator is in this process, each part in one of its own.
  private func run(_ folder: Scratch, _ directory: RunDirectory, graph: String) throws -> GraphRun {
    let file = try folder.write(graph, to: "graph.yaml")
    let place = try folder.write(FaultsEndToEnd.places(), to: "place.yaml")
    Compute.setThreads(1)
    let plan = try Planner.plan(
      try GraphDescription.load(path: file), placement: try Placement.load(path: place),
      catalog: NodeCatalog(nodes: Catalog.nodes, messages: MessageTypes.all),
      options: Planner.Options(
        settings: RunSettings(seed: 0, threads: 1, kernels: Compute.description), runDirectory: directory.path))
    let command = [
      Command.executable.path, "run", file, "--place", place, "--threads", "1", "--run-directory", directory.path,
    ]
    return GraphRun(
      plan: plan, catalog: NodeCatalog(nodes: Catalog.nodes, messages: MessageTypes.all),
      options: GraphRun.Options { part in command + ["--part", part] })
  }

  @Test func whatIsCutFallsSilentInAllProcessesAndWhatFollowsIsWhole() async throws {
    let folder = try Scratch()
    let sound = folder.file("said.wav")
    let texts = (1...Self.turns).map { "Number \($0)." }
    // What each turn sounds like if nobody interrupts it.
    let (alone, whole) = (Command.Exit(status: 0), try Scratch())
    let reference = try Command(
      ["run", try whole.write(graph(texts, sound: "whole.wav", pace: "fast"), to: "graph.yaml"), "--json"], in: whole)
    #expect(await reference.ends() == alone, "\(reference.errors)")
    let references = try Played(reference)
    let spoken = try #require(whole.read("whole.wav")).dropFirst(44)

    let directory = try RunDirectory()
    let run = try run(folder, directory, graph: graph(texts, sound: sound, pace: "device"))
    let events = Mutex<(turns: [TurnRecord], parts: [String])>(([], []))
    let interrupter = Task {
      for _ in 0..<Self.cuts {
        // In the midst of a sound.
        let size = folder.read("said.wav")?.count ?? 0
        try await eventually("a sound") { (folder.read("said.wav")?.count ?? 0) > size + 8_000 }
        let ended = events.withLock { $0.turns.count }
        run.interrupt(session: "said", reason: "the test says so")
        try await eventually("the cut") { events.withLock { $0.turns.count } > ended }
      }
    }
    let summary = try await run.run { event in
      events.withLock { events in
        if case .turnEnded(let record) = event { events.turns.append(record) }
        if case .part(let name, let what) = event, what.contains("joined") { events.parts.append(name) }
      }
    }
    try await interrupter.value
    #expect(summary.failure == nil)
    #expect(Set(events.withLock { $0.parts }) == ["a", "b", "c"], "three processes")

    // One end for every turn, which every node has acknowledged.
    #expect(summary.turns.map(\.epoch).sorted() == Array(1...UInt32(Self.turns)))
    #expect(summary.turns == events.withLock { $0.turns })
    #expect(summary.turns.flatMap(\.unacknowledged).isEmpty)
    let cut = summary.turns.filter { $0.outcome == .interrupted(reason: "the test says so") }
    // The one that was heard, and those that were queued behind it.
    #expect(cut.count >= 2 * Self.cuts, "\(cut.count) cut")
    #expect(summary.turns.filter { $0.outcome == .completed }.count + cut.count == Self.turns)
    let last = try #require(summary.turns.last { $0.outcome == .completed })
    #expect(last.epoch == Self.turns)

    // The file holds, turn by turn, the beginning of what it would have been, as far as it is said to have been played,
    // and nothing else: no chunk came behind its cut, and none of a later turn is missing.
    var heard = try #require(folder.read("said.wav")).dropFirst(44)
    var rest = spoken
    for turn in summary.turns.sorted(by: { $0.epoch < $1.epoch }) {
      let full = references.bytes(of: turn.epoch)
      let played = references.bytes(turn.played ?? 0)
      #expect(turn.outcome == .completed ? played == full : played <= full, "turn \(turn.epoch)")
      // What was interrupted fades out over 5 ms.
      let whole = turn.outcome == .completed ? played : max(0, played - references.bytes(5_000_000))
      // Not in the macro, which would show where tens of thousands of bytes differ.
      let isSame = heard.prefix(whole) == rest.prefix(whole)
      #expect(isSame, "turn \(turn.epoch)")
      heard = heard.dropFirst(played)
      rest = rest.dropFirst(full)
    }
    #expect(heard.isEmpty, "\(heard.count) bytes too many")
    #expect(rest.isEmpty)
  }

  /// How much of each turn was played.
  private struct Played {
    private struct Document: Decodable {
      struct Turn: Decodable {
        var epoch: UInt32
        var played: Int64
      }
      var turns: [Turn]
    }
    private let times: [UInt32: Int64]

    init(_ command: Command) throws {
      let document = try JSONDecoder().decode(Document.self, from: Data(command.output.utf8))
      times = Dictionary(uniqueKeysWithValues: document.turns.map { ($0.epoch, $0.played) })
    }

    func bytes(of epoch: UInt32) -> Int { bytes(times[epoch] ?? 0) }

    /// Of 16-bit mono sound at the voice's rate; times of whole blocks are rounded down to nanoseconds.
    func bytes(_ time: Int64) -> Int { Int((Double(time) * Self.rate / 1e9).rounded()) * 2 }
    private static let rate = 16_000.0
  }
}
