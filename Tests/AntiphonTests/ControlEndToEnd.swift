import Foundation
import Testing

/// Results, and what processes tell each other: nothing is lost, however much there is and however slow its reader.
@Suite(.serialized, .timeLimit(.minutes(10))) struct ControlEndToEnd {
  private static let graph = """
    antiphon: 1
    nodes:
      text: { kind: text-input, with: { text: "-", session: said } }
      out: { kind: text-output }
    edges: [text.text -> out.text]
    """
  private static let apart = "antiphon: 1\nparts: { a: { nodes: [text] }, b: { nodes: [out] } }\n"

  private func start(_ folder: Scratch, apart: Bool = true, readingAfter gate: Latch? = nil) throws -> Command {
    let graph = try folder.write(Self.graph, to: "graph.yaml")
    let place = try folder.write(Self.apart, to: "place.yaml")
    return try Command(
      ["run", graph] + (apart ? ["--place", place] : []), in: folder, endsInput: false, readingAfter: gate)
  }

  /// Types from a thread of its own, for a run that is held up reads no more than it has room for.
  private func type(_ lines: [String], to command: Command) {
    Thread.detachNewThread {
      command.type(lines.joined(separator: "\n"))
      command.closeInput()
    }
  }

  @Test func thousandsOfShortTurnsAllArrive() async throws {
    let folder = try Scratch()
    let command = try start(folder)
    let lines = (1...5000).map { "line \($0)" }
    type(lines, to: command)
    #expect(await command.ends() == Command.Exit(status: 0), "\(command.errors.suffix(2000))")
    #expect(command.output.split(separator: "\n").map(String.init) == lines)
  }

  /// More than what may wait anywhere on the way, and nobody reads for longer than a silent process would be left alone.
  @Test func aReaderWhoTakesHisTimeGetsEverything() async throws {
    let folder = try Scratch()
    let gate = Latch()
    let command = try start(folder, readingAfter: gate)
    let lines = (1...8000).map { "line \($0) " + String(repeating: "x", count: 1000) }
    await command.says("session said")
    let parts = command.parts
    type(lines, to: command)
    try await Task.sleep(for: .seconds(13))
    #expect(isAlive(command.identifier))
    gate.open()
    #expect(await command.ends() == Command.Exit(status: 0), "\(command.errors.suffix(2000))")
    #expect(command.output.split(separator: "\n").map(String.init) == lines)
    #expect(command.parts == parts, "a part was started again")
    #expect(!command.errors.contains("has not answered"), "\(command.errors)")
  }

  @Test(arguments: [true, false]) func aSecondSignalEndsARunWhoseResultsNobodyReads(apart: Bool) async throws {
    let folder = try Scratch()
    let gate = Latch()
    let command = try start(folder, apart: apart, readingAfter: gate)
    await command.says("session said")
    type((1...4000).map { "line \($0) " + String(repeating: "x", count: 1000) }, to: command)
    // The pipe is full, and more than may wait behind it is on its way.
    try await Task.sleep(for: .seconds(2))
    command.send(SIGINT)
    await command.says("Ctrl-C, stopping")
    command.send(SIGINT)
    try await eventually("the end of the run") { !isAlive(command.identifier) }
    gate.open()
    let exit = await command.ends()
    #expect(exit == Command.Exit(status: 128 + SIGINT), "\(String(describing: exit))")
    for process in command.parts.values { try await eventually("the end of process \(process)") { !isAlive(process) } }
  }

  @Test func aPartThatWasStartedByHandStopsAtCtrlCAndAnotherTakesItsPlace() async throws {
    let folder = try Scratch()
    let graph = try folder.write(Self.graph, to: "graph.yaml")
    let port = Int.random(in: 20_000..<30_000)
    let place = try folder.write(
      """
      antiphon: 1
      coordinator: tcp://127.0.0.1:\(port)
      parts:
        near: { host: 127.0.0.1, ports: \(port + 1)-\(port + 9), nodes: [text] }
        far: { host: 127.0.0.2, ports: \(port + 1)-\(port + 9), nodes: [out] }
      """, to: "place.yaml")
    let run = ["run", graph, "--place", place]
    let command = try Command(run + ["--json"], in: folder, endsInput: false)
    let far = try Command(run + ["--part", "far"], in: folder)
    await command.says("session said")
    far.send(SIGINT)
    #expect(await far.ends(within: 30) == Command.Exit(status: 1), "\(far.errors)")
    #expect(far.errors.contains("stopped by Ctrl-C"), "\(far.errors)")
    await command.says("part far: has not answered for 5 s")
    let another = try Command(run + ["--part", "far"], in: folder)
    await command.says("part far: joined", times: 2)
    command.type("hello there.")
    command.closeInput()
    await command.ends()
    let summary = try Summary(command)
    #expect(summary.failure == nil)
    #expect(summary.turns.map(\.isCompleted) == [true], "\(command.output)")
    #expect(await another.ends() == Command.Exit(status: 0), "\(another.errors)")
  }

  @Test func aPartThatIsStillWaitingForItsCoordinatorStopsAtCtrlC() async throws {
    let folder = try Scratch()
    let graph = try folder.write(Self.graph, to: "graph.yaml")
    let port = Int.random(in: 20_000..<30_000)
    let place = try folder.write(
      """
      antiphon: 1
      coordinator: tcp://127.0.0.1:\(port)
      parts:
        a: { nodes: [text] }
        b: { host: 127.0.0.2, ports: \(port + 1)-\(port + 9), nodes: [out] }
      """, to: "place.yaml")
    let part = try Command(["run", graph, "--place", place, "--part", "b"], in: folder)
    // It tries to reach the coordinator once its signals are watched.
    try await eventually("the control thread") {
      let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(part.identifier)/task")) ?? []
      return tasks.contains { task in
        let name = FileManager.default.contents(atPath: "/proc/\(part.identifier)/task/\(task)/comm") ?? Data()
        return String(decoding: name, as: UTF8.self).hasPrefix("antiphon-contro")
      }
    }
    part.send(SIGINT)
    #expect(await part.ends(within: 30) == Command.Exit(status: 1), "\(part.errors)")
    #expect(part.errors.contains("stopped by Ctrl-C"), "\(part.errors)")
  }
}
