import Foundation
import Testing

/// Parts in network namespaces of their own, joined by a virtual cable and CURVE; takes root and `ip`.
@Suite(.serialized, .timeLimit(.minutes(15)), .enabled(if: Cable.isAvailable, "network namespaces take root and ip"))
struct NetworkEndToEnd {
  private func keys(_ folder: Scratch, _ names: [String]) async throws {
    let keys = try Command(["keys", "new"] + names + ["--directory", folder.file("keys")], in: folder)
    #expect(await keys.ends() == Command.Exit(status: 0), "\(keys.errors)")
  }

  private func place(_ folder: Scratch, _ cable: Cable, near: String, far: String) throws -> String {
    try folder.write(
      """
      antiphon: 1
      coordinator: tcp://\(cable.near):5550
      security: { keys: keys, allow: keys/allowed }
      parts:
        near: { host: \(cable.near), ports: 6100-6119, nodes: [\(near)] }
        far: { host: \(cable.far), ports: 6100-6119, nodes: [\(far)] }
      """, to: "place.yaml")
  }

  /// Runs a graph over the cable: the coordinator starts the near part, a hand the far one.
  private func run(_ arguments: [String], _ cable: Cable, _ folder: Scratch) async throws {
    let command = try Command(arguments, launcher: cable.nearSide, in: folder)
    let far = try Command(arguments + ["--part", "far"], launcher: cable.farSide, in: folder)
    #expect(await command.ends(within: 600) == Command.Exit(status: 0), "\(command.errors)\n\(far.errors)")
    #expect(await far.ends(within: 60) == Command.Exit(status: 0), "\(far.errors)")
  }

  @Test func anEchoOverTheCableIsTheSame() async throws {
    let folder = try Scratch()
    let cable = try #require(Cable())
    try await keys(folder, ["coordinator", "near", "far"])
    let place = try place(folder, cable, near: "capture", far: "speaker")
    let graph = ["run", Command.graph("echo.yaml"), "--set", "input=\(Command.question)"]
    let alone = try Command(graph + ["--set", "speaker.path=alone.wav"], in: folder)
    #expect(await alone.ends() == Command.Exit(status: 0))
    try await run(graph + ["--set", "speaker.path=far.wav", "--place", place], cable, folder)
    #expect(isPlayable(folder.read("far.wav")))
    #expect(folder.read("alone.wav") == folder.read("far.wav"))
  }

  @Test(.enabled(if: PlacementEndToEnd.hasModels, "the models are not in the cache; tools/models fetch brings them"))
  func theCascadesAnswerOverTheCableIsTheSame() async throws {
    let folder = try Scratch()
    let cable = try #require(Cable())
    try await keys(folder, ["coordinator", "near", "far"])
    let place = try place(
      folder, cable, near: "capture, voice-activity, encoder, decoder, transcript, speech, speaker", far: "\"*\"")
    let graph = ["run", Command.graph("cascade.yaml"), "--set", "question=\(Command.question)"]
    let alone = try Command(graph + ["--set", "answer=alone.wav"], in: folder)
    #expect(await alone.ends(within: 600) == Command.Exit(status: 0))
    try await run(graph + ["--set", "answer=far.wav", "--place", place], cable, folder)
    #expect(isPlayable(folder.read("far.wav")))
    #expect(folder.read("alone.wav") == folder.read("far.wav"))
  }

  @Test func aCutCableIsReportedAndTheRunEnds() async throws {
    let folder = try Scratch()
    let cable = try #require(Cable())
    try await keys(folder, ["coordinator", "near", "far"])
    let graph = try folder.write(FaultsEndToEnd.talk, to: "talk.yaml")
    let place = try place(folder, cable, near: "text, speech", far: "speaker")
    let arguments = ["run", graph, "--place", place, "--start-timeout", "10"]
    let command = try Command(arguments + ["--json"], launcher: cable.nearSide, in: folder, endsInput: false)
    let far = try Command(arguments + ["--part", "far"], launcher: cable.farSide, in: folder)
    await command.says("session said")
    command.type(FaultsEndToEnd.long)
    try await eventually("the first sound") { (folder.read("said.wav")?.count ?? 0) > 10_000 }
    cable.cut()
    await command.says("part far: has not answered for 5 s")
    await command.says("turn said#1 failed: part far has not answered for 5 s")
    #expect(await command.ends() == Command.Exit(status: 1), "\(command.errors)")
    #expect(try Summary(command).failure == "part far has not come back for 10 s")
    // Whoever cannot be told notices that the coordinator is gone.
    #expect(await far.ends(within: 60) == Command.Exit(status: 1), "\(far.errors)")
    #expect(isPlayable(folder.read("said.wav")))
  }

  @Test func aCableThatIsMendedCarriesTheNextTurn() async throws {
    let folder = try Scratch()
    let cable = try #require(Cable())
    try await keys(folder, ["coordinator", "near", "far"])
    let graph = try folder.write(FaultsEndToEnd.talk, to: "talk.yaml")
    let place = try place(folder, cable, near: "text, speech", far: "speaker")
    let arguments = ["run", graph, "--place", place]
    let command = try Command(arguments + ["--json"], launcher: cable.nearSide, in: folder, endsInput: false)
    let far = try Command(arguments + ["--part", "far"], launcher: cable.farSide, in: folder)
    await command.says("session said")
    command.type(FaultsEndToEnd.long)
    try await eventually("the first sound") { (folder.read("said.wav")?.count ?? 0) > 10_000 }
    cable.cut()
    await command.says("turn said#1 failed: part far has not answered for 5 s")
    cable.mend()
    await command.says("part far: answers again")
    command.type("and now a short one.")
    command.closeInput()
    #expect(await command.ends() == Command.Exit(status: 1), "\(command.errors)")
    let summary = try Summary(command)
    #expect(summary.failure == nil)
    #expect(summary.turns.map(\.epoch) == [1, 2])
    #expect(await far.ends(within: 60) == Command.Exit(status: 0), "\(far.errors)")
  }
}

/// Two network namespaces joined by a virtual cable, taken down with the object.
final class Cable: Sendable {
  static let isAvailable: Bool = {
    guard getuid() == 0, let cable = Cable() else { return false }
    withExtendedLifetime(cable) {}
    return true
  }()

  private let name: String
  let near: String
  let far: String
  var nearSide: [String] { ["/usr/bin/env", "ip", "netns", "exec", "\(name)a"] }
  var farSide: [String] { ["/usr/bin/env", "ip", "netns", "exec", "\(name)b"] }

  init?() {
    let number = Int.random(in: 1...250)
    name = "aph\(Int.random(in: 1000...9999))"
    (near, far) = ("10.213.\(number).1", "10.213.\(number).2")
    let isMade =
      system("ip", "netns", "add", "\(name)a") && system("ip", "netns", "add", "\(name)b")
      && system(
        "ip", "link", "add", "\(name)v", "netns", "\(name)a", "type", "veth", "peer", "\(name)w", "netns", "\(name)b")
      && system("ip", "-n", "\(name)a", "addr", "add", "\(near)/24", "dev", "\(name)v")
      && system("ip", "-n", "\(name)b", "addr", "add", "\(far)/24", "dev", "\(name)w")
      && ["a", "b"].allSatisfy { system("ip", "-n", "\(name)\($0)", "link", "set", "lo", "up") } && mend()
    if !isMade { return nil }
  }

  deinit {
    system("ip", "netns", "del", "\(name)a")
    system("ip", "netns", "del", "\(name)b")
  }

  @discardableResult
  func cut() -> Bool { system("ip", "-n", "\(name)a", "link", "set", "\(name)v", "down") }

  @discardableResult
  func mend() -> Bool {
    system("ip", "-n", "\(name)a", "link", "set", "\(name)v", "up")
      && system("ip", "-n", "\(name)b", "link", "set", "\(name)w", "up")
  }
}
