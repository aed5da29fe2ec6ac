import Dataflow
import DequeModule
import Foundation
import Synchronization
import ZeroMQ

/// A part's end of its control connection.
final class ControlClient: ControlChannel {
  private struct State {
    var outgoing = Deque<PartEvent>()
    var joining: CheckedContinuation<Acceptance, any Error>?
    var acceptance: Acceptance?
    var command: (@Sendable (PartCommand) -> Void)?
    /// Commands that came before anybody could take them.
    var early: [PartCommand] = []
  }
  private let address: String
  private let joining: Joining
  private let keys: WireKeys?
  private let context: Context
  private let wakeup: Wakeup
  private let state = Mutex(State())
  private let stopping = Atomic<Bool>(false)
  private let finished = Atomic<Bool>(true)
  private let lost: @Sendable (String) -> Void
  /// The process that started this one, if this one is to end with it.
  private let parent: Int32?

  /// - Parameters:
  ///   - parent: the process that started this one, if this one is to end with it.
  ///   - lost: called when the coordinator is gone.
  init(
    address: String, joining: Joining, keys: WireKeys?, parent: Int32?,
    lost: @escaping @Sendable (_ reason: String) -> Void
  ) throws {
    self.parent = parent
    self.address = address
    self.joining = joining
    self.keys = keys
    self.lost = lost
    context = try Context(ioThreads: 1)
    wakeup = try Wakeup()
  }

  /// Connects and asks to take part, until the coordinator answers or the deadline has passed.
  ///
  /// - Throws: ``JoinError``, or a `ZeroMQError` if there can be no connection.
  func join(timeout: Duration) async throws -> Acceptance {
    finished.store(false, ordering: .releasing)
    let deadline = SystemTime().now + Int64(timeout / .nanoseconds(1))
    let acceptance: Acceptance = try await withCheckedThrowingContinuation { continuation in
      state.withLock { $0.joining = continuation }
      let thread = Thread {
        do {
          var socket = try self.makeSocket()
          self.serve(&socket, joinBy: deadline)
        } catch {
          self.state.withLock { $0.joining.take() }?.resume(throwing: error)
        }
        self.finished.store(true, ordering: .releasing)
      }
      thread.name = "antiphon-control"
      thread.start()
    }
    if let refusal = acceptance.refusal { throw JoinError(description: "the coordinator refused: \(refusal)") }
    return acceptance
  }

  /// Commands go to `take` from now on, on the control thread.
  func takeCommands(_ take: @escaping @Sendable (PartCommand) -> Void) {
    let early = state.withLock { state in
      state.command = take
      defer { state.early = [] }
      return state.early
    }
    for command in early { take(command) }
  }

  func post(_ event: PartEvent) {
    state.withLock { $0.outgoing.append(event) }
    wakeup.signal()
  }

  func close() async {
    stopping.store(true, ordering: .releasing)
    wakeup.signal()
    while !finished.load(ordering: .acquiring) { try? await Task.sleep(for: .milliseconds(1)) }
    context.close()
  }

  private func makeSocket() throws -> Socket {
    var socket = try Socket(.dealer, in: context)
    try socket.set(.maxMessageSize, to: ControlWire.maximumMessage)
    try socket.set(.linger, to: .seconds(1))
    try socket.set(.heartbeatInterval, to: .seconds(1))
    try socket.set(.heartbeatTimeout, to: .seconds(5))
    try socket.set(.reconnectInterval, to: .milliseconds(20))
    try socket.set(.maxReconnectInterval, to: .milliseconds(500))
    if address.hasPrefix("tcp://"), let keys, let server = keys.peers[Plan.coordinatorName] {
      try socket.secureAsClient(keys: keys.own, serverKey: server)
    }
    try socket.connect(address)
    return socket
  }

  private func serve(_ socket: inout Socket, joinBy deadline: Int64) {
    let clock = SystemTime()
    var poller = Poller()
    _ = poller.add(wakeup)
    _ = poller.add(socket, for: .readable)
    var incoming = Multipart()
    var (spoke, heard, isLost): (Int64, Int64, Bool) = (0, clock.now, false)
    while true {
      let isJoined = state.withLock { $0.acceptance != nil }
      let now = clock.now
      if now - spoke > (isJoined ? ControlServer.silence / 10 : 300_000_000) {
        spoke = now
        Self.send(isJoined ? ControlWire.bytes(.alive) : ControlWire.bytes(.join, joining), &socket)
      }
      _ = try? poller.wait(timeout: .milliseconds(100))
      _ = wakeup.drain()
      while (try? socket.tryReceive(into: &incoming, limit: 4)) == true {
        heard = clock.now
        guard let frame = incoming.takeFirst() else { continue }
        receive(FrameStorage(adopting: frame))
      }
      if !isJoined, clock.now > deadline {
        state.withLock { $0.joining.take() }?.resume(
          throwing: JoinError(description: "no coordinator answered at \(address)"))
        return
      }
      let outgoing = state.withLock { state in
        guard state.acceptance != nil else { return Deque<PartEvent>() }
        defer { state.outgoing.removeAll() }
        return state.outgoing
      }
      for event in outgoing { Self.send(ControlWire.bytes(.event, event), &socket) }
      if stopping.load(ordering: .acquiring) { return }
      let isOrphan = parent.map { getppid() != $0 } ?? false
      if !isJoined, isOrphan {
        state.withLock { $0.joining.take() }?.resume(throwing: JoinError(description: "the coordinator is gone"))
        return
      }
      if isJoined, !isLost, clock.now - heard > 2 * ControlServer.silence || isOrphan {
        isLost = true
        lost("the coordinator is gone")
      }
    }
  }

  private func receive(_ body: FrameStorage) {
    var reader = ByteReader(body.bytes)
    switch try? reader.takePreamble() {
    case .accept:
      guard let acceptance = ControlWire.value(Acceptance.self, reader) else { return }
      let joining = state.withLock { state in
        if acceptance.refusal == nil { state.acceptance = acceptance }
        return state.joining.take()
      }
      joining?.resume(returning: acceptance)
    case .command:
      guard let command = ControlWire.value(PartCommand.self, reader) else { return }
      let take = state.withLock { state in
        if state.command == nil { state.early.append(command) }
        return state.command
      }
      take?(command)
    default: break
    }
  }

  private static func send(_ bytes: [UInt8], _ socket: inout Socket) {
    guard var frame = try? Frame(copying: bytes) else { return }
    _ = try? socket.trySend(&frame, more: false)
  }
}

/// A process could not join a run.
public struct JoinError: Error, Sendable, CustomStringConvertible {
  public let description: String
}
