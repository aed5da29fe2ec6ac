import Foundation
import ModelKit
import Testing

/// `antiphon-bench detect` over a few seconds of sound in which it is known what is said.
@Suite(.timeLimit(.minutes(2))) struct DetectEndToEnd {
  /// What the tests look at in the JSON.
  private struct Report: Decodable {
    struct Group: Decodable {
      var name: String
      var count, found, mistaken, alarms: Int
    }
    struct Values: Decodable { var values: [Double] }
    var commands, near, talk: [Group]
    var fromEnd, computing: Values
    var faults: [String]
  }

  /// Ends of what is said in the keyword detector's golden sound, as its maker told them, in seconds.
  private static let ends = [0.88, 2.5, 3.44]
  private static let texts = ["stop", "stop omni", "wait"]

  /// The golden sound's samples, as they lie in the file.
  private static func samples() throws -> Data {
    let file = try Data(
      contentsOf: Command.root.appendingPathComponent("Tests/Goldens/keyword/commands.safetensors"))
    let count = file.prefix(8).enumerated().reduce(0) { $0 + Int($1.element) << (8 * $1.offset) }
    let header = try JSONSerialization.jsonObject(with: file[8..<8 + count]) as? [String: Any]
    let entry = header?["samples"] as? [String: Any]
    let offsets = try #require(entry?["data_offsets"] as? [Int])
    return Data(file[(8 + count + offsets[0])..<(8 + count + offsets[1])])
  }

  private static func wave(_ samples: Data) -> Data {
    var file = Data("RIFF".utf8)
    func put(_ value: Int, _ bytes: Int) { for index in 0..<bytes { file.append(UInt8(value >> (8 * index) & 255)) } }
    put(36 + samples.count, 4)
    file.append(Data("WAVEfmt ".utf8))
    for (value, bytes) in [(16, 4), (1, 2), (1, 2), (16_000, 4), (32_000, 4), (2, 2), (16, 2)] { put(value, bytes) }
    file.append(Data("data".utf8))
    put(samples.count, 4)
    return file + samples
  }

  /// The sound as commands, as near-misses, as talk, and as what the assistant says itself.
  private static func sounds(in folder: Scratch) throws {
    let utterances = zip(texts, ends).map { ["text": $0, "start": $1 - 0.4, "end": $1] as [String: Any] }
    func recording(_ kind: String, _ file: String, _ utterances: [[String: Any]]) -> [String: Any] {
      ["file": file, "kind": kind, "condition": "clean", "voices": "flite", "utterances": utterances]
    }
    let manifest: [String: Any] = [
      "about": "one golden sound",
      "recordings": [
        recording("commands", "said.wav", utterances), recording("near", "said.wav", [utterances[0]]),
        recording("talk", "said.wav", []),
        recording("own", "said.wav", []).merging(["reference": "said.wav"]) { $1 },
      ],
    ]
    let place = URL(fileURLWithPath: folder.path)
    try JSONSerialization.data(withJSONObject: manifest).write(to: place.appendingPathComponent("manifest.json"))
    try wave(samples()).write(to: place.appendingPathComponent("said.wav"))
  }

  @Test func whatIsFoundIsCountedByKind() async throws {
    let folder = try Scratch()
    try Self.sounds(in: folder)
    let command = try Command(["detect", folder.path, "--json", "--faults"], program: Command.bench, in: folder)
    #expect(await command.ends() == Command.Exit(status: 0), "\(command.errors)")
    let report = try JSONDecoder().decode(Report.self, from: Data(command.output.utf8))
    let commands = try #require(report.commands.first)
    #expect(report.commands.count == 1)
    #expect((commands.count, commands.found, commands.mistaken, commands.alarms) == (3, 3, 0, 0))
    #expect(report.near.map(\.count) == [1, 0])
    #expect(report.near.map(\.found) == [1, 0])
    let ownWords = "own voice, but for words heard in what is played"
    #expect(report.talk.map(\.name) == ["between near-misses", "talk", "own voice", ownWords])
    #expect(report.talk.map(\.alarms) == [2, 3, 3, 0])
    #expect(report.fromEnd.values.count == 3)
    #expect(report.fromEnd.values.allSatisfy { (0...500).contains($0) })
    #expect(report.faults.count == 9)
  }

  @Test(
    .enabled(
      if: (try? ModelFolder.path("whisper-tiny.en")) != nil, "needs the model: tools/models fetch whisper-tiny.en"))
  func whatIsCheckedIsCountedBehindTheCheck() async throws {
    let folder = try Scratch()
    try Self.sounds(in: folder)
    func report(_ arguments: String...) async throws -> Report {
      let command = try Command(["detect", folder.path, "--json"] + arguments, program: Command.bench, in: folder)
      #expect(await command.ends() == Command.Exit(status: 0), "\(command.errors)")
      return try JSONDecoder().decode(Report.self, from: Data(command.output.utf8))
    }
    // Whatever was found passes, but later by what it took to hear it once more.
    let (alone, checked) = (
      try await report(), try await report("--check", "detection-check", "--check-set", "threshold=-60")
    )
    #expect(checked.commands.first?.found == 3)
    #expect(checked.talk.map(\.alarms) == alone.talk.map(\.alarms))
    #expect(zip(checked.computing.values, alone.computing.values).allSatisfy { $0 > $1 })
    #expect(zip(checked.fromEnd.values, alone.fromEnd.values).allSatisfy { $0 > $1 })
  }

  @Test func theTableSaysHowSureItIs() async throws {
    let folder = try Scratch()
    try Self.sounds(in: folder)
    let command = try Command(["detect", folder.path, "--set", "commands=[wait]"], program: Command.bench, in: folder)
    #expect(await command.ends() == Command.Exit(status: 0), "\(command.errors)")
    // One of three, by Wilson.
    #expect(command.output.contains("33.3"))
    #expect(command.output.contains("6.1 to 79.2"))
    #expect(command.output.contains("synthetic speech"))
  }

  @Test(arguments: [
    (["--set", "language=zh"], "'zh' is not known to keyword-en"),
    (["--kind", "keyword-detektor"], "keyword-detector"), (["--kind", "voice-gate"], "detections"),
    (["--check", "voice-gate"], "detections"), (["--check-set", "threshold=0"], "--check-set needs --check"),
    (["--chunk", "0"], "--chunk must be from 1 to 10000"),
  ])
  func whatItCannotRunIsRefused(arguments: [String], hint: String) async throws {
    let folder = try Scratch()
    try Self.sounds(in: folder)
    let command = try Command(["detect", folder.path] + arguments, program: Command.bench, in: folder)
    #expect(await command.ends() != Command.Exit(status: 0))
    #expect(command.errors.contains(hint), "\(command.errors)")
  }

  @Test func aFolderWithoutSoundsIsRefused() async throws {
    let folder = try Scratch()
    let command = try Command(["detect", folder.path], program: Command.bench, in: folder)
    #expect(await command.ends() != Command.Exit(status: 0))
    #expect(command.errors.contains("tools/bench detect-sounds"))
  }
}
