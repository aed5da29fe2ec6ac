import Foundation
import Testing

/// What is said before anything runs: plans, keys, machines; quick.
@Suite(.timeLimit(.minutes(3))) struct InspectTests {
  private func say(_ arguments: [String], _ environment: [String] = [], in folder: Scratch) async throws -> Command {
    let command = try Command(arguments, launcher: ["/usr/bin/env"] + environment, in: folder)
    #expect(await command.ends() != nil)
    return command
  }

  // MARK: Plans

  @Test func aPlansCommandRunsAsItIsPrinted() async throws {
    let folder = try Scratch()
    let file = try folder.write(
      """
      antiphon: 1
      nodes: { text: { kind: text-input }, out: { kind: text-output } }
      edges: [text.text -> out.text]
      """, to: "it's a graph.yaml")
    let plan = try await say(["plan", file, "--set", "text.text=Be brief: one line; $HOME *"], in: folder)
    let lines = plan.output.split(separator: "\n").map(String.init)
    let heading = try #require(lines.firstIndex(of: "To run it:"), "\(plan.output)\(plan.errors)")
    try folder.write(lines[heading + 1], to: "go.sh")
    #expect(system("bash", "-c", "bash '\(folder.file("go.sh"))' > '\(folder.file("out"))'"))
    #expect(folder.read("out") == Data("Be brief: one line; $HOME *\n".utf8))
  }

  @Test func thePartsToStartByHandAreShownAsTheyAreStarted() async throws {
    let folder = try Scratch()
    let place = try folder.write(
      """
      antiphon: 1
      coordinator: tcp://127.0.0.1:5550
      parts:
        near: { nodes: [capture] }
        far: { host: 127.0.0.2, ports: 6000-6009, nodes: [speaker] }
      """, to: "place.yaml")
    let plan = try await say(["plan", Command.graph("echo.yaml"), "--place", place], in: folder)
    #expect(plan.output.contains("on 127.0.0.2:\n"), "\(plan.output)")
    #expect(plan.output.contains("--part far") && !plan.output.contains("--part near"), "\(plan.output)")
    #expect(!plan.output.contains("--run-directory"), "\(plan.output)")
  }

  @Test func aPartThatNobodyCouldFindIsRefusedAtOnce() async throws {
    let folder = try Scratch()
    let place = try folder.write("antiphon: 1\nparts: { a: { nodes: [capture] }, b: { nodes: [speaker] } }\n", to: "place.yaml")
    let run = try await say(["run", Command.graph("echo.yaml"), "--place", place, "--part", "b"], in: folder)
    #expect(run.errors.contains("place.yaml:2:") && run.errors.contains("coordinator: tcp://HOST:PORT"), "\(run.errors)")
  }

  @Test(arguments: ["validate", "plan", "run"])
  func anUnknownKernelPathIsAnErrorForEveryGraph(verb: String) async throws {
    let folder = try Scratch()
    let command = try Command(
      [verb, Command.graph("echo.yaml")], launcher: ["/usr/bin/env", "ANTIPHON_CPU=abacus"], in: folder)
    #expect(await command.ends() == Command.Exit(status: 1))
    #expect(command.errors.contains("ANTIPHON_CPU=abacus is not a kernel path"), "\(command.errors)")
    #expect(command.output.isEmpty)
  }

  // MARK: Models

  /// A model's file as far as a plan reads it: the width of Whisper's features.
  private func writeModel(_ name: String, width: UInt32, in folder: Scratch) throws {
    try FileManager.default.createDirectory(atPath: folder.file("models/\(name)"), withIntermediateDirectories: true)
    var bytes = Data()
    func put(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) } }
    func put(_ text: String) {
      put(UInt16(text.utf8.count + 1))
      bytes.append(Data(text.utf8) + [0])
    }
    put(UInt32(6))
    put("WhisperSpec")
    put(UInt32(3))
    put(UInt32(1))
    put("encoder/conv1/weight")
    put(UInt8(3))
    for dimension in [width, 80, 3] { put(dimension) }
    put(UInt8(1))
    put(width * 240)
    bytes.append(Data(count: Int(width) * 240))
    put(UInt32(0))
    try bytes.write(to: URL(fileURLWithPath: folder.file("models/\(name)/model.bin")))
  }

  @Test func modelsThatDoNotFitAreAFaultBeforeAnythingRuns() async throws {
    let folder = try Scratch()
    try writeModel("whisper-tiny.en", width: 384, in: folder)
    try writeModel("whisper-base", width: 512, in: folder)
    let cache = ["ANTIPHON_MODELS=\(folder.file("models"))"]
    let graph = Command.graph("transcribe.yaml")
    let names = ["--set", "capture.path=\(Command.question)"]
    let fits = try await say(["plan", graph] + names, cache, in: folder)
    #expect(fits.output.contains("features[dim=384]"), "\(fits.output)\(fits.errors)")
    let misfit = try await say(["validate", graph, "--set", "encoder.model=whisper-base"] + names, cache, in: folder)
    #expect(misfit.errors.contains("dim is 512, not 384"), "\(misfit.errors)")
    let unknown = try await say(["plan", graph, "--set", "encoder.model=whisper-none"] + names, cache, in: folder)
    #expect(unknown.output.contains("tools/models fetch whisper-none"), "\(unknown.output)\(unknown.errors)")
  }

  @Test func theDoctorTellsWhatThereIs() async throws {
    let folder = try Scratch()
    try writeModel("whisper-tiny.en", width: 384, in: folder)
    let doctor = try await say(
      ["doctor"], ["ANTIPHON_MODELS=\(folder.file("models"))", "ANTIPHON_PYTHON=\(folder.file("none"))"], in: folder)
    for name in ["libzmq", "OpenBLAS", "libsndfile", "kernels", "GPUs", "sound devices"] {
      #expect(doctor.output.contains("\(name) "), "\(doctor.output)")
    }
    #expect(doctor.output.contains("tools/python/setup"))
    #expect(doctor.output.contains("lacks tokenizer.json, config.json: tools/models fetch whisper-tiny.en"), "\(doctor.output)")
    #expect(doctor.output.contains("smollm2-135m-instruct: missing"))
  }

  // MARK: Keys

  @Test func keysAreMadeAllOrNone() async throws {
    let folder = try Scratch()
    func make(_ names: String...) async throws -> Command { try await say(["keys", "new"] + names, in: folder) }
    #expect(try await make("b").ends() == Command.Exit(status: 0))
    let second = try await make("a", "b")
    #expect(await second.ends() == Command.Exit(status: 1))
    #expect(second.errors.contains("keys/b.key is there already"), "\(second.errors)")
    #expect(!second.errors.contains("Usage"), "\(second.errors)")
    #expect(folder.read("keys/a.key") == nil)
    #expect(try await make("a").ends() == Command.Exit(status: 0))
    let list = try await say(["keys", "list"], in: folder)
    #expect(list.output.split(separator: "\n").map { $0.split(separator: " ").last } == ["b", "a"], "\(list.output)")
  }

  @Test func keysThatCannotBeListedLeaveNothingBehind() async throws {
    let folder = try Scratch()
    try FileManager.default.createDirectory(atPath: folder.file("keys"), withIntermediateDirectories: true)
    try folder.write("nonsense\n", to: "keys/allowed")
    let keys = try await say(["keys", "new", "a"], in: folder)
    #expect(await keys.ends() == Command.Exit(status: 1))
    #expect(keys.errors.contains("allowed:1:"), "\(keys.errors)")
    #expect(folder.read("keys/a.key") == nil)
  }

  @Test(arguments: [["keys", "list"], ["keys", "list", "--directory", "none"], ["nodes", "speker"], ["validate", "none.yaml"]])
  func whatIsNotThereIsSaidPlainly(arguments: [String]) async throws {
    let command = try await say(arguments, in: Scratch())
    #expect(await command.ends() == Command.Exit(status: 1))
    #expect(!command.errors.contains("Usage"), "\(command.errors)")
    #expect(!command.errors.isEmpty && command.output.isEmpty)
  }
}
