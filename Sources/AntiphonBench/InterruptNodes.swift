import Dataflow
import Foundation
import Messages

struct TalkerParameters: NodeParameters {
  let turns: Int
  init(_ read: inout ParameterReader) { turns = read("turns", default: 1, help: "Turns to open, one after the other.") }
}

/// Talks without end, as fast as the edge takes; once interrupted, it opens the next turn and talks on.
struct TalkerNode: Node {
  static let kind = "talker"
  static let summary = "Sends sound until it is interrupted, turn after turn."
  static let ending = Ending.explicit
  static let opensTurns = true

  struct Ports: PortSet {
    let audio: Output<AudioChunk>
    init(_ bind: inout PortBinder, _ parameters: TalkerParameters) {
      audio = bind.output("audio", type: .audio(rate: 16_000, channels: 1), help: "Sound.")
    }
  }

  private let turns: Int
  private let context: NodeContext

  init(_ parameters: TalkerParameters, _ context: NodeContext) { (turns, self.context) = (parameters.turns, context) }

  mutating func run(_ ports: Ports) async throws {
    guard let session = context.beginSession(named: "talk") else { return }
    let chunk = AudioChunk(samples: SharedBuffer(count: 640) { $0.initialize(repeating: 0.1) }, rate: 16_000)
    for _ in 0..<turns {
      let turn = context.beginTurn(in: session)
      while !turn.isCut, !context.isStopping { try await ports.audio.send(chunk, turn: turn) }
    }
    context.endSession(session)
  }
}

/// Passes sound on.
struct RelayNode: Node {
  static let kind = "relay"
  static let summary = "Passes sound on."

  struct Ports: PortSet {
    let audio: Input<AudioChunk>
    let copy: Output<AudioChunk>
    init(_ bind: inout PortBinder, _: NoParameters) {
      audio = bind.input("audio", type: .audio(rate: 16_000, channels: 1), help: "Sound.")
      copy = bind.output("copy", type: .audio(rate: 16_000, channels: 1), help: "The same.")
    }
  }

  init(_: NoParameters, _: NodeContext) {}

  mutating func run(_ ports: Ports) async throws {
    for try await chunk in ports.audio { try await ports.copy.send(chunk.value, following: chunk) }
  }
}

/// Plays as the speaker node does at a device's pace, and tells when the last block of each interrupted turn was given to
/// the device.
struct DeviceNode: Node {
  static let kind = "device"
  static let summary = "Takes sound at the pace of a device and notes when."
  /// Nanoseconds that a device plays at once.
  static let block: Int64 = 10_000_000

  struct Ports: PortSet {
    let audio: Input<AudioChunk>
    init(_ bind: inout PortBinder, _: NoParameters) {
      audio = bind.input("audio", type: .audio(rate: 16_000, channels: 1), help: "Sound.")
    }
  }

  private let context: NodeContext
  private var freeAt: Int64 = 0
  private var written: [UInt32: Int64] = [:]

  init(_: NoParameters, _ context: NodeContext) { self.context = context }

  mutating func run(_ ports: Ports) async throws {
    for try await event in ports.audio.events {
      switch event {
      case .message(let chunk): try await play(chunk)
      case .turnCut(let turn):
        context.print("\(turn.epoch) \(written.removeValue(forKey: turn.epoch) ?? 0)")
        written = written.filter { $0.key > turn.epoch }
      case .sessionBegan, .turnEnded, .sessionEnded: break
      }
    }
  }

  private mutating func play(_ chunk: Received<AudioChunk>) async throws {
    var left = chunk.value.duration
    while left > 0, !chunk.turn.isCut {
      let now = context.clock.now
      written[chunk.turn.epoch] = now
      freeAt = max(freeAt, now) + Self.block
      left -= Self.block
      try await context.clock.sleep(until: freeAt)
    }
  }
}
