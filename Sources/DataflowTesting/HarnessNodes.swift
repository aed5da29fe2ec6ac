import Dataflow
import Synchronization

/// What the harness tells its feeder.
enum FeederCommand: Sendable {
  case beginSession(String, reply: @Sendable (Session?) -> Void)
  case beginTurn(Session, reply: @Sendable (Turn) -> Void)
  case send(port: Int, any Message, Turn, time: Int64, reply: @Sendable ((any Error)?) -> Void)
  case endTurn(Turn)
  case endSession(Session)
}

/// The ends of a harness, which its nodes find by number.
struct HarnessChannel: Sendable {
  let commands: AsyncStream<FeederCommand>
  let events: EventQueue
  let inputs: [PortDescription]
  let outputs: [PortDescription]

  private static let all = Mutex<(next: Int, channels: [Int: HarnessChannel])>((0, [:]))

  static func register(_ channel: HarnessChannel) -> Int {
    all.withLock { all in
      all.next += 1
      all.channels[all.next] = channel
      return all.next
    }
  }

  static func channel(_ id: Int) -> HarnessChannel? { all.withLock { $0.channels[id] } }
  static func remove(_ id: Int) { all.withLock { _ = $0.channels.removeValue(forKey: id) } }
}

struct HarnessParameters: NodeParameters {
  let id: Int
  init(_ read: inout ParameterReader) { id = read("id", default: 0, help: "The harness's number.") }
}

/// Sends what the test says.
struct HarnessFeederNode: Node {
  static let kind = "harness-feeder"
  static let summary = "Sends what a test says."
  static let ending = Ending.explicit
  static let opensTurns = true

  struct Ports: PortSet {
    let outlets: [(any Outlet)?]
    init(_ bind: inout PortBinder, _ parameters: HarnessParameters) {
      outlets = (HarnessChannel.channel(parameters.id)?.inputs ?? []).map {
        bind.untypedOutput($0.name, type: $0.type)
      }
    }
  }

  private let channel: HarnessChannel?
  private let context: NodeContext

  init(_ parameters: HarnessParameters, _ context: NodeContext) {
    channel = HarnessChannel.channel(parameters.id)
    self.context = context
  }

  mutating func run(_ ports: Ports) async throws {
    guard let channel else { return }
    for await command in channel.commands {
      switch command {
      case .beginSession(let name, let reply): reply(context.beginSession(named: name))
      case .beginTurn(let session, let reply): reply(context.beginTurn(in: session))
      case .send(let port, let value, let turn, let time, let reply):
        do {
          try await ports.outlets[port]?.send(value, turn: turn, time: time, trace: nil)
          reply(nil)
        } catch {
          reply(error)
        }
      case .endTurn(let turn): context.endTurn(turn)
      case .endSession(let session): context.endSession(session)
      }
    }
  }
}

/// Sends what the test says to a node that opens the turns itself.
struct HarnessStreamFeederNode: Node {
  static let kind = "harness-stream-feeder"
  static let summary = "Sends what a test says, outside of turns."
  static let ending = Ending.explicit

  private var feeder: HarnessFeederNode

  init(_ parameters: HarnessParameters, _ context: NodeContext) {
    feeder = HarnessFeederNode(parameters, context)
  }

  mutating func run(_ ports: HarnessFeederNode.Ports) async throws { try await feeder.run(ports) }
}

/// Shows the test what comes out.
struct HarnessCollectorNode: Node {
  static let kind = "harness-collector"
  static let summary = "Shows a test what comes out of a node."

  struct Ports: PortSet {
    let inbox: (any Inbox)?
    let names: [String]
    init(_ bind: inout PortBinder, _ parameters: HarnessParameters) {
      let outputs = HarnessChannel.channel(parameters.id)?.outputs ?? []
      names = outputs.map(\.name)
      var inbox: (any Inbox)?
      for output in outputs { inbox = bind.untypedInput(output.name, type: output.type).inbox }
      self.inbox = inbox
    }
  }

  private let channel: HarnessChannel?

  init(_ parameters: HarnessParameters, _ context: NodeContext) {
    channel = HarnessChannel.channel(parameters.id)
  }

  mutating func run(_ ports: Ports) async throws {
    defer { channel?.events.finish() }
    while let arrival = try await ports.inbox?.next(on: .max) {
      switch arrival {
      case .cut(let turn): channel?.events.yield(.turnCut(turn))
      case .written(let written, let port):
        do throws(MessageCodingError) {
          let envelope = try written.envelope()
          if case .value(let value) = envelope.content {
            channel?.events.yield(
              .message(port: ports.names[port], value, turn: envelope.turn, time: envelope.stamp.time))
          }
        } catch {
          ports.inbox?.refuse(written, because: error)
        }
      case .envelope(let envelope, let port):
        switch envelope.content {
        case .value(let value):
          channel?.events.yield(
            .message(port: ports.names[port], value, turn: envelope.turn, time: envelope.stamp.time))
        case .turnEnded: channel?.events.yield(.turnEnded(port: ports.names[port], envelope.turn))
        case .sessionBegan: break
        case .sessionEnded: channel?.events.yield(.sessionEnded(port: ports.names[port], envelope.turn.session))
        }
      }
    }
  }
}
