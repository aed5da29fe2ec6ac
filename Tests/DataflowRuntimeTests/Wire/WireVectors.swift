import Dataflow
import DataflowRuntime
import Foundation
import Messages

/// The messages whose bytes `docs/wire-vectors` holds, as this implementation writes them.
struct WireVector: Sendable, CustomStringConvertible {
  /// The file's name without its ending.
  let name: String
  let frames: [[UInt8]]
  /// The type of the values in a data message.
  var type: (any Message.Type)?

  var description: String { name }

  static let all: [WireVector] = edges + data + control

  // MARK: Beside the data

  static let greeting = Greeting(
    edge: 3, attempt: 1, incarnation: 0x1122_3344_5566_7788, schema: PortType.text.schemaID, token: "3w5e11264sgs",
    graph: "28a792a112097876", type: "text", part: "main",
    settings: RunSettings(seed: 7, threads: 2, kernels: "avx2, 2 threads"))

  private static let edges = [
    WireVector(name: "hello", frames: [greeting.bytes]),
    WireVector(name: "welcome", frames: [Answer.welcome(attempt: 1, credits: 16).bytes]),
    WireVector(name: "refuse", frames: [Answer.refuse(reason: "main runs another graph").bytes]),
    WireVector(name: "credit", frames: [Answer.credit(4).bytes]),
    WireVector(name: "who-is-there", frames: [Answer.whoIsThere.bytes]),
  ]

  // MARK: Data

  static let session = Session(id: 1 << 32 | 1, name: "kitchen")
  static let stamp = Stamp(time: 1_500_000_000, trace: 0x0001_0000_0000_0001, sequence: 5)

  /// What stands in the vector `data-turn`: a whole session, and the end of the edge.
  static let turn: [Envelope] = [
    Envelope(.sessionBegan, turn: Turn(session, epoch: 0)),
    Envelope(.value(Text("Good morning.")), turn: Turn(session, epoch: 1), stamp: stamp),
    Envelope(.value(Text("Grüße, 你好 🎧")), turn: Turn(session, epoch: 1), stamp: Stamp(time: -1, sequence: 6)),
    Envelope(.turnEnded, turn: Turn(session, epoch: 1)),
    Envelope(.sessionEnded, turn: Turn(session, epoch: 0)),
  ]

  /// One value of each type, by the vector's name.
  static let values: [(name: String, value: any Message)] = [
    (
      "data-audio-inline",
      AudioChunk(samples: SharedBuffer<Float>([0, -1, 0.5, 1, -0.25, 0.125]), rate: 48000, channels: 2)
    ),
    ("data-audio-frame", AudioChunk(samples: SharedBuffer((0..<320).map { Float($0) / 512 }), rate: 16000)),
    ("data-features", Features(values: SharedBuffer<Float>([1, 2, 3, 4, 5, 6]), rows: 2, dim: 3)),
    ("data-tokens", Tokens([1, 50256, -1], vocabulary: "smollm2")),
    ("data-image", ImageFrame(pixels: SharedBuffer<UInt8>(0..<12), width: 2, height: 2)),
    ("data-codes", AudioCodes(codes: SharedBuffer<Int32>([7, 0, 4095, 1, 2, 3]), layers: 3, size: 4096)),
    ("data-control", Control("speech", detail: "started")),
    ("data-detection", Detection(.command, label: "stop", start: 1_200_000_000, end: 1_500_000_000, score: 0.75)),
    ("data-playhead", Playhead(frames: 16_000, rate: 24_000, underruns: 1)),
    ("data-answer-state", AnswerState(.cut, epoch: 1, played: 1_500_000_000, heard: "Good")),
    (
      "data-said",
      Said([SaidText("Good", end: 300_000_000), SaidText(" morning.", end: 700_000_000)], replacing: true)
    ),
  ]

  private static let data: [WireVector] =
    [message("data-turn", turn, PortType.text, Text.self, isClosed: true)]
    + values.map { name, value in
      message(
        name, [Envelope(.value(value), turn: Turn(session, epoch: 1), stamp: stamp)], value.type,
        Swift.type(of: value))
    }

  private static func message(
    _ name: String, _ envelopes: [Envelope], _ type: PortType, _ message: any Message.Type, isClosed: Bool = false
  ) -> WireVector {
    var writer = DataWriter(inlineLimit: 1024)
    for envelope in envelopes { writer.append(envelope, schema: type.schemaID) }
    if isClosed { writer.appendClosed() }
    let batch = writer.takeBatch()
    batch.address(edge: 3, incarnation: greeting.incarnation, number: 2)
    return WireVector(name: name, frames: [batch.head] + batch.frames.map { [UInt8]($0.bytes) }, type: message)
  }

  // MARK: Control

  static let joining = Joining(
    part: "shout", graph: nil, settings: nil, incarnation: 0x1122_3344_5566_7788, process: 4711,
    clock: 12_000_000_000)

  static let acceptance: Acceptance = {
    var acceptance = Acceptance()
    acceptance.token = "3w5e11264sgs"
    acceptance.assignment = Assignment(
      node: 1, name: "shout", graph: "28a792a112097876", seed: 7, threads: 2, parameters: #"{"marks":3}"#,
      inputs: [
        Assignment.Edge(
          edge: 3, name: "text.text -> shout.text", port: "text", type: "text", schema: PortType.text.schemaID,
          address: "ipc:///run/antiphon-Xyz123/3", depth: 16, policy: "block", isFeedback: false, carriesTurns: true,
          sources: [0], peer: 0, peerName: "main")
      ],
      outputs: [
        Assignment.Edge(
          edge: 4, name: "shout.loud -> shown.text", port: "loud", type: "text", schema: PortType.text.schemaID,
          address: "ipc:///run/antiphon-Xyz123/4", depth: 16, policy: "drop-oldest", isFeedback: false,
          carriesTurns: true, sources: [0], peer: 0, peerName: "main")
      ])
    return acceptance
  }()

  static let refusal: Acceptance = {
    var acceptance = Acceptance()
    acceptance.refusal = "the placement has no part 'shout'"
    return acceptance
  }()

  static let events: [(name: String, event: PartEvent)] = [
    ("event-node-ready", .nodeReady(node: 1)),
    ("event-acknowledged", .acknowledged(session: session.id, epoch: 1, node: 1)),
    ("event-turn-failed", .turnFailed(session: session.id, epoch: 1, node: 1, reason: "the voice is hoarse")),
    ("event-progress", .progress(node: 1, what: "loading the voice", fraction: 0.5)),
    ("event-finished", .finished(report)),
  ]

  private static let report: PartReport = {
    var node = NodeStatistics(node: "shout")
    node.received = 2
    node.sent = 2
    node.busy = 3_000
    node.latency.add(9)
    var report = PartReport()
    report.nodes = [node]
    return report
  }()

  static let commands: [(name: String, command: PartCommand)] = [
    ("command-start", .start(begun: [0: ["kitchen"]], open: [session.id])),
    ("command-fence", .fence(session: session.id, name: "kitchen", epoch: 1)),
    ("command-stop", .stop),
  ]

  private static let control: [WireVector] =
    [
      WireVector(name: "join", frames: [ControlWire.bytes(.join, joining)]),
      WireVector(name: "accept", frames: [ControlWire.bytes(.accept, acceptance)]),
      WireVector(name: "accept-refusal", frames: [ControlWire.bytes(.accept, refusal)]),
      WireVector(name: "alive", frames: [ControlWire.bytes(.alive)]),
    ] + events.map { WireVector(name: $0.name, frames: [ControlWire.bytes(.event, $0.event)]) }
    + commands.map { WireVector(name: $0.name, frames: [ControlWire.bytes(.command, $0.command)]) }

  /// The schema of a data message's first record; 0 if there is none.
  static func schema(of head: [UInt8]) -> UInt64 {
    head.count < 88 ? 0 : head.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 80, as: UInt64.self) }
  }

  // MARK: Files

  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("docs/wire-vectors")

  var file: URL { Self.folder.appendingPathComponent("\(name).hex") }

  /// Reads a file: two hexadecimal digits a byte; `#` begins a comment; a line `frame` begins each frame.
  static func read(_ file: URL) throws -> [[UInt8]] {
    var frames: [[UInt8]] = []
    for line in String(decoding: try Data(contentsOf: file), as: UTF8.self).split(separator: "\n") {
      let words = line.prefix { $0 != "#" }.split(separator: " ")
      if words == ["frame"] {
        frames.append([])
      } else if !words.isEmpty {
        let bytes = words.compactMap { UInt8($0, radix: 16) }
        guard bytes.count == words.count, let last = frames.indices.last else { throw BadVector(line: String(line)) }
        frames[last] += bytes
      }
    }
    return frames
  }

  /// Writes the bytes below the comments at the file's top; `tools/python/explain` explains them.
  func write() throws {
    let old = (try? Data(contentsOf: file)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    let head = old.split(separator: "\n").prefix { $0.hasPrefix("#") }.map { String($0 + "\n") }
    let text = frames.map { frame in
      "frame\n" + frame.map { String(UInt32($0) + 256, radix: 16).dropFirst() }.joined(separator: " ") + "\n"
    }
    try Data((head + text).joined().utf8).write(to: file)
  }
}

struct BadVector: Error {
  let line: String
}

/// Payload frames out of arrays.
struct ArrayFrames: PayloadFrames {
  private var rest: ArraySlice<SharedBuffer<UInt8>>

  init(_ frames: some Sequence<[UInt8]>) { rest = frames.map { SharedBuffer($0) }[...] }

  var isEmpty: Bool { rest.isEmpty }
  mutating func takeNext() -> (bytes: UnsafeRawBufferPointer, owner: AnyObject)? {
    rest.popFirst()?.memory
  }
}

/// A data message, read whole.
struct ReadData {
  var edge: UInt32
  var incarnation: UInt64
  var number: UInt64
  var records: [WireRecord] = []

  init(_ frames: [[UInt8]], as type: any Message.Type) throws {
    guard let head = frames.first else { throw BadVector(line: "no frames") }
    var payload = ArrayFrames(frames.dropFirst())
    var read: ReadData?
    try head.withUnsafeBytes { bytes in
      var bytes = ByteReader(bytes)
      guard try bytes.takePreamble() == .data else { throw BadVector(line: "no data") }
      var reader = try DataReader(afterPreamble: bytes)
      var result = ReadData(edge: reader.edge, incarnation: reader.incarnation, number: reader.number)
      while let record = try reader.next(as: type, frames: &payload) { result.records.append(record) }
      read = result
    }
    guard let read else { throw BadVector(line: "nothing") }
    self = read
  }

  private init(edge: UInt32, incarnation: UInt64, number: UInt64) {
    (self.edge, self.incarnation, self.number) = (edge, incarnation, number)
  }
}
