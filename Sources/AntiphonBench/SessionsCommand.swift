import ArgumentParser
import Foundation
import ModelKit
import Tensors

/// How fast Mini-Omni2's language model steps for one session and for several at once, which read the weights together.
struct SessionsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sessions",
    abstract: "Measures steps of Mini-Omni2 for 1 to 8 sessions in one batch, by context and by threads.",
    discussion: """
      A step of a session: embeddings, two rows through all layers, the seven audio heads of one and the text head of \
      the other, the choice of tokens. Configurations alternate; figures are medians.
      """)

  @Option(help: "The release's folder or name; without it, random weights of its shape.")
  var model: String?
  @Option(help: "How matrices are kept: \(WeightPrecision.allCases.map(\.rawValue).joined(separator: ", ")).")
  var weights = "bf16"
  @Option(help: "Threads that compute.")
  var threads = 2
  @Option(help: "Rounds; each measures every configuration.")
  var rounds = 7
  @Option(help: "Steps of a configuration in a round.")
  var steps = 5
  @Flag(help: "Print JSON.")
  var json = false

  private static let sessionCounts = [1, 2, 4, 8]
  private static let positions = [50, 300, 1_000, 2_000]

  func validate() throws {
    guard WeightPrecision(rawValue: weights) != nil else { throw ValidationError("--weights: unknown '\(weights)'") }
    guard (1...64).contains(threads) else { throw ValidationError("--threads must be from 1 to 64") }
    guard (1...1_000).contains(rounds), (1...1_000).contains(steps) else {
      throw ValidationError("--rounds and --steps must be from 1 to 1000")
    }
  }

  /// What is measured together.
  struct Configuration: Codable, Hashable {
    var sessions = 1
    /// Positions that each row stands on.
    var position = 300
    var threads: Int
    /// Rows of a session; one is what is left once the text has ended.
    var rows = 2
  }

  struct Measurement: Codable {
    var configuration: Configuration
    /// Milliseconds.
    var step = Samples()
    /// The part of it that heads and sampling took.
    var head = Samples()
    /// Steps of a session in a second, all sessions together.
    var stepsPerSecond: Double { Double(configuration.sessions) * 1e3 / step.median }
  }

  struct Report: Codable {
    var machine: Machine
    var computing: String
    var model: String
    var measurements: [Measurement]
  }

  func run() throws {
    let machine = Machine.current()
    Compute.setThreads(threads)
    let workload = try load()
    let other = threads == 1 ? 2 : 1
    let configurations =
      Self.sessionCounts.map { Configuration(sessions: $0, threads: threads) }
      + Self.positions.filter { $0 != 300 }.map { Configuration(position: $0, threads: threads) }
      + [Configuration(threads: threads, rows: 1)]
      + Self.sessionCounts.map { Configuration(sessions: $0, threads: other) }
    try workload.prepare(
      Dictionary(configurations.map { ($0.position, $0.sessions) }, uniquingKeysWith: { max($0, $1) }))
    var measurements = configurations.map { Measurement(configuration: $0) }
    for round in 0...rounds {
      for index in measurements.indices {
        let configuration = measurements[index].configuration
        Compute.setThreads(configuration.threads)
        for step in 0..<steps {
          let times = try workload.step(configuration)
          // The first round, and the first step after another configuration's, find nothing in the caches.
          guard round > 0, step > 0 || steps == 1 else { continue }
          measurements[index].step.add(times.whole)
          measurements[index].head.add(times.head)
        }
      }
    }
    Compute.setThreads(threads)
    try report(
      Report(
        machine: machine, computing: Compute.description, model: "\(model ?? "random weights"), \(weights)",
        measurements: measurements))
  }

  private func load() throws -> SessionsWorkload {
    let precision = WeightPrecision(rawValue: weights) ?? .bf16
    guard let model else {
      let random = try RandomOmni(precision)
      return try SessionsWorkload(random.model(), random.head())
    }
    let folder = try ModelFolder.path(model)
    return try SessionsWorkload(
      ModelStore.shared.miniOmni2(at: folder, weights: precision),
      ModelStore.shared.miniOmni2Head(at: folder, weights: precision))
  }

  private func report(_ report: Report) throws {
    if json {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
      return print(String(decoding: try encoder.encode(report), as: UTF8.self))
    }
    print("# \(report.machine.description)\n# \(report.computing); \(report.model)")
    var table = TextTable([
      "sessions", "rows", "position", "threads", "step ms", "least", "most", "head ms", "steps /s", "of single steps",
    ])
    for measurement in report.measurements {
      let configuration = measurement.configuration
      let single = report.measurements.first {
        $0.configuration == Configuration(threads: configuration.threads)
      }
      let share = single.map { measurement.step.median / $0.step.median / Double(configuration.sessions) } ?? .nan
      table.add(
        [configuration.sessions, configuration.rows, configuration.position, configuration.threads].map(String.init)
          + [measurement.step.median, measurement.step.least, measurement.step.most, measurement.head.median].map {
            String(format: "%.1f", $0)
          } + [String(format: "%.1f", measurement.stepsPerSecond), String(format: "%.2f", share)])
    }
    print(table.description)
    print("'of single steps': the step against as many steps of one session, two rows, at position 300")
  }
}
