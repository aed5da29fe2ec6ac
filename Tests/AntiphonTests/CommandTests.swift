import Foundation
import Testing

/// What the command says, where, and with which status; quick.
@Suite(.timeLimit(.minutes(3))) struct CommandTests {
  @Test(arguments: [
    (
      "antiphon: 1\nnodes:\n  a:\n    kind: text-inptu\nedges: []\n",
      ":4:11: error: no node is of kind 'text-inptu'", "text-input"
    ),
    (
      "antiphon: 1\nnodes:\n  a: { kind: text-input, with: { txt: hello } }\nedges: []\n",
      ":3:34: error: node a: text-input has no parameter 'txt'", "text"
    ),
    (
      "antiphon: 1\nnodes:\n  a: { kind: text-input }\n  b: { kind: text-output }\nedges:\n  - a.text -> b.txt\n",
      ":6:15: error: node b (text-output) has no input 'txt'", "text"
    ),
    (
      "antiphon: 1\nnodes:\n  a: { kind: text-input }\n  b: { kind: speaker }\nedges:\n  - a.text -> b.audio\n",
      ":6:5: error: a.text sends text, but b.audio takes audio", "audio"
    ),
    ("antiphon: 1\nnodes:\n  b: { kind: speaker }\nedges: []\n", ":3:", "input 'audio' (audio) is not connected"),
    ("antiphon: 1\nnodse: {}\n", ":2:1: error:", "nodes"),
    ("antiphon: 9\nnodes: {}\nedges: []\n", ":1:11: error:", "9"),
    ("antiphon: [\n", "graph.yaml:", "error:"),
  ])
  func aFaultIsShownWithItsPlace(text: String, place: String, hint: String) async throws {
    let folder = try Scratch()
    let file = try folder.write(text, to: "graph.yaml")
    for verb in ["validate", "run", "plan"] {
      let command = try Command([verb, file], in: folder)
      #expect(await command.ends() == Command.Exit(status: 1))
      #expect(command.errors.contains("graph.yaml" + place) || command.errors.contains(place), "\(command.errors)")
      #expect(command.errors.contains(hint), "\(command.errors)")
      #expect(command.output.isEmpty)
    }
  }

  @Test func anUndeclaredCycleIsRefused() async throws {
    let folder = try Scratch()
    let file = try folder.write(
      """
      antiphon: 1
      nodes:
        a: { kind: voice-gate }
        b: { kind: voice-gate }
      edges:
        - a.speech -> b.audio
        - b.speech -> a.audio
      """, to: "graph.yaml")
    let command = try Command(["validate", file], in: folder)
    #expect(await command.ends() == Command.Exit(status: 1))
    #expect(command.errors.contains("feedback"), "\(command.errors)")
  }

  @Test(arguments: [
    ("antiphon: 1\nparts:\n  a: { nodes: [capture] }\n", "speaker"),
    ("antiphon: 1\nparts:\n  a: { nodes: [captur] }\n  b: { nodes: [\"*\"] }\n", "capture"),
    (
      "antiphon: 1\nparts:\n  a: { host: 10.1.2.3, ports: 6000-6009, nodes: [capture] }\n"
        + "  b: { host: 10.1.2.4, ports: 6000-6009, nodes: [speaker] }\n", "security"
    ),
  ])
  func aPlacementsFaultsAreShown(text: String, hint: String) async throws {
    let folder = try Scratch()
    let file = try folder.write(text, to: "place.yaml")
    let command = try Command(["validate", Command.graph("echo.yaml"), "--place", file], in: folder)
    #expect(await command.ends() == Command.Exit(status: 1))
    #expect(command.errors.contains("place.yaml:") && command.errors.contains(hint), "\(command.errors)")
  }

  @Test func resultsStandAloneOnStandardOutput() async throws {
    let folder = try Scratch()
    let file = try folder.write(
      """
      antiphon: 1
      nodes:
        text: { kind: text-input, with: { text: [one, two, three] } }
        out: { kind: text-output }
      edges: [text.text -> out.text]
      """, to: "graph.yaml")
    let place = try folder.write(
      "antiphon: 1\nparts: { a: { nodes: [text] }, b: { nodes: [out] } }\n", to: "place.yaml")
    for extra in [[], ["--place", place], ["--inproc"]] {
      let command = try Command(["run", file] + extra, in: folder)
      #expect(await command.ends() == Command.Exit(status: 0), "\(command.errors)")
      #expect(command.output == "one\ntwo\nthree\n")
    }
    let command = try Command(["run", file, "--json"], in: folder)
    #expect(await command.ends() == Command.Exit(status: 0))
    let summary = try Summary(command)
    #expect(summary.turns.map(\.epoch) == [1, 2, 3])
    #expect(summary.turns.map(\.isCompleted) == [true, true, true])
  }

  @Test func aReaderThatGoesAwayIsNoFailure() async throws {
    let folder = try Scratch()
    try folder.write(
      "exec '\(Command.executable.path)' run '\(Command.graph("echo.yaml"))' --set input='\(Command.question)' | true",
      to: "go.sh")
    #expect(system("timeout", "60", "env", "-C", folder.path, "bash", "-o", "pipefail", folder.file("go.sh")))
  }

  @Test(arguments: ["missing.wav", "empty.wav", "corrupt.wav"])
  func aBadFileIsNamed(name: String) async throws {
    let folder = try Scratch()
    if name == "empty.wav" { try folder.write("", to: name) }
    if name == "corrupt.wav" { try folder.write("RIFF....WAVEnothing of the kind", to: name) }
    let command = try Command(
      ["run", Command.graph("echo.yaml"), "--set", "input=\(folder.file(name))"], in: folder)
    #expect(await command.ends() == Command.Exit(status: 1))
    #expect(command.errors.contains(name), "\(command.errors)")
    #expect(command.output.isEmpty)
  }

  @Test func oneBadFileAmongManyFailsItsSessionOnly() async throws {
    let folder = try Scratch()
    try folder.write("nothing", to: "bad.wav")
    let command = try Command(
      [
        "run", Command.graph("echo.yaml"), "--json", "--set",
        "capture.path=[\(folder.file("bad.wav")), \(Command.question)]", "--set", "speaker.path=out-{session}.wav",
      ], in: folder)
    #expect(await command.ends() == Command.Exit(status: 1))
    #expect(try Summary(command).turns.first?.failure?.contains("bad.wav") == true, "\(command.output)")
    #expect(isPlayable(folder.read("out-question.wav")))
  }

  @Test func aCheckpointIsInspected() async throws {
    let folder = try Scratch()
    let golden = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("ModelKitTests/Golden/Checkpoints").path
    let listing = try Command(["models", "inspect", "\(golden)/nested.pt"], in: folder)
    #expect(await listing.ends() == Command.Exit(status: 0), "\(listing.errors)")
    #expect(listing.output.contains("visual.conv1.weight            F16  [4, 3, 2, 2]"), "\(listing.output)")
    let json = try Command(["models", "inspect", "\(golden)/sharded", "--json"], in: folder)
    #expect(await json.ends() == Command.Exit(status: 0), "\(json.errors)")
    #expect(json.output.contains("\"format\" : \"safetensors\""), "\(json.output)")
    for (arguments, reason) in [
      (["\(golden)/os-system.pth"], "system is refused"), (["\(folder.path)/missing.pt"], "missing.pt"),
      (["\(golden)/nested.pt", "--for", "text-head"], "expected GGUF, found PyTorch archive"),
      (["\(golden)/nested.pt", "--for", "speaker"], "there are adapter, audio-token-head"),
    ] {
      let command = try Command(["models", "inspect"] + arguments, in: folder)
      let exit = await command.ends()
      #expect(exit != nil && exit != Command.Exit(status: 0))
      #expect(command.errors.contains(reason), "\(command.errors)")
      #expect(command.output.isEmpty)
    }
  }

  /// A release's folder serves every kind of node, each with its own file.
  @Test(arguments: [
    ("mini-omni2", "llm-step"), ("mini-omni2", "adapter"), ("mini-omni2", "audio-token-head"),
    ("mini-omni2", "whisper-encoder"), ("mini-omni2", "vision-encoder"), ("snac_24khz", "snac-decoder"),
  ]) func aFolderIsInspectedForAKindOfNode(name: String, kind: String) async throws {
    let folder = try Scratch()
    let checkpoint = Command.root.appendingPathComponent("Tests/Goldens/mini-omni2/checkpoint/\(name)").path
    let command = try Command(["models", "inspect", checkpoint, "--for", kind], in: folder)
    #expect(await command.ends() == Command.Exit(status: 0), "\(command.errors)\(command.output)")
    #expect(command.output.contains("all there"), "\(command.output)")
  }

  @Test(arguments: ["nan", "inf", "1e300", "-1", "0"])
  func aTimeToStartThatCannotBeIsRefused(time: String) async throws {
    let folder = try Scratch()
    let command = try Command(["run", Command.graph("echo.yaml"), "--start-timeout=\(time)"], in: folder)
    #expect(await command.ends() == Command.Exit(status: 64))
    #expect(command.errors.contains("--start-timeout must be between 0.1 and 2592000 seconds"), "\(command.errors)")
  }

  @Test func aTraceThatCannotBeWrittenIsRefusedBeforeTheRun() async throws {
    let folder = try Scratch()
    let file = folder.file("no-such-folder/trace.json")
    let command = try Command(
      ["run", Command.graph("echo.yaml"), "--set", "input=\(Command.question)", "--trace", file], in: folder)
    #expect(await command.ends() == Command.Exit(status: 1))
    #expect(command.errors.contains("the trace cannot be written to '\(file)': No such file"), "\(command.errors)")
    #expect(folder.read("echo.wav") == nil)
  }

  @Test func theSummaryAsJSONHoldsWhatTheTableShows() async throws {
    let folder = try Scratch()
    let command = try Command(["run", Command.graph("say.yaml"), "--json"], in: folder)
    #expect(await command.ends() == Command.Exit(status: 0), "\(command.errors)")
    let summary = try Summary(command)
    for node in summary.nodes where node.received > 0 {
      let (p50, p99) = (try #require(node.p50), try #require(node.p99))
      #expect(p50 > 0 && p50 <= p99, "\(node.node)")
    }
    #expect(summary.nodes.contains { $0.received > 0 })
    #expect(try #require(summary.timings.first?.realTimeFactor) > 0)
  }
}
