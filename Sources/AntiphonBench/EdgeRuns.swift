import Dataflow
import DataflowRuntime
import Foundation
import GraphFile
import Messages
import Synchronization
import ZeroMQ

/// Our edges, in graphs that are planned and run as a user's are. Edges over sockets lie between two parts, which have
/// a ZeroMQ context each.
struct EdgeRuns {
  let course: Course
  let seconds: Double

  /// - Parameter inBatches: whether nodes send and take messages several at once.
  func pace(inBatches: Bool = false) async throws -> Pace {
    let bench = Bench(course: course, seconds: seconds, takesBatches: inBatches)
    try await run(
      bench, nodes: ["source": BlobSourceNode.kind, "sink": BlobSinkNode.kind],
      edges: [["from": "source.blobs", "to": "sink.blobs", "depth": course.depth]], apart: "sink")
    guard let pace = bench.pace.withLock({ $0 }) else { throw BenchError("the sink measured nothing") }
    return pace
  }

  func delays() async throws -> Delays {
    let bench = Bench(course: course, seconds: seconds)
    try await run(
      bench, nodes: ["starter": StarterNode.kind, "ping": PingNode.kind, "pong": PongNode.kind],
      edges: [
        ["from": "starter.blobs", "to": "ping.start"], ["from": "ping.there", "to": "pong.there"],
        ["from": "pong.back", "to": "ping.back", "feedback": true, "depth": 16],
      ], apart: "pong")
    guard let delays = bench.delays.withLock({ $0 }) else { throw BenchError("ping measured nothing") }
    return delays
  }

  private func run(_ bench: Bench, nodes: [String: String], edges: [[String: Any]], apart: String) async throws {
    let number = Bench.register(bench)
    defer { Bench.remove(number) }
    let directory = try RunDirectory()
    let graph: [String: Any] = [
      "antiphon": 1, "edges": edges,
      "nodes": nodes.mapValues { ["kind": $0, "with": ["number": number]] as [String: Any] },
    ]
    let description = try GraphDescription.load(path: try directory.write(graph, to: "graph.yaml"))
    let catalog = NodeCatalog(
      nodes: [BlobSourceNode.self, BlobSinkNode.self, StarterNode.self, PingNode.self, PongNode.self],
      messages: MessageTypes.all + [Blob.self])
    let plan = try Planner.plan(
      description, placement: try placement(apart: apart, directory), catalog: catalog,
      options: Planner.Options(
        settings: RunSettings(threads: 1), runDirectory: directory.path, forcesInproc: course.carrier == .inproc))
    var options = GraphRun.Options()
    options.hostsEverything = true
    let summary = try await GraphRun(plan: plan, catalog: catalog, options: options).run { _ in }
    if let failure = summary.failure { throw BenchError(failure) }
  }

  private func placement(apart: String, _ directory: RunDirectory) throws -> Placement? {
    guard course.carrier.crossesSockets else { return nil }
    func part(_ nodes: [String], _ host: Int) -> [String: Any] {
      course.carrier == .ipc
        ? ["nodes": nodes] : ["nodes": nodes, "host": "127.0.0.\(host)", "ports": Self.ports()]
    }
    var placement: [String: Any] = ["antiphon": 1, "parts": ["apart": part([apart], 1), "rest": part(["*"], 2)]]
    // Hosts want one; nobody asks for it, for all parts are in this process.
    if course.carrier != .ipc { placement["coordinator"] = "tcp://127.0.0.250:1" }
    if course.carrier == .curve {
      var clients = ""
      for name in ["apart", "rest", "coordinator"] {
        let keys = try CurveKeyPair.generate()
        try keys.write(secretKeyFile: "\(directory.path)/\(name).key")
        try keys.write(publicKeyFile: "\(directory.path)/\(name).pub", name: name)
        clients += "\(keys.publicKey.z85)  # \(name)\n"
      }
      try clients.write(toFile: "\(directory.path)/allow", atomically: true, encoding: .utf8)
      placement["security"] = ["keys": directory.path, "allow": "\(directory.path)/allow"]
    }
    return try Placement.load(path: try directory.write(placement, to: "placement.yaml"))
  }

  /// A range of ports for one part, another one each time, below those that the system gives away itself.
  private static func ports() -> String {
    let start = 20000 + lastPort.add(8, ordering: .relaxed).newValue % 12000
    return "\(start)-\(start + 7)"
  }
  private static let lastPort = Atomic<Int>(Int.random(in: 0..<3000) * 8)
}
