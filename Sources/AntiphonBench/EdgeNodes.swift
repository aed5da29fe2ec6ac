import Dataflow
import Foundation
import Synchronization

/// Bytes without a meaning.
///
/// Type `blob`. No fields. Buffer: uint8 [count].
struct Blob: Message {
  static let typeName = "blob"
  let bytes: SharedBuffer<UInt8>

  init(size: Int) { bytes = SharedBuffer(count: size) { $0.initialize(repeating: 7) } }

  var type: PortType { PortType(Self.typeName) }

  func encode(into encoder: inout MessageEncoder) { encoder.put(bytes) }

  init(from decoder: inout MessageDecoder) throws(MessageCodingError) {
    bytes = try decoder.takeVector(of: UInt8.self)
  }
}

/// What a benchmark's nodes are to do, and what they found. Nodes find it by the number in their parameters.
final class Bench: Sendable {
  let course: Course
  let seconds: Double
  /// Whether nodes send and take messages several at once.
  let takesBatches: Bool
  let pace = Mutex<Pace?>(nil)
  let delays = Mutex<Delays?>(nil)
  /// Yields once, when the measurement is over.
  let over: (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation) = AsyncStream.makeStream()

  init(course: Course, seconds: Double, takesBatches: Bool = false) {
    (self.course, self.seconds, self.takesBatches) = (course, seconds, takesBatches)
  }

  private static let all = Mutex<[Int: Bench]>([:])

  static func register(_ bench: Bench) -> Int {
    all.withLock { all in
      let number = (all.keys.max() ?? 0) + 1
      all[number] = bench
      return number
    }
  }

  static func with(_ number: Int) throws -> Bench {
    guard let bench = all.withLock({ $0[number] }) else { throw BenchError("there is no benchmark \(number)") }
    return bench
  }

  static func remove(_ number: Int) { all.withLock { $0[number] = nil } }
}

struct BenchParameters: NodeParameters {
  let number: Int
  init(_ read: inout ParameterReader) { number = read("number", default: 0, help: "Which benchmark it is.") }
}

/// Sends as fast as the edge takes.
struct BlobSourceNode: Node {
  static let kind = "blob-source"
  static let summary = "Sends bytes as fast as it can."
  static let ending = Ending.explicit

  struct Ports: PortSet {
    let blobs: Output<Blob>
    init(_ bind: inout PortBinder, _ parameters: BenchParameters) { blobs = bind.output("blobs", help: "Bytes.") }
  }

  private let bench: Bench
  private let context: NodeContext

  init(_ parameters: BenchParameters, _ context: NodeContext) throws {
    bench = try Bench.with(parameters.number)
    self.context = context
  }

  mutating func run(_ ports: Ports) async throws {
    guard let session = context.beginSession(named: "bench") else { return }
    let turn = Turn(session, epoch: 0)
    // Several, as a node's messages seldom share one buffer: threads would contend for its reference count.
    let blobs = (0..<max(4, min(256, (32 << 20) / bench.course.size))).map { _ in Blob(size: bench.course.size) }
    var next = 0
    let clock = context.clock
    let end = clock.now + Int64(bench.seconds * 1e9)
    let stride = bench.course.size > 100_000 ? 1 : 64
    while bench.takesBatches, clock.now < end {
      try await ports.blobs.send(contentsOf: blobs, turn: turn)
    }
    while clock.now < end {
      for _ in 0..<stride {
        try await ports.blobs.send(blobs[next], turn: turn)
        next = next + 1 == blobs.count ? 0 : next + 1
      }
    }
    context.endSession(session)
  }
}

/// Counts what comes.
struct BlobSinkNode: Node {
  static let kind = "blob-sink"
  static let summary = "Counts bytes that come."

  struct Ports: PortSet {
    let blobs: Input<Blob>
    init(_ bind: inout PortBinder, _ parameters: BenchParameters) { blobs = bind.input("blobs", help: "Bytes.") }
  }

  private let bench: Bench
  private let context: NodeContext

  init(_ parameters: BenchParameters, _ context: NodeContext) throws {
    bench = try Bench.with(parameters.number)
    self.context = context
  }

  mutating func run(_ ports: Ports) async throws {
    var counter = RateCounter(course: bench.course)
    let clock = context.clock
    if bench.takesBatches {
      for try await batch in ports.blobs.batches() {
        for _ in batch { counter.note(clock.now) }
      }
    } else {
      for try await _ in ports.blobs { counter.note(clock.now) }
    }
    let pace = counter.pace(at: clock.now)
    bench.pace.withLock { $0 = pace }
  }
}

/// Starts the game of ping and pong and keeps the session open until it is over.
struct StarterNode: Node {
  static let kind = "starter"
  static let summary = "Sends one message, and waits for the end."
  static let ending = Ending.explicit

  struct Ports: PortSet {
    let blobs: Output<Blob>
    init(_ bind: inout PortBinder, _ parameters: BenchParameters) { blobs = bind.output("blobs", help: "One message.") }
  }

  private let bench: Bench
  private let context: NodeContext

  init(_ parameters: BenchParameters, _ context: NodeContext) throws {
    bench = try Bench.with(parameters.number)
    self.context = context
  }

  mutating func run(_ ports: Ports) async throws {
    guard let session = context.beginSession(named: "bench") else { return }
    try await ports.blobs.send(Blob(size: bench.course.size), turn: Turn(session, epoch: 0))
    for await _ in bench.over.stream { break }
    context.endSession(session)
  }
}

/// Measures how long a message takes there and back.
struct PingNode: Node {
  static let kind = "ping"
  static let summary = "Sends a message and waits for it to come back, again and again."

  struct Ports: PortSet {
    let start: Input<Blob>
    let back: Input<Blob>
    let there: Output<Blob>
    init(_ bind: inout PortBinder, _ parameters: BenchParameters) {
      start = bind.input("start", help: "What to send.")
      back = bind.input("back", help: "What comes back.")
      there = bind.output("there", help: "What is sent.")
    }
  }

  private let bench: Bench
  private let context: NodeContext

  init(_ parameters: BenchParameters, _ context: NodeContext) throws {
    bench = try Bench.with(parameters.number)
    self.context = context
  }

  mutating func run(_ ports: Ports) async throws {
    let clock = context.clock
    var delays = Delays()
    var start = ports.start.makeAsyncIterator()
    guard let first = try await start.next() else { return }
    let end = clock.now + Int64(bench.seconds * 1e9)
    var now = clock.now
    var round = 0
    try await ports.there.send(first.value, following: first)
    for try await message in ports.back {
      let arrived = clock.now
      round += 1
      if round > 50 { delays.times.append(arrived - now) }
      if arrived > end { break }
      now = clock.now
      // What is sent is made here, not passed on: nothing is saved by its having come from a socket.
      try await ports.there.send(first.value, following: message)
    }
    bench.delays.withLock { [delays] in $0 = delays }
    bench.over.continuation.finish()
    for try await _ in ports.start {}
  }
}

/// Sends back what comes.
struct PongNode: Node {
  static let kind = "pong"
  static let summary = "Sends back what comes."

  struct Ports: PortSet {
    let there: Input<Blob>
    let back: Output<Blob>
    init(_ bind: inout PortBinder, _ parameters: BenchParameters) {
      there = bind.input("there", help: "What comes.")
      back = bind.output("back", help: "The same.")
    }
  }

  private let bench: Bench

  init(_ parameters: BenchParameters, _: NodeContext) throws { bench = try Bench.with(parameters.number) }

  mutating func run(_ ports: Ports) async throws {
    let answer = Blob(size: bench.course.size)
    for try await message in ports.there { try await ports.back.send(answer, following: message) }
  }
}
