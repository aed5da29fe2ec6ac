import Dataflow
import DataflowRuntime
import Messages
import Testing

/// Bytes of any kind are read or refused; they neither crash the reader nor make it hold more than was sent.
@Suite struct WireFuzzTests {
  /// What is read as an event is told to a coordinator.
  private let coordinator: Coordinator

  init() throws { coordinator = Coordinator(plan: try TurnLedgerTests.plan(), clock: SystemTime()) { _ in } }

  @Test func randomBytes() {
    var random = SeededRandom(1)
    for round in 0..<4000 {
      var frames = (0...Int.random(in: 0...2, using: &random)).map { _ in
        (0..<Int.random(in: 0...300, using: &random)).map { _ in UInt8.random(in: .min ... .max, using: &random) }
      }
      // Most get past the preamble, or nothing behind it would be tried.
      if round % 8 != 0, let kind = WireFormat.Kind.allCases.randomElement(using: &random) {
        frames[0] = ControlWire.bytes(kind) + frames[0]
      }
      read(frames)
    }
  }

  @Test(arguments: WireVector.all)
  func everyTruncation(of vector: WireVector) {
    for (index, frame) in vector.frames.enumerated() {
      for count in 0..<min(frame.count, 1200) {
        var frames = vector.frames
        frames[index] = Array(frame.prefix(count))
        read(frames)
      }
    }
  }

  @Test(arguments: WireVector.all)
  func changedBytes(in vector: WireVector) {
    var random = SeededRandom(UInt64(vector.name.utf8.reduce(7) { $0 &* 31 &+ UInt64($1) }))
    for _ in 0..<1500 {
      var head = vector.frames[0]
      for _ in 0...Int.random(in: 0...2, using: &random) {
        let position = Int.random(in: 0..<head.count, using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: head[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1: head[position] = [0, 1, 0x7f, 0x80, 0xff].randomElement(using: &random) ?? 0
        case 2: head.insert(UInt8.random(in: .min ... .max, using: &random), at: position)
        default: if head.count > 1 { head.remove(at: position) }
        }
      }
      read([head] + vector.frames.dropFirst())
    }
  }

  @Test func numbersThatPromiseTooMuch() throws {
    // Every 32-bit word of the data messages in turn is set to what could overflow or exhaust something.
    for vector in WireVector.all where vector.type != nil {
      for offset in stride(from: 8, through: vector.frames[0].count - 4, by: 4) {
        for word: UInt32 in [.max, 1 << 31, .max >> 1, 1 << 24, 0] {
          var head = vector.frames[0]
          withUnsafeBytes(of: word.littleEndian) { head.replaceSubrange(offset..<offset + 4, with: $0) }
          read([head] + vector.frames.dropFirst())
        }
      }
    }
  }

  @Test func deeplyNestedJSON() {
    for text in [String(repeating: "[", count: 200_000), String(repeating: #"{"stop":"#, count: 50_000)] {
      read([ControlWire.bytes(.command) + Array(text.utf8)])
      read([ControlWire.bytes(.accept) + Array(text.utf8)])
    }
  }

  /// Reads a message as everything that it could be.
  private func read(_ frames: [[UInt8]]) {
    guard let head = frames.first else { return }
    let size = frames.reduce(0) { $0 + $1.count }
    head.withUnsafeBytes { bytes in
      _ = try? Answer(bytes)
      var reader = ByteReader(bytes)
      guard let kind = try? reader.takePreamble() else { return }
      var rest = reader
      _ = try? Greeting(afterPreamble: &rest)
      switch kind {
      case .join:
        if let joining = ControlWire.value(Joining.self, reader) { coordinator.note(clock: joining.clock, ofPart: 0) }
      case .accept: _ = ControlWire.value(Acceptance.self, reader)
      case .event:
        if let event = ControlWire.value(PartEvent.self, reader) { coordinator.handle(event, from: 0) }
      case .command: _ = ControlWire.value(PartCommand.self, reader)
      default: break
      }
    }
    for type in MessageTypes.all {
      readLater(head, as: type)
      guard let data = try? ReadData(frames, as: type) else { continue }
      let held = data.records.reduce(0) { $0 + $1.name.utf8.count + ($1.value.map(Self.bytes) ?? 0) }
      #expect(held <= size)
    }
  }

  /// Reads values as a node does that takes them one by one.
  private func readLater(_ head: [UInt8], as type: any Message.Type) {
    let memory = SharedBuffer(head).memory
    let message = WireMessage(memory.bytes, owner: memory.owner, type: type, lane: 0)
    var bytes = ByteReader(memory.bytes)
    guard (try? bytes.takePreamble()) == .data, var reader = try? DataReader(afterPreamble: bytes) else { return }
    while let run = try? reader.passRun(schema: WireVector.schema(of: head)) {
      var written = WrittenRun(message, turn: Turn(WireVector.session, epoch: 1), place: run.place, count: run.count)
      while written.count > 0 { _ = try? written.removeFirst().envelope() }
    }
  }

  private static func bytes(of value: any Message) -> Int {
    var encoder = MessageEncoder()
    value.encode(into: &encoder)
    var count = encoder.fields.count
    for buffer in encoder.buffers { count += buffer.bytes.count }
    return count
  }
}
