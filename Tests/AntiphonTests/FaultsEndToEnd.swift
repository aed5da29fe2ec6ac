import Foundation
import Testing
import ZeroMQ

/// Processes that die, stop, fall silent or talk nonsense: it is said, it is bounded, and nothing hangs.
@Suite(.serialized, .timeLimit(.minutes(15))) struct FaultsEndToEnd {
  /// Reads lines aloud at the pace of a device, so that a turn lasts as long as a test needs.
  static let talk = """
    antiphon: 1
    nodes:
      text: { kind: text-input, with: { text: "-", session: said } }
      speech: { kind: flite-speech }
      speaker: { kind: speaker, with: { path: said.wav, pace: device } }
    edges:
      - text.text -> speech.text
      - speech.audio -> speaker.audio
    """
  static func places(limit: Int = 5) -> String {
    """
    antiphon: 1
    parts:
      a: { nodes: [text], restart: { max: \(limit), backoff: 0.05 } }
      b: { nodes: [speech], restart: { max: \(limit), backoff: 0.05 } }
      c: { nodes: [speaker], restart: { max: \(limit), backoff: 0.05 } }
    """
  }
  static let long = String(repeating: "this sentence is so long that whoever kills a process finds it unfinished, ", count: 8)

  /// A run in three processes in the midst of its first turn.
  private func talking(_ folder: Scratch, limit: Int = 5, json: Bool = true) async throws -> Command {
    let graph = try folder.write(Self.talk, to: "talk.yaml")
    let place = try folder.write(Self.places(limit: limit), to: "place.yaml")
    let command = try Command(
      ["run", graph, "--place", place, "--set", "speaker.path=\(folder.file("said.wav"))"] + (json ? ["--json"] : []),
      in: folder, endsInput: false)
    await command.says("session said")
    command.type(Self.long)
    try await eventually("the first sound") { (folder.read("said.wav")?.count ?? 0) > 10_000 }
    return command
  }

  private func allGone(_ processes: [Int32]) async throws {
    for process in processes { try await eventually("the end of process \(process)") { !isAlive(process) } }
  }

  @Test(arguments: ["b", "c"])
  func aKilledPartIsStartedAgainAndLaterTurnsAreAnswered(part: String) async throws {
    let folder = try Scratch()
    let command = try await talking(folder)
    kill(try #require(command.parts[part]), SIGKILL)
    await command.says("part \(part): was ended by signal 9")
    await command.says("part \(part): joined", times: 2)
    command.type("and now a short one.")
    command.closeInput()
    #expect(await command.ends() == Command.Exit(status: 1), "\(command.errors)")
    let summary = try Summary(command)
    #expect(summary.failure == nil)
    #expect(summary.turns.map(\.epoch) == [1, 2], "\(command.output)")
    #expect(summary.turns.first?.failure == "part \(part) was ended by signal 9")
    #expect(summary.turns.last?.isCompleted == true, "\(command.output)")
    #expect(isPlayable(folder.read("said.wav")))
    try await allGone(Array(command.parts.values))
  }

  @Test func aKilledSourceEndsItsSessionAndTheRun() async throws {
    let folder = try Scratch()
    let command = try await talking(folder)
    kill(try #require(command.parts["a"]), SIGKILL)
    #expect(await command.ends() == Command.Exit(status: 1), "\(command.errors)")
    let summary = try Summary(command)
    #expect(summary.failure == nil)
    #expect(summary.turns.map(\.failure) == ["part a was ended by signal 9"])
    try await allGone(Array(command.parts.values))
  }

  @Test func aPartThatDiesTooOftenFailsTheRunByName() async throws {
    let folder = try Scratch()
    let command = try await talking(folder, limit: 1)
    kill(try #require(command.parts["b"]), SIGKILL)
    await command.says("part b: joined", times: 2)
    kill(try #require(command.parts["b"]), SIGKILL)
    #expect(await command.ends() == Command.Exit(status: 1), "\(command.errors)")
    #expect(try Summary(command).failure == "part b was ended by signal 9, and has been restarted 1 times")
    try await allGone(Array(command.parts.values))
  }

  @Test func partsEndWithTheirSupervisor() async throws {
    let folder = try Scratch()
    let command = try await talking(folder)
    let parts = Array(command.parts.values)
    #expect(parts.count == 3)
    command.send(SIGKILL)
    try await allGone(parts)
    await command.ends()
  }

  @Test func aStoppedPartIsEndedAndStartedAgain() async throws {
    let folder = try Scratch()
    let command = try await talking(folder)
    kill(try #require(command.parts["b"]), SIGSTOP)
    await command.says("part b: has not answered for 5 s and is ended")
    await command.says("part b: joined", times: 2)
    command.closeInput()
    #expect(await command.ends() == Command.Exit(status: 1), "\(command.errors)")
    #expect(try Summary(command).turns.first?.failure == "part b was ended by signal 9")
  }

  @Test(arguments: [SIGINT, SIGTERM])
  func aSignalEndsARunInGoodOrder(signal: Int32) async throws {
    let folder = try Scratch()
    let command = try await talking(folder)
    let parts = Array(command.parts.values)
    command.send(signal)
    #expect(await command.ends(within: 30) == Command.Exit(status: 1), "\(command.errors)")
    let name = signal == SIGINT ? "Ctrl-C" : "SIGTERM"
    #expect(try Summary(command).failure == "stopped by \(name)")
    #expect(isPlayable(folder.read("said.wav")))
    try await allGone(parts)
  }

  @Test func aSecondSignalEndsItAtOnce() async throws {
    let folder = try Scratch()
    let command = try await talking(folder)
    let parts = Array(command.parts.values)
    // The first cannot be obeyed while a part is stopped.
    kill(try #require(command.parts["c"]), SIGSTOP)
    command.send(SIGTERM)
    await command.says("SIGTERM, stopping")
    command.send(SIGTERM)
    let exit = await command.ends(within: 30)
    #expect(exit == Command.Exit(status: 128 + SIGTERM) || exit == Command.Exit(status: 1), "\(String(describing: exit))")
    try await allGone(parts)
  }

  @Test(arguments: [SIGINT, SIGTERM])
  func aSignalEndsARunThatIsStillLoading(signal: Int32) async throws {
    let folder = try Scratch()
    let graph = try folder.write(Self.talk, to: "talk.yaml")
    let port = Int.random(in: 20_000..<30_000)
    let place = try folder.write(
      """
      antiphon: 1
      coordinator: tcp://127.0.0.1:\(port)
      parts:
        a: { nodes: [text, speech] }
        far: { host: 127.0.0.2, ports: \(port + 1)-\(port + 9), nodes: [speaker] }
      """, to: "place.yaml")
    let command = try Command(["run", graph, "--place", place], in: folder, endsInput: false)
    await command.says("part a: joined")
    command.send(signal)
    #expect(await command.ends(within: 30) == Command.Exit(status: 1), "\(command.errors)")
    try await allGone(Array(command.parts.values))
  }

  @Test func whatIsMissingIsNamedWhenTheTimeToStartIsOver() async throws {
    let folder = try Scratch()
    let graph = try folder.write(Self.talk, to: "talk.yaml")
    let port = Int.random(in: 20_000..<30_000)
    let place = try folder.write(
      """
      antiphon: 1
      coordinator: tcp://127.0.0.1:\(port)
      parts:
        a: { nodes: [text, speech] }
        far: { host: 127.0.0.2, ports: \(port + 1)-\(port + 9), nodes: [speaker] }
      """, to: "place.yaml")
    let command = try Command(["run", graph, "--place", place, "--start-timeout", "2"], in: folder, endsInput: false)
    #expect(await command.ends(within: 60) == Command.Exit(status: 1))
    #expect(command.errors.contains("still missing") && command.errors.contains("speaker"), "\(command.errors)")
  }

  @Test(.enabled(if: FileManager.default.fileExists(atPath: "/dev/full"), "there is no /dev/full"))
  func aFullDiskNamesTheFile() async throws {
    let folder = try Scratch()
    let command = try Command(
      ["run", Command.graph("echo.yaml"), "--set", "input=\(Command.question)", "--set", "speaker.path=/dev/full"],
      in: folder)
    #expect(await command.ends() == Command.Exit(status: 1))
    #expect(command.errors.contains("/dev/full"), "\(command.errors)")
    #expect(command.errors.lowercased().contains("no space"), "\(command.errors)")
  }

  // MARK: Strangers

  /// Two parts over tcp on the loopback address; `far` is started by hand.
  private func apart(_ folder: Scratch, security: String = "") throws -> (graph: String, place: String, port: Int) {
    let graph = try folder.write(Self.talk.replacing("pace: device", with: "pace: fast"), to: "talk.yaml")
    let port = Int.random(in: 20_000..<30_000)
    let place = try folder.write(
      """
      antiphon: 1
      coordinator: tcp://127.0.0.1:\(port)
      \(security)
      parts:
        near: { host: 127.0.0.1, ports: \(port + 1)-\(port + 9), nodes: [text, speech] }
        far: { host: 127.0.0.2, ports: \(port + 1)-\(port + 9), nodes: [speaker] }
      """, to: "place.yaml")
    return (graph, place, port)
  }

  @Test(arguments: [["--seed", "7"], ["--threads", "1"], ["--set", "text.session=other"]])
  func aPartOfAnotherRunIsRefusedByName(difference: [String]) async throws {
    let folder = try Scratch()
    let (graph, place, _) = try apart(folder)
    let run = ["run", graph, "--place", place]
    let base = difference.first == "--threads" ? ["--threads", "2"] : []
    let command = try Command(run + base + ["--json"], in: folder, endsInput: false)
    let stranger = try Command(run + difference + ["--part", "far"], in: folder)
    #expect(await stranger.ends() == Command.Exit(status: 1))
    #expect(stranger.errors.contains("the coordinator refused: far "), "\(stranger.errors)")
    command.send(SIGTERM)
    await command.ends()
    #expect(try Summary(command).refused.strangers > 0)
  }

  @Test func keysDecideWhoMayJoin() async throws {
    let folder = try Scratch()
    for (names, directory) in [(["coordinator", "near", "far"], "keys"), (["far"], "strange")] {
      let keys = try Command(["keys", "new"] + names + ["--directory", folder.file(directory)], in: folder)
      #expect(await keys.ends() == Command.Exit(status: 0), "\(keys.errors)")
    }
    let mode = try FileManager.default.attributesOfItem(atPath: folder.file("keys/far.key"))[.posixPermissions] as? Int
    #expect(mode == 0o600)
    for name in ["coordinator.pub", "near.pub"] {
      try FileManager.default.copyItem(atPath: folder.file("keys/\(name)"), toPath: folder.file("strange/\(name)"))
    }
    let (graph, place, port) = try apart(folder, security: "security: { keys: keys, allow: keys/allowed }")
    let text = try String(contentsOfFile: place, encoding: .utf8)
    let otherPlace = try folder.write(text.replacing("keys: keys, allow: keys", with: "keys: strange, allow: strange"), to: "other.yaml")
    let command = try Command(["run", graph, "--place", place, "--json"], in: folder, endsInput: false)
    await command.says("part near: joined")
    // A key that nobody has allowed.
    let stranger = try Command(
      ["run", graph, "--place", otherPlace, "--part", "far", "--start-timeout", "3"], in: folder)
    #expect(await stranger.ends(within: 60) == Command.Exit(status: 1))
    #expect(stranger.errors.contains("no coordinator answered"), "\(stranger.errors)")
    // Plain text.
    try throwNonsense(at: ["tcp://127.0.0.1:\(port)"])
    // The right one.
    let far = try Command(["run", graph, "--place", place, "--part", "far"], in: folder)
    await command.says("session said")
    command.type("hello there.")
    command.closeInput()
    #expect(await command.ends() == Command.Exit(status: 0), "\(command.errors)\n\(far.errors)")
    let summary = try Summary(command)
    #expect(summary.turns.map(\.isCompleted) == [true])
    #expect(summary.refused.unauthenticated > 0, "\(command.output)")
    #expect(await far.ends() == Command.Exit(status: 0), "\(far.errors)")
    #expect(isPlayable(folder.read("said.wav")))
  }

  @Test func nonsenseAtEverySocketIsCountedAndHarmless() async throws {
    let folder = try Scratch()
    let graph = try folder.write(Self.talk.replacing("pace: device", with: "pace: fast"), to: "talk.yaml")
    let place = try folder.write(Self.places(), to: "place.yaml")
    let quiet = try Command(
      ["run", graph, "--place", place, "--set", "speaker.path=\(folder.file("quiet.wav"))"], in: folder, endsInput: false)
    let loud = try Command(
      ["run", graph, "--place", place, "--set", "speaker.path=\(folder.file("loud.wav"))", "--json"], in: folder,
      endsInput: false)
    await quiet.says("session said")
    await loud.says("session said")
    let part = try #require(loud.parts["b"])
    let arguments = try String(contentsOfFile: "/proc/\(part)/cmdline", encoding: .utf8).split(separator: "\0")
    let flag = try #require(arguments.firstIndex(of: "--run-directory"))
    let directory = String(arguments[flag + 1])
    let mode = try FileManager.default.attributesOfItem(atPath: directory)[.posixPermissions] as? Int
    #expect(mode == 0o700)
    let sockets = try FileManager.default.contentsOfDirectory(atPath: directory)
    #expect(sockets.count >= 3)
    for round in 0..<3 {
      for command in [quiet, loud] { command.type("sentence number \(round), which is read aloud.") }
      try throwNonsense(at: sockets.map { "ipc://\(directory)/\($0)" })
    }
    for command in [quiet, loud] { command.closeInput() }
    #expect(await quiet.ends() == Command.Exit(status: 0), "\(quiet.errors)")
    #expect(await loud.ends() == Command.Exit(status: 0), "\(loud.errors)")
    let summary = try Summary(loud)
    #expect(summary.refused.malformed > 0)
    #expect(summary.turns.map(\.isCompleted) == [true, true, true])
    #expect(folder.read("quiet.wav") == folder.read("loud.wav"))
    #expect(!FileManager.default.fileExists(atPath: directory), "the run's folder stayed behind")
  }

  /// Frames of any bytes, frames that begin well, another version, too many frames, none.
  private func throwNonsense(at addresses: [String]) throws {
    let context = try Context(ioThreads: 1)
    var random = SystemRandomNumberGenerator()
    for address in addresses {
      var socket = try Socket(.dealer, in: context)
      try socket.set(.linger, to: .milliseconds(200))
      _ = try socket.connect(address)
      for number in 0..<60 {
        var bytes = (0..<Int.random(in: 0...200)).map { _ in UInt8.random(in: .min ... .max, using: &random) }
        if number % 3 == 1 { bytes = Array("APHN".utf8) + [1, 0, UInt8(number % 22), 0] + bytes }
        if number % 3 == 2 { bytes = Array("APHN".utf8) + [9, 0, 1, 0] + bytes }
        for more in [number % 5 == 0, false] {
          var frame = try Frame(copying: bytes)
          _ = try socket.trySend(&frame, more: more)
          if !more { break }
        }
      }
      usleep(50_000)
    }
    context.close()
  }
}
