import Catalog
import Dataflow
import DataflowRuntime
import Foundation
import GraphFile
import Messages
import Synchronization
import Tensors

/// Runs a detector over recordings as fast as it goes, chunk by chunk: when it asks for the next chunk, it has heard all
/// before. So what it had heard when it found something is known to the chunk.
struct DetectorDrive {
  struct Found {
    var detection: Detection
    /// Seconds of the recording that the detector had got when it said so.
    var heard: Double
    /// Whether it was heard in what the assistant played as well.
    var isOwnWord = false
  }

  /// What one recording gave.
  struct Outcome {
    var found: [Found] = []
    /// Seconds of sound.
    var duration = 0.0
    /// Seconds of processor time.
    var cost = 0.0
  }

  static let rate = 16_000
  let kind: String
  let settings: [String]
  /// Samples.
  let chunk: Int

  /// - Parameter recordings: hands over each one's samples when its turn comes.
  /// - Returns: one outcome for each recording.
  func run(_ recordings: [() throws -> [Float]]) async throws -> [Outcome] {
    let planned = try plannedNode()
    guard let type = planned.type else { throw BenchError("\(kind) is no kind of node of this program") }
    return try await drive(type, planned, recordings)
  }

  /// The detector, checked as in any graph.
  private func plannedNode() throws -> PlannedNode {
    let directory = try RunDirectory()
    let graph = try directory.write(
      [
        "antiphon": 1,
        "nodes": ["sound": ["kind": SoundNode.kind], "detector": ["kind": kind], "ear": ["kind": EarNode.kind]],
        "edges": ["sound.audio -> detector.audio", "detector.detections -> ear.detections"],
      ], to: "graph.yaml")
    let catalog = NodeCatalog(nodes: Catalog.nodes + [SoundNode.self, EarNode.self], messages: MessageTypes.all)
    let plan = try Planner.plan(
      GraphDescription.load(path: graph, overrides: settings.map { "detector.\($0)" }), catalog: catalog,
      options: Planner.Options(
        settings: RunSettings(threads: 1, kernels: Compute.description), runDirectory: directory.path))
    guard let node = plan.nodes.first(where: { $0.name == "detector" }) else { throw BenchError("no detector") }
    return node
  }

  private func drive<N: Node>(
    _ type: N.Type, _ planned: PlannedNode, _ recordings: [() throws -> [Float]]
  ) async throws -> [Outcome] {
    var reader = planned.parameters
    let parameters = N.Parameters(&reader)
    if let error = reader.errors.first { throw error }
    let context = NodeContext(
      name: "detector", clock: SystemTime(), seed: 0, threads: 1, services: QuietServices())
    var outcomes: [Outcome] = []
    for (index, recording) in recordings.enumerated() {
      // A node for each recording: what it was before must not matter, and does not if sessions are apart.
      let stream = try SoundStream(recording(), chunk: chunk, number: UInt64(index) + 1)
      var node = try N(parameters, context)
      var binder = PortBinder(connecting: stream)
      let ports = try N.Ports(&binder, parameters)
      let start = Self.processorTime()
      try await node.run(ports)
      outcomes.append(
        Outcome(
          found: stream.found, duration: Double(stream.samples.count) / Double(Self.rate),
          cost: Self.processorTime() - start))
    }
    return outcomes
  }

  /// Seconds that this process has computed.
  private static func processorTime() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }
}

/// A recording as a node's only input, and what comes out of it.
private final class SoundStream: PortConnection, Inbox, Outlet {
  let samples: SharedBuffer<Float>
  private let chunk: Int
  private let turn: Turn
  private let state = Mutex(State())

  private struct State {
    var hasBegun = false
    var hasEnded = false
    var position = 0
    var found: [DetectorDrive.Found] = []
  }

  init(_ samples: [Float], chunk: Int, number: UInt64) {
    self.samples = SharedBuffer(samples)
    self.chunk = chunk
    turn = Turn(Session(id: number, name: "recording-\(number)"), epoch: 0)
  }

  var found: [DetectorDrive.Found] { state.withLock { $0.found } }
  var inbox: any Inbox { self }
  func outlet(_ port: Int) -> any Outlet { self }

  func take(on ports: UInt64) throws -> Taken {
    guard let envelope = state.withLock({ next(&$0) }) else { return .ended }
    return .arrival(.envelope(envelope, port: 0))
  }

  func next(on ports: UInt64) async throws -> Arrival? {
    if case .arrival(let arrival) = try take(on: ports) { arrival } else { nil }
  }

  func poll(on ports: UInt64) throws -> Taken { .nothing }
  func isConnected(_ port: Int) -> Bool { true }
  func refuse(_ value: WrittenValue, because error: MessageCodingError) {}

  private func next(_ state: inout State) -> Envelope? {
    guard state.hasBegun else {
      state.hasBegun = true
      return Envelope(.sessionBegan, turn: turn)
    }
    guard state.position < samples.count else {
      if state.hasEnded { return nil }
      state.hasEnded = true
      return Envelope(.sessionEnded, turn: turn)
    }
    let end = min(state.position + chunk, samples.count)
    let time = Int64(state.position) * 1_000_000_000 / Int64(DetectorDrive.rate)
    let piece = samples.withUnsafeBufferPointer { SharedBuffer($0[state.position..<end]) }
    state.position = end
    return Envelope(
      .value(AudioChunk(samples: piece, rate: DetectorDrive.rate)), turn: turn, stamp: Stamp(time: time))
  }

  var isConnected: Bool { true }

  func send(_ value: any Message, turn: Turn, time: Int64, trace: UInt64?, inPlace: Bool) throws -> Unsent? {
    guard let detection = value as? Detection else { return nil }
    state.withLock { state in
      let heard = Double(state.position) / Double(DetectorDrive.rate)
      state.found.append(DetectorDrive.Found(detection: detection, heard: heard))
    }
    return nil
  }

  func finish(_ unsent: Unsent) async throws {}
}

/// A runtime that has nothing to say.
private struct QuietServices: NodeServices {
  var isStopping: Bool { false }
  var queues: [QueueDepth] { [] }
  func beginSession(named name: String) -> Session? { nil }
  func beginTurn(in session: Session) -> Turn { Turn(session, epoch: session.nextEpoch()) }
  func endTurn(_ turn: Turn) {}
  func endSession(_ session: Session) {}
  func interrupt(_ session: Session, through epoch: UInt32?, because reason: String) {}
  func fail(_ turn: Turn, because reason: String) {}
  func played(_ time: Int64, of turn: Turn) {}
  func said(_ pieces: [SaidText], of turn: Turn, replacing: Bool) {}
  func progress(_ what: String, _ fraction: Double) {}
  func show(_ text: String) {}
  func log(_ text: String) {}
  func print(_ text: String) {}
}

/// What stands for a microphone while the detector's parameters are checked.
struct SoundNode: Node {
  static let kind = "sound-set"
  static let summary = "Recordings of a sound set."
  struct Ports: PortSet {
    let audio: Output<AudioChunk>
    init(_ bind: inout PortBinder, _ parameters: NoParameters) throws {
      audio = bind.output("audio", type: .audio(rate: DetectorDrive.rate, channels: 1), help: "The sound.")
    }
  }
  init(_ parameters: NoParameters, _ context: NodeContext) throws {}
  mutating func run(_ ports: Ports) async throws {}
}

/// What stands for whoever reads a detector's detections.
struct EarNode: Node {
  static let kind = "detections-heard"
  static let summary = "Takes detections."
  struct Ports: PortSet {
    let detections: Input<Detection>
    init(_ bind: inout PortBinder, _ parameters: NoParameters) throws {
      detections = bind.input("detections", help: "What was detected.")
    }
  }
  init(_ parameters: NoParameters, _ context: NodeContext) throws {}
  mutating func run(_ ports: Ports) async throws { for try await _ in ports.detections {} }
}
