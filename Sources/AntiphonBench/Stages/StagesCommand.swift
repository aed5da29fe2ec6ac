import ArgumentParser
import Foundation
import ModelKit
import Tensors

/// How fast each stage of Mini-Omni2 is, beside other implementations of it and beside what the machine can do at most.
struct StagesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stages",
    abstract: "Times each stage of Mini-Omni2 beside its peers and beside what the machine can do at most.")

  @Option(
    help: """
      The folder that holds mini-omni2 and snac_24khz (default: random-mini-omni2 in the models' folder, random weights \
      of the release's shape).
      """)
  var model: String?
  @Flag(help: "Measure the peers, too, that tools/bench peers has installed.")
  var peers = false
  @Option(help: "How often each way of computing a stage has its turn.")
  var rounds = 5
  @Option(help: "Threads that compute.")
  var threads = 2
  @Option(parsing: .upToNextOption, help: "Measure these stages alone.")
  var only: [Stage] = []
  @Option(help: ArgumentHelp("The folder of the peers' programs.", visibility: .hidden))
  var scripts = "tools/bench.d/peers"
  @Flag(help: "Print everything as JSON.")
  var json = false

  func validate() throws {
    guard (1...1000).contains(rounds) else { throw ValidationError("--rounds must be from 1 to 1000") }
    guard (1...64).contains(threads) else { throw ValidationError("--threads must be from 1 to 64") }
  }

  func run() throws {
    Compute.setThreads(threads)
    let own = OwnStages(folder: try ModelFolder.path(model ?? "random-mini-omni2"))
    var report = StageReport(
      machine: Machine.current(), kernels: Compute.description, threads: threads, rounds: rounds,
      roofline: Roofline.measured(threads: threads))
    let workers = PeerWorkers(threads: threads, scripts: scripts)
    for stage in Stage.allCases where only.isEmpty || only.contains(stage) {
      do {
        let ours = try own.stages(stage)
        let others = peers ? workers.loaded(stage.peers, missing: &report.missing) : []
        report.results.append(
          try StageContest(stage: stage, ours: ours, peers: others, roofline: report.roofline)
            .result(rounds: rounds, missing: &report.missing))
        FileHandle.standardError.write(Data("\(stage.rawValue) measured\n".utf8))
      } catch {
        report.missing.append("\(stage.rawValue): \(error)")
      }
    }
    guard !report.results.isEmpty else { throw BenchError(report.missing.joined(separator: "\n")) }
    print(json ? try report.json() : report.description)
  }
}

/// The peers' processes, kept from one stage to the next if both need them.
private final class PeerWorkers {
  private let threads: Int
  private let scripts: String
  private var workers: [Peer: PeerWorker] = [:]
  /// Peers that cannot be had are asked for once.
  private var failed: Set<Peer> = []

  init(threads: Int, scripts: String) { (self.threads, self.scripts) = (threads, scripts) }

  func loaded(_ peers: [Peer], missing: inout [String]) -> [PeerWorker] {
    workers = workers.filter { peers.contains($0.key) }
    return peers.compactMap { peer in
      if let worker = workers[peer] { return worker }
      guard !failed.contains(peer) else { return nil }
      do {
        let worker = try PeerWorker(peer, threads: threads, scripts: scripts)
        workers[peer] = worker
        return worker
      } catch {
        failed.insert(peer)
        missing.append("\(peer.name), \(peer.stage): \(error)")
        return nil
      }
    }
  }
}
