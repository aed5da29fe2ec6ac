import ArgumentParser
import DataflowRuntime
import Foundation
import Tensors

/// How soon an assistant answers, and how fast it goes on, with everything in one process.
struct AssistantCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "assistant",
    abstract: "From the end of a spoken question to the first sound of its answer, and to its last.",
    discussion: """
      The question's file is taken in as fast as it can be read; the first sound counts from its end. Every round loads \
      the models anew.
      """)

  @Option(help: "The graph.")
  var graph = "Graphs/mini-omni2.yaml"
  @Option(name: .customLong("set"), help: "A parameter, as in 'antiphon run'; may be given several times.")
  var settings: [String] = []
  @Option(help: "How many runs; the medians are told.")
  var rounds = 5
  @Option(help: "Threads that compute.")
  var threads = 2
  @Option(help: "What to judge by: at most so many seconds to the first sound.")
  var firstSoundGoal: Double?
  @Option(help: "What to judge by: so many times as fast as playback, from the first sound on.")
  var aheadGoal: Double?
  @Option(help: "What to judge by: at most so many GB of memory.")
  var memoryGoal: Double?
  @Flag(help: "Print everything as JSON.")
  var json = false

  func validate() throws {
    guard (1...1_000).contains(rounds) else { throw ValidationError("--rounds must be from 1 to 1000") }
    guard (1...64).contains(threads) else { throw ValidationError("--threads must be from 1 to 64") }
  }

  func run() async throws {
    Compute.setThreads(threads)
    var result = AssistantResult(machine: Machine.current(), kernels: Compute.description)
    for _ in 0..<rounds { try await measure(&result) }
    result.peakBytes = Machine.peakMemory
    judge(&result)
    json ? try print(result.json()) : print(result.description)
  }

  private func judge(_ result: inout AssistantResult) {
    func add(_ name: String, _ unit: String, goal: Double?, found: Double, isMost: Bool = true) {
      guard let goal else { return }
      result.verdicts.append(
        StageReport.Verdict(
          name: name, goal: (isMost ? "at most " : "at least ") + String(format: "%.1f \(unit)", goal),
          found: String(format: "%.2f", found), isMet: isMost ? found <= goal : found >= goal))
    }
    add("first sound", "s", goal: firstSoundGoal, found: result.firstAudio.median)
    add("from then on", "x as fast as playback", goal: aheadGoal, found: result.ahead.median, isMost: false)
    add("peak memory", "GB", goal: memoryGoal, found: Double(result.peakBytes) / 1e9)
  }

  private func measure(_ result: inout AssistantResult) async throws {
    let directory = try RunDirectory()
    let summary = try await WholeGraph.run(
      graph, overrides: ["answer=\(directory.path)/answer.wav"] + settings, threads: threads, in: directory)
    guard let turn = summary.timings.first, let first = turn.firstAudio, let answered = turn.answered,
      let audio = turn.audio
    else { throw BenchError("\(graph) answers with no sound") }
    result.loading.add(Double(summary.loading) / 1e9)
    result.firstAudio.add(Double(first) / 1e9)
    result.answered.add(Double(answered) / 1e9)
    result.audio.add(Double(audio) / 1e9)
    // The first sound is there already; what follows it is made while it plays.
    result.ahead.add(Double(audio) / Double(max(1, answered - first)))
  }
}

/// What `antiphon-bench assistant` measured; seconds.
struct AssistantResult: Codable {
  var machine: Machine
  var kernels: String
  var loading = Samples()
  /// From the end of the question to the first sound.
  var firstAudio = Samples()
  /// From the end of the question to the end of the answer.
  var answered = Samples()
  /// The answer's length as played.
  var audio = Samples()
  /// How many times as fast as playback the answer is made once it sounds.
  var ahead = Samples()
  /// The process at its largest, pages of mapped files included.
  var peakBytes = 0
  var verdicts: [StageReport.Verdict] = []

  init(machine: Machine, kernels: String) { (self.machine, self.kernels) = (machine, kernels) }

  func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }

  var description: String {
    func seconds(_ samples: Samples) -> String {
      String(format: "%.2f s (%.2f-%.2f)", samples.median, samples.least, samples.most)
    }
    let lines = """
      # \(machine.description)
      # \(kernels)
      loading      \(seconds(loading))
      first sound  \(seconds(firstAudio)) after the end of the question
      answered     \(seconds(answered)), an answer of \(String(format: "%.2f s", audio.median))
      from then on \(String(format: "%.1f x (%.1f-%.1f)", ahead.median, ahead.least, ahead.most)) as fast as playback
      peak memory  \(String(format: "%.2f GB", Double(peakBytes) / 1e9))
      """
    return ([lines] + verdicts.map(\.description)).joined(separator: "\n")
  }
}
