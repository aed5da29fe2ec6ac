import Dataflow
import DequeModule
import Foundation
import GraphFile
import Synchronization
import ZeroMQ

/// The coordinator's end of the control connections: sockets of their own, in a context of its own, so that no data
/// ever stands before a command.
///
/// Commands that a process does not take yet are kept for it, within bounds. While nobody reads the results nothing more
/// is taken from the processes, which then hold up their nodes; they are still told that this end is alive, and none of
/// them is called silent, since nobody listens.
final class ControlServer: Sendable {
  private struct State {
    var outgoing = Deque<(part: Int, command: PartCommand)>()
    /// Parts whose process is known to have ended: another may take its place at once.
    var gone: Set<Int> = []
  }
  private let plan: Plan
  private let coordinator: Coordinator
  private let token: String
  private let isTraced: Bool
  private let thread: SocketThread
  private let state = Mutex(State())
  private let counters = WireCounters()
  private let notice: @Sendable (_ part: Int, _ notice: Notice) -> Void

  /// What the server notices of a part.
  enum Notice: Sendable {
    case joined(process: Int32, isFirst: Bool)
    /// Nothing was heard of it for ``silence``.
    case silent
    case back
  }

  /// Nanoseconds after which a part counts as silent; it says that it is alive ten times as often.
  static let silence: Int64 = 5_000_000_000
  /// Commands that may wait for a process.
  private static let unsentLimit = 100_000

  init(
    plan: Plan, coordinator: Coordinator, token: String, isTraced: Bool,
    notice: @escaping @Sendable (_ part: Int, _ notice: Notice) -> Void
  ) throws {
    self.plan = plan
    self.coordinator = coordinator
    self.token = token
    self.isTraced = isTraced
    self.notice = notice
    thread = try SocketThread()
  }

  /// Binds the coordinator's address and serves it on a thread of its own.
  func start() async throws {
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
      thread.start(named: "antiphon-control") {
        do {
          var socket = try self.makeSocket()
          continuation.resume()
          self.serve(&socket)
        } catch {
          continuation.resume(throwing: error)
        }
      }
    }
  }

  func send(_ command: PartCommand, to part: Int) {
    state.withLock { $0.outgoing.append((part, command)) }
    thread.wakeup.signal()
  }

  /// The part's process has ended.
  func forget(_ part: Int) { state.withLock { _ = $0.gone.insert(part) } }

  /// Connections and processes that were not let in.
  var refused: Refusals { counters.values }

  func close() async { await thread.close() }

  private func makeSocket() throws -> Socket {
    var socket = try Socket(.router, in: thread.context)
    try socket.set(.maxMessageSize, to: ControlWire.maximumMessage)
    // What waits here while nothing is taken is bounded by both.
    try socket.set(.receiveHighWaterMark, to: 64)
    // Otherwise what a peer does not take now would be dropped without a word.
    try socket.set(.routerMandatory, to: true)
    // Processes name themselves, and the one that connects again is the one to talk to.
    try socket.set(.routerHandover, to: true)
    try socket.set(.linger, to: .milliseconds(500))
    if plan.coordinator.hasPrefix("tcp://"), let keys = try plan.keys(of: Plan.coordinatorName) {
      let authenticator = try Authenticator(context: thread.context, allowing: keys.allowed)
      counters.watch(authenticator)
      try socket.secureAsServer(keys: keys.own, domain: WireKeys.domain, authenticator: authenticator)
    }
    _ = try socket.bind(plan.coordinator)
    return socket
  }

  private struct Peer {
    var routing: FrameStorage
    var incarnation: UInt64
    var heard: Int64
    var isSilent = false
    /// What its connection has not yet taken.
    var unsent = Deque<[UInt8]>()
  }

  private func serve(_ socket: inout Socket) {
    var poller = Poller()
    _ = poller.add(thread.wakeup)
    let slot = poller.add(socket, for: .readable)
    var peers: [Int: Peer] = [:]
    var incoming = Multipart()
    var spoke: Int64 = 0
    let clock = SystemTime()
    while true {
      // A router is writable if any peer is, so for the one that is not there is only trying again.
      let isHurried = coordinator.isCongested || peers.values.contains { !$0.unsent.isEmpty }
      poller.setEvents(coordinator.isCongested ? [] : .readable, at: slot)
      _ = try? poller.wait(timeout: .milliseconds(isHurried ? 10 : 100))
      thread.wakeup.drain()
      for _ in 0..<256 where !coordinator.isCongested {
        guard (try? socket.tryReceive(into: &incoming, limit: 4)) == true else { break }
        guard incoming.count == 2, let routing = incoming.takeFirst(), let body = incoming.takeFirst() else {
          counters.countMalformed()
          continue
        }
        receive(FrameStorage(adopting: routing), FrameStorage(adopting: body), &peers, clock.now, &socket)
      }
      let (outgoing, isStopping) = (
        state.withLock { state in
          defer { state.outgoing.removeAll() }
          return state.outgoing
        }, thread.isStopping
      )
      for (part, command) in outgoing { peers[part]?.unsent.append(ControlWire.bytes(.command, command)) }
      for part in Array(peers.keys) { flush(part, &peers, &socket) }
      if isStopping { return }
      let now = clock.now
      if coordinator.isCongested {
        for part in Array(peers.keys) { peers[part]?.heard = now }
      }
      if now - spoke > Self.silence / 10 {
        spoke = now
        for (part, peer) in peers {
          // If it is not taken now, something else is under way.
          _ = Self.send(ControlWire.bytes(.alive), to: peer.routing, &socket)
          if !peer.isSilent, now - peer.heard > Self.silence {
            peers[part]?.isSilent = true
            notice(part, .silent)
          }
        }
      }
    }
  }

  /// Sends what the part's connection takes.
  private func flush(_ part: Int, _ peers: inout [Int: Peer], _ socket: inout Socket) {
    while let routing = peers[part]?.routing, let bytes = peers[part]?.unsent.first {
      guard Self.send(bytes, to: routing, &socket) else {
        // Its connection is full, or there is none and perhaps it connects again. If another process takes its place, that
        // one has another name, and is told only what comes after.
        if let count = peers[part]?.unsent.count, count > Self.unsentLimit {
          peers[part]?.unsent.removeAll()
          coordinator.fail("part \(plan.parts[part].name) does not take what it is told: \(count) commands wait")
        }
        return
      }
      peers[part]?.unsent.removeFirst()
    }
  }

  private func receive(
    _ routing: FrameStorage, _ body: FrameStorage, _ peers: inout [Int: Peer], _ now: Int64, _ socket: inout Socket
  ) {
    var reader = ByteReader(body.bytes)
    guard let kind = try? reader.takePreamble() else { return counters.countMalformed() }
    if kind == .join {
      return join(routing, ControlWire.value(Joining.self, reader), &peers, now, &socket)
    }
    guard let part = peers.first(where: { $0.value.routing.bytes.elementsEqual(routing.bytes) })?.key else {
      return counters.countStranger()
    }
    peers[part]?.heard = now
    if peers[part]?.isSilent == true {
      peers[part]?.isSilent = false
      notice(part, .back)
    }
    guard kind == .event else { return }
    if let event = ControlWire.value(PartEvent.self, reader), coordinator.handle(event, from: part) { return }
    // It may be of a later version, but whoever writes a node in another language wants to know.
    counters.countMalformed()
    let start = String(decoding: body.bytes.dropFirst(WireFormat.preambleSize).prefix(120), as: UTF8.self)
    coordinator.tell(
      .part(name: plan.parts[part].name, what: "sent an event that cannot be read, or cannot be true: \(start)"))
  }

  private func join(
    _ routing: FrameStorage, _ joining: Joining?, _ peers: inout [Int: Peer], _ now: Int64, _ socket: inout Socket
  ) {
    guard let joining else { return counters.countMalformed() }
    var acceptance = Acceptance()
    let part = plan.parts.firstIndex { $0.name == joining.part }
    if let part {
      let isExternal = plan.parts[part].isExternal
      let isSame = peers[part]?.incarnation == joining.incarnation
      let isGone = state.withLock { $0.gone.remove(part) != nil }
      if let peer = peers[part], !isSame, !isGone, !peer.isSilent, now - peer.heard < Self.silence / 5 {
        acceptance.refusal = "part \(joining.part) is taken by a process that is alive"
      } else if !isExternal, joining.graph != plan.hash {
        acceptance.refusal =
          "\(joining.part) has another graph (\((joining.graph ?? "none").prefix(16)), not \(plan.hash.prefix(16))): "
          + "start all parts with the same graph file, --set and --swap"
      } else if !isExternal, let settings = joining.settings, settings != plan.settings {
        acceptance.refusal =
          "\(joining.part) would compute with \(settings), the coordinator with \(plan.settings): "
          + "the answer's bytes would differ; choose --seed, --threads and ANTIPHON_CPU alike"
      } else {
        acceptance.token = token
        acceptance.isTraced = isTraced
        coordinator.note(clock: joining.clock, ofPart: part)
        if isExternal { acceptance.assignment = plan.assignment(ofPart: part) }
        let isFirst = peers[part] == nil
        // What the process before it was to be told does not concern it.
        let unsent = isSame ? peers[part]?.unsent : nil
        peers[part] = Peer(
          routing: routing, incarnation: joining.incarnation, heard: now, unsent: unsent ?? [])
        if !isSame { notice(part, .joined(process: joining.process, isFirst: isFirst)) }
      }
    } else {
      acceptance.refusal = "the placement has no part '\(joining.part.prefix(64))'"
    }
    if acceptance.refusal != nil { counters.countStranger() }
    // Whoever asks, and is not answered because its connection takes nothing, asks again.
    _ = Self.send(ControlWire.bytes(.accept, acceptance), to: routing, &socket)
  }

  /// - Returns: whether the connection took it.
  private static func send(_ bytes: [UInt8], to routing: FrameStorage, _ socket: inout Socket) -> Bool {
    var message = Multipart()
    guard let address = try? Frame(sharing: routing), let frame = try? Frame(copying: bytes) else { return false }
    message.append(address)
    message.append(frame)
    return (try? socket.trySend(&message)) ?? false
  }
}

/// Control messages: the preamble, and JSON behind it.
package enum ControlWire {
  static let maximumMessage: Int64 = 16 << 20

  package static func bytes(_ kind: WireFormat.Kind, _ value: some Encodable) -> [UInt8] {
    var bytes = ByteWriter()
    bytes.preamble(kind)
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    if let json = try? encoder.encode(value) { bytes.put(raw: Array(json)) }
    return bytes.bytes
  }

  package static func bytes(_ kind: WireFormat.Kind) -> [UInt8] {
    var bytes = ByteWriter()
    bytes.preamble(kind)
    return bytes.bytes
  }

  /// Nil if it is not what it should be.
  package static func value<Value: Decodable>(_ type: Value.Type, _ reader: ByteReader) -> Value? {
    try? JSONDecoder().decode(type, from: Data(reader.bytes.dropFirst(reader.offset)))
  }
}

extension Plan {
  /// What the process of a node in another language is told.
  func assignment(ofPart part: Int) -> Assignment? {
    guard let node = nodes.firstIndex(where: { $0.part == part }), let command = nodes[node].external else {
      return nil
    }
    func edge(_ index: Int, _ port: String) -> Assignment.Edge? {
      let edge = edges[index]
      guard case .wire(let address) = edge.transport else { return nil }
      let peer = nodes[edge.from.node == node ? edge.to.node : edge.from.node].part
      return Assignment.Edge(
        edge: index, name: edge.name, port: port, type: "\(edge.type)", schema: edge.type.schemaID, address: address,
        depth: edge.depth, policy: edge.policy.rawValue, isFeedback: edge.isFeedback, carriesTurns: edge.carriesTurns,
        sources: edge.sources.sorted(), peer: peer, peerName: parts[peer].name)
    }
    return Assignment(
      node: node, name: nodes[node].name, graph: hash, seed: settings.seed, threads: settings.threads,
      parameters: Dataflow.ParameterValue.map(command.parameters).json,
      inputs: edges.indices.filter { edges[$0].to.node == node }.compactMap {
        edge($0, nodes[node].manifest.inputs[edges[$0].to.port].name)
      },
      outputs: edges.indices.filter { edges[$0].from.node == node }.compactMap {
        edge($0, nodes[node].manifest.outputs[edges[$0].from.port].name)
      })
  }
}
