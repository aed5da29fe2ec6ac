import Catalog
import Dataflow
import DataflowRuntime
import Foundation
import GraphFile
import Messages
import Synchronization
import Tensors

/// Runs a detector over recordings as fast as it goes, chunk by chunk: when it asks for the next chunk, it has heard all
/// before. So what it had heard when it found something is known to the chunk. What checks its detections is run over the
/// same recordings, and is told of each detection when its sound had been heard.
struct DetectorDrive {
  struct Found {
    var detection: Detection
    /// Seconds of the recording that the detector, and what checks it, had got when it said so.
    var heard: Double
    /// Seconds of processor time that it took them since the last of that sound.
    var computing: Double
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
  /// The kind of what checks the detections, if anything does, and its parameters.
  var check: String?
  var checkSettings: [String] = []
  /// Samples.
  let chunk: Int

  /// - Parameter recordings: hands over each one's samples when its turn comes.
  /// - Returns: one outcome for each recording.
  func run(_ recordings: [() throws -> [Float]]) async throws -> [Outcome] {
    let nodes = try planned()
    var outcomes: [Outcome] = []
    for (index, recording) in recordings.enumerated() {
      let samples = try SharedBuffer(recording())
      var outcome = Outcome(duration: Double(samples.count) / Double(Self.rate))
      for (place, (type, node)) in nodes.enumerated() {
        let stream = SoundStream(
          samples, told: place > 0 ? outcome.found : nil, chunk: chunk, number: UInt64(index) + 1)
        outcome.cost += try await run(type, node, on: stream)
        outcome.found = stream.found
      }
      outcomes.append(outcome)
    }
    return outcomes
  }

  /// The detector and what checks it, themselves checked as in any graph.
  private func planned() throws -> [(any Node.Type, PlannedNode)] {
    let directory = try RunDirectory()
    var nodes = ["sound": ["kind": SoundNode.kind], "ear": ["kind": EarNode.kind], "detector": ["kind": kind]]
    var edges = ["sound.audio -> detector.audio"]
    if let check {
      nodes["check"] = ["kind": check]
      edges += [
        "sound.audio -> check.audio", "detector.detections -> check.detections", "check.detections -> ear.detections",
      ]
    } else {
      edges.append("detector.detections -> ear.detections")
    }
    let graph = try directory.write(["antiphon": 1, "nodes": nodes, "edges": edges], to: "graph.yaml")
    let catalog = NodeCatalog(nodes: Catalog.nodes + [SoundNode.self, EarNode.self], messages: MessageTypes.all)
    let overrides = settings.map { "detector.\($0)" } + checkSettings.map { "check.\($0)" }
    let plan = try Planner.plan(
      GraphDescription.load(path: graph, overrides: overrides), catalog: catalog,
      options: Planner.Options(
        settings: RunSettings(threads: 1, kernels: Compute.description), runDirectory: directory.path))
    return try ["detector", "check"].compactMap { name in plan.nodes.first { $0.name == name } }.map { node in
      guard let type = node.type else { throw BenchError("\(node.name) is no kind of node of this program") }
      return (type, node)
    }
  }

  /// Runs a node of its own over a recording: what it was before must not matter, and does not if sessions are apart.
  ///
  /// - Returns: the processor time that it took, in seconds.
  private func run<N: Node>(_ type: N.Type, _ planned: PlannedNode, on stream: SoundStream) async throws -> Double {
    var reader = planned.parameters
    let parameters = N.Parameters(&reader)
    if let error = reader.errors.first { throw error }
    let context = NodeContext(
      name: planned.name, clock: SystemTime(), seed: 0, threads: 1, services: QuietServices())
    var node = try N(parameters, context)
    var binder = PortBinder(connecting: stream)
    let ports = try N.Ports(&binder, parameters)
    let start = Self.processorTime()
    try await node.run(ports)
    return Self.processorTime() - start
  }

  /// Seconds that this process has computed.
  fileprivate static func processorTime() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }
}

/// A recording as a node's first input, the detections of another as its second, if it has one, and what comes out of it.
private final class SoundStream: PortConnection, Inbox, Outlet {
  private let samples: SharedBuffer<Float>
  private let told: [DetectorDrive.Found]?
  private let chunk: Int
  private let turn: Turn
  private let state: Mutex<State>

  private struct State {
    /// What comes before the next chunk, and on which port.
    var waiting: [(Envelope, port: Int)]
    var position = 0
    var toldCount = 0
    var hasEnded = false
    var found: [DetectorDrive.Found] = []
    /// The processor time at which the last envelope was handed over, and what had been computed for it before.
    var start = 0.0
    var before = 0.0
  }

  init(_ samples: SharedBuffer<Float>, told: [DetectorDrive.Found]?, chunk: Int, number: UInt64) {
    (self.samples, self.told, self.chunk) = (samples, told, chunk)
    let turn = Turn(Session(id: number, name: "recording-\(number)"), epoch: 0)
    self.turn = turn
    let ports = told == nil ? 0..<1 : 0..<2
    state = Mutex(State(waiting: ports.map { (Envelope(.sessionBegan, turn: turn), $0) }))
  }

  var found: [DetectorDrive.Found] { state.withLock { $0.found } }
  var inbox: any Inbox { self }
  func outlet(_ port: Int) -> any Outlet { self }

  func take(on ports: UInt64) throws -> Taken {
    guard let (envelope, port) = state.withLock({ next(&$0) }) else { return .ended }
    return .arrival(.envelope(envelope, port: port))
  }

  func next(on ports: UInt64) async throws -> Arrival? {
    if case .arrival(let arrival) = try take(on: ports) { arrival } else { nil }
  }

  func poll(on ports: UInt64) throws -> Taken { .nothing }
  func isConnected(_ port: Int) -> Bool { port == 0 || told != nil }
  func refuse(_ value: WrittenValue, because error: MessageCodingError) {}

  private func next(_ state: inout State) -> (Envelope, port: Int)? {
    (state.start, state.before) = (DetectorDrive.processorTime(), 0)
    if !state.waiting.isEmpty { return state.waiting.removeFirst() }
    if let told, state.toldCount < told.count {
      let found = told[state.toldCount]
      if found.heard * Double(DetectorDrive.rate) <= Double(state.position) + 0.5 {
        state.toldCount += 1
        state.before = found.computing
        return (Envelope(.value(found.detection), turn: turn, stamp: Stamp(time: found.detection.end)), port: 1)
      }
    }
    guard state.position < samples.count else {
      if state.hasEnded { return nil }
      state.hasEnded = true
      if told != nil { state.waiting.append((Envelope(.sessionEnded, turn: turn), port: 1)) }
      return (Envelope(.sessionEnded, turn: turn), port: 0)
    }
    let end = min(state.position + chunk, samples.count)
    let time = Int64(state.position) * 1_000_000_000 / Int64(DetectorDrive.rate)
    let piece = samples.withUnsafeBufferPointer { SharedBuffer($0[state.position..<end]) }
    state.position = end
    return (
      Envelope(.value(AudioChunk(samples: piece, rate: DetectorDrive.rate)), turn: turn, stamp: Stamp(time: time)),
      port: 0
    )
  }

  var isConnected: Bool { true }

  func send(_ value: any Message, turn: Turn, time: Int64, trace: UInt64?, inPlace: Bool) throws -> Unsent? {
    guard let detection = value as? Detection else { return nil }
    state.withLock { state in
      state.found.append(
        DetectorDrive.Found(
          detection: detection, heard: Double(state.position) / Double(DetectorDrive.rate),
          computing: state.before + DetectorDrive.processorTime() - state.start))
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
