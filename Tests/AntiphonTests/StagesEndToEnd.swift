import Foundation
import Testing

/// `antiphon-bench stages`, on the micro checkpoint: how it is asked, and what it tells of what it could measure.
@Suite(.timeLimit(.minutes(3))) struct StagesEndToEnd {
  /// What the tests look at in the JSON.
  private struct Report: Decodable {
    struct Values: Decodable { var values: [Double] }
    struct Entry: Decodable {
      var name: String
      var isOurs: Bool
      var values: Values
      /// The least that the machine allows.
      var bound: Double
    }
    struct Verdict: Decodable {
      var name, goal: String
      var isMet: Bool
    }
    struct Result: Decodable {
      var stage, unit: String
      var entries: [Entry]
      var verdicts: [Verdict]
    }
    var rounds: Int
    var results: [Result]
    var missing: [String]
  }

  private static let micro = Command.root.appendingPathComponent("Tests/Goldens/mini-omni2/checkpoint").path

  /// The command with a cache folder of its own, in which neither models nor peers are.
  private static func stages(_ arguments: [String], in folder: Scratch) throws -> Command {
    try Command(
      ["stages", "--model", micro] + arguments, program: Command.bench,
      launcher: ["/usr/bin/env", "-u", "ANTIPHON_MODELS", "XDG_CACHE_HOME=\(folder.path)"], in: folder)
  }

  @Test(arguments: [
    (["--only", "whisper-large"], ["'whisper-large'", "whisper-small"]),
    (["--rounds", "0"], ["--rounds must be from 1 to 1000"]),
    (["--threads", "65"], ["--threads must be from 1 to 64"]),
  ])
  func whatItCannotDoIsRefused(arguments: [String], hints: [String]) async throws {
    let folder = try Scratch()
    let command = try Self.stages(arguments, in: folder)
    #expect(await command.ends() == Command.Exit(status: 64))
    for hint in hints { #expect(command.errors.contains(hint), "\(command.errors)") }
    #expect(command.output.isEmpty)
  }

  @Test func everyWayOfKeepingWeightsIsMeasuredAndJudged() async throws {
    let folder = try Scratch()
    let command = try Self.stages(["--json", "--rounds", "2", "--only", "clip", "snac"], in: folder)
    #expect(await command.ends() == Command.Exit(status: 0))
    let report = try JSONDecoder().decode(Report.self, from: Data(command.output.utf8))
    #expect(report.rounds == 2)
    #expect(report.results.map(\.stage) == ["clip", "snac"])
    #expect(report.results.map(\.unit) == ["ms", "real-time factor"])
    #expect(report.missing.isEmpty)
    let (clip, snac) = (report.results[0], report.results[1])
    #expect(clip.entries.map(\.name) == ["stored", "f32", "bf16", "int8", "int4"])
    #expect(snac.entries.map(\.name) == ["fp32"])
    for entry in clip.entries + snac.entries {
      #expect(entry.isOurs)
      #expect(entry.values.values.count >= 2 && entry.values.values.allSatisfy { $0 > 0 })
      #expect(entry.bound > 0)
    }
    // A model so small meets the target of the large one; it is the fastest way that is judged.
    let medians = clip.entries.map { entry in
      let sorted = entry.values.values.sorted()
      return sorted[Int((Double(sorted.count - 1) * 0.5).rounded())]
    }
    let fastest = try #require(medians.indices.min { medians[$0] < medians[$1] })
    #expect(clip.verdicts.map(\.goal) == ["at most 60.0 ms"])
    #expect(clip.verdicts.first?.name == clip.entries[fastest].name)
    #expect(clip.verdicts.first?.isMet == (medians[fastest] <= 60))
  }

  @Test func whatCannotBeMeasuredIsNamedAndTheRestIs() async throws {
    let folder = try Scratch()
    let command = try Self.stages(
      ["--json", "--rounds", "1", "--peers", "--only", "llm-step", "whisper-tiny", "clip"], in: folder)
    #expect(await command.ends() == Command.Exit(status: 0))
    let report = try JSONDecoder().decode(Report.self, from: Data(command.output.utf8))
    #expect(report.results.map(\.stage) == ["clip"])
    // The micro model's context ends before position 300; Whisper-tiny was not fetched.
    #expect(report.missing.contains { $0.hasPrefix("llm-step: ") && $0.contains("256") }, "\(report.missing)")
    #expect(report.missing.contains { $0.contains("tools/models fetch whisper-tiny.en") }, "\(report.missing)")
    let reason = "\(folder.path)/antiphon/peers/bin/python is not there; run: tools/bench peers"
    for peer in ["PyTorch fp32", "PyTorch bf16"] {
      #expect(report.missing.contains("\(peer), clip: \(reason)"), "\(report.missing)")
    }
  }

  @Test func theTableIsMadeForReading() async throws {
    let folder = try Scratch()
    let command = try Self.stages(["--rounds", "1", "--only", "clip"], in: folder)
    #expect(await command.ends() == Command.Exit(status: 0))
    for text in ["2 threads, 1 rounds", "GB/s by one thread", "CLIP ViT-B/32", "of roofline", "at most 60.0 ms"] {
      #expect(command.output.contains(text), "\(command.output)")
    }
  }
}
