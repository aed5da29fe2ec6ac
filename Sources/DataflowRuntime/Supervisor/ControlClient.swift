import Dataflow
import DequeModule
import Foundation
import Synchronization
import ZeroMQ

/// A part's end of its control connection.
///
/// What the socket does not take is kept and offered again. While the coordinator takes nothing, because nobody reads
/// the results, nodes that would say more are held up.
final class ControlClient: ControlChannel {
  private struct State {
    var outgoing = Deque<PartEvent>()
    var joining: CheckedContinuation<Acceptance, any Error>?
    var acceptance: Acceptance?
    var command: (@Sendable (PartCommand) -> Void)?
    /// Commands that came before anybody could take them.
    var early: [PartCommand] = []
    /// The process leaves the run; nothing more is said.
    var hasLeft: String?
  }
  private let address: String
  private let joining: Joining
  private let keys: WireKeys?
  private let thread: SocketThread
  private let state = Mutex(State())
  private let backlog = Backlog(limit: 4 << 20)
  private let lost: @Sendable (String) -> Void
  /// The process that started this one, if this one is to end with it.
  private let parent: Int32?

  /// Nanoseconds for which a process that was told to stop goes on offering what it has to say.
  private static let parting: Int64 = 2_000_000_000

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
    thread = try SocketThread()
  }

  /// Connects and asks to take part, until the coordinator answers or the deadline has passed.
  ///
  /// - Throws: ``JoinError``, or a `ZeroMQError` if there can be no connection.
  func join(timeout: Duration) async throws -> Acceptance {
    let deadline = SystemTime().now + Int64(timeout / .nanoseconds(1))
    let acceptance: Acceptance = try await withCheckedThrowingContinuation { continuation in
      let left = state.withLock { state in
        if state.hasLeft == nil { state.joining = continuation }
        return state.hasLeft
      }
      if let left { return continuation.resume(throwing: JoinError(description: left)) }
      thread.start(named: "antiphon-control") {
        do {
          var socket = try self.makeSocket()
          self.serve(&socket, joinBy: deadline)
        } catch {
          self.giveUpJoining(error)
        }
      }
    }
    if let refusal = acceptance.refusal { throw JoinError(description: "the coordinator refused: \(refusal)") }
    return acceptance
  }

  private func giveUpJoining(_ error: any Error) { state.withLock { $0.joining.take() }?.resume(throwing: error) }

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
    if event.canWait { backlog.waitForRoom() }
    let isKept = state.withLock { state in
      if state.hasLeft != nil { return false }
      state.outgoing.append(event)
      backlog.add(event.weight)
      return true
    }
    if isKept { thread.wakeup.signal() }
  }

  /// Says nothing more, as if the process had died: the coordinator may wait for another in its place.
  func leave(because reason: String) {
    let joining = state.withLock { state in
      state.hasLeft = state.hasLeft ?? reason
      state.outgoing.removeAll()
      return state.joining.take()
    }
    backlog.lift()
    joining?.resume(throwing: JoinError(description: reason))
  }

  func close() async { await thread.close() }

  private func makeSocket() throws -> Socket {
    var socket = try Socket(.dealer, in: thread.context)
    try socket.set(.maxMessageSize, to: ControlWire.maximumMessage)
    try socket.set(.linger, to: .seconds(1))
    // A connection that is lost and made again is still the same process.
    try socket.set(.routingID, to: Array("\(joining.part.prefix(64)) \(joining.incarnation)".utf8))
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
    _ = poller.add(thread.wakeup)
    let slot = poller.add(socket, for: .readable)
    var incoming = Multipart()
    var outbox = Outbox()
    var (spoke, heard, isLost): (Int64, Int64, Bool) = (0, clock.now, false)
    var stopped: Int64?
    while true {
      let isJoined = state.withLock { $0.acceptance != nil }
      let now = clock.now
      if now - spoke > (isJoined ? ControlServer.silence / 10 : 300_000_000) {
        spoke = now
        // If it is not taken now, something else is under way or the next one will be.
        _ = Self.send(isJoined ? ControlWire.bytes(.alive) : ControlWire.bytes(.join, joining), &socket)
      }
      _ = try? poller.wait(timeout: .milliseconds(100))
      thread.wakeup.drain()
      while (try? socket.tryReceive(into: &incoming, limit: 4)) == true {
        heard = clock.now
        guard let frame = incoming.takeFirst() else { continue }
        if receive(FrameStorage(adopting: frame)) == .stop { stopped = stopped ?? clock.now }
      }
      if !isJoined, clock.now > deadline {
        return giveUpJoining(JoinError(description: "no coordinator answered at \(address)"))
      }
      let isDone = flush(&outbox, &socket)
      poller.setEvents(isDone ? .readable : [.readable, .writable], at: slot)
      let isOrphan = parent.map { getppid() != $0 } ?? false
      if thread.isStopping {
        // What was said before the end is to be heard, if there is anybody to hear it.
        let isParted = stopped.map { clock.now - $0 > Self.parting } ?? false
        if isDone || isParted || isOrphan || clock.now - heard > 2 * ControlServer.silence { return }
        continue
      }
      if !isJoined, isOrphan { return giveUpJoining(JoinError(description: "the coordinator is gone")) }
      if isJoined, !isLost, clock.now - heard > 2 * ControlServer.silence || isOrphan {
        isLost = true
        backlog.lift()
        lost("the coordinator is gone")
      }
    }
  }

  /// What is being sent.
  private struct Outbox {
    var events = Deque<PartEvent>()
    /// The first of them as it goes out, once it has been offered.
    var bytes: [UInt8]?
  }

  /// Sends what the socket takes.
  ///
  /// - Returns: whether that was all there is to be sent.
  private func flush(_ outbox: inout Outbox, _ socket: inout Socket) -> Bool {
    while true {
      if outbox.events.isEmpty {
        outbox.events = state.withLock { state in
          guard state.acceptance != nil else { return [] }
          defer { state.outgoing = [] }
          return state.outgoing
        }
      }
      guard let event = outbox.events.first, state.withLock({ $0.hasLeft == nil }) else { return true }
      let bytes = outbox.bytes ?? ControlWire.bytes(.event, event)
      guard Self.send(bytes, &socket) else {
        outbox.bytes = bytes
        return false
      }
      outbox.bytes = nil
      outbox.events.removeFirst()
      backlog.remove(event.weight)
    }
  }

  /// - Returns: the command that came, if it was one.
  private func receive(_ body: FrameStorage) -> PartCommand? {
    var reader = ByteReader(body.bytes)
    switch try? reader.takePreamble() {
    case .accept:
      guard let acceptance = ControlWire.value(Acceptance.self, reader) else { return nil }
      let joining = state.withLock { state in
        if acceptance.refusal == nil { state.acceptance = acceptance }
        return state.joining.take()
      }
      joining?.resume(returning: acceptance)
      return nil
    case .command:
      guard let command = ControlWire.value(PartCommand.self, reader) else { return nil }
      // Of a run that is being stopped nobody waits for room.
      if command == .stop { backlog.lift() }
      let take = state.withLock { state in
        if state.command == nil { state.early.append(command) }
        return state.command
      }
      take?(command)
      return command
    default: return nil
    }
  }

  /// - Returns: whether the socket took it.
  private static func send(_ bytes: [UInt8], _ socket: inout Socket) -> Bool {
    guard var frame = try? Frame(copying: bytes) else { return false }
    return (try? socket.trySend(&frame, more: false)) ?? false
  }
}

/// A process could not join a run.
public struct JoinError: Error, Sendable, CustomStringConvertible {
  public let description: String
}
