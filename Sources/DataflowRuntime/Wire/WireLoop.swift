import Dataflow
import Foundation
import ZeroMQ

/// What the wire's thread does. Made, used and closed on that thread.
final class WireLoop {
  private let plan: Plan
  private let identity: Wire.Identity
  private let sessions: SessionTable
  private let counters: WireCounters
  private let report: @Sendable (PartEvent) -> Void
  private let wakeup: Wakeup
  private let clock = SystemTime()
  private var inbound: [Receiver] = []
  private var outbound: [Sender] = []
  private var poller = Poller()
  private var authenticator: Authenticator?
  private var incoming = Multipart()
  /// Whether a node sends one value after the other. Then it is left alone for a moment, for what it sends meanwhile
  /// travels together, and the threads in between are woken less often.
  private var isInFlow = false
  /// So many values in a message are a flow.
  private static let flow = 32
  /// Microseconds; the system adds some fifty.
  private static let breath: UInt32 = 20

  private final class Receiver {
    let end: InboundEdge
    var socket: Socket
    init(_ end: InboundEdge, _ socket: consuming Socket) {
      self.end = end
      self.socket = socket
    }
  }

  private final class Sender {
    let end: OutboundEdge
    var socket: Socket
    var slot: Poller.Slot
    /// The message that the socket did not take yet.
    var pending = Multipart()
    var number: UInt64 = 0
    var greeted: Int64 = .min
    /// When it was last made sure that the connection is still the same.
    var looked: Int64 = 0
    /// Greetings so far, and nanoseconds until the next one if nobody answers.
    var attempt: UInt32 = 0
    var patience: Int64 = 500_000_000

    init(_ end: OutboundEdge, _ socket: consuming Socket, _ slot: Poller.Slot) {
      self.end = end
      self.socket = socket
      self.slot = slot
    }
  }

  init(
    plan: Plan, identity: Wire.Identity, context: Context, outbound: [OutboundEdge], inbound: [InboundEdge],
    sessions: SessionTable, counters: WireCounters, report: @escaping @Sendable (PartEvent) -> Void, wakeup: Wakeup
  ) throws {
    self.plan = plan
    self.identity = identity
    self.sessions = sessions
    self.counters = counters
    self.report = report
    self.wakeup = wakeup
    _ = poller.add(wakeup)
    if let keys = identity.keys {
      let authenticator = try Authenticator(context: context, allowing: keys.allowed)
      counters.watch(authenticator)
      self.authenticator = authenticator
    }
    for end in inbound {
      guard case .wire(let address) = end.edge.transport else { continue }
      var socket = try Socket(.router, in: context)
      try configure(&socket, depth: end.edge.depth)
      if let keys = identity.keys, let authenticator, WireKeys.isNeeded(for: address) {
        try socket.secureAsServer(keys: keys.own, domain: WireKeys.domain, authenticator: authenticator)
      }
      _ = try socket.bind(address)
      _ = poller.add(socket, for: .readable)
      self.inbound.append(Receiver(end, socket))
    }
    for end in outbound {
      guard case .wire(let address) = end.edge.transport else { continue }
      var socket = try Socket(.dealer, in: context)
      try configure(&socket, depth: end.edge.depth)
      let receiver = plan.parts[plan.nodes[end.edge.to.node].part].name
      if let keys = identity.keys, let server = keys.peers[receiver], WireKeys.isNeeded(for: address) {
        try socket.secureAsClient(keys: keys.own, serverKey: server)
      }
      _ = try socket.connect(address)
      let slot = poller.add(socket, for: .readable)
      self.outbound.append(Sender(end, socket, slot))
    }
  }

  private func configure(_ socket: inout Socket, depth: Int) throws {
    // Credit bounds what is under way; the marks only guard memory should a peer not keep to it.
    try socket.set(.sendHighWaterMark, to: depth + 64)
    try socket.set(.receiveHighWaterMark, to: depth + 64)
    try socket.set(.maxMessageSize, to: WireFormat.maximumFrame)
    try socket.set(.linger, to: .seconds(2))
    try socket.set(.heartbeatInterval, to: .seconds(1))
    try socket.set(.heartbeatTimeout, to: .seconds(5))
    try socket.set(.reconnectInterval, to: .milliseconds(20))
    try socket.set(.maxReconnectInterval, to: .milliseconds(500))
  }

  /// Serves all edges until told to stop.
  func run(until isStopped: () -> Bool) {
    while !isStopped() {
      _ = try? poller.wait(timeout: .milliseconds(250))
      _ = wakeup.drain()
      for receiver in inbound {
        if let fault = receiver.end.owed.takeFault() { malformed(receiver, fault) }
        receive(receiver)
      }
      for sender in outbound {
        answers(sender)
        greet(sender)
        flush(sender)
      }
      for receiver in inbound { payCredit(receiver) }
      if isInFlow { usleep(Self.breath) }
      isInFlow = false
    }
  }

  // MARK: Sending

  private func greet(_ sender: Sender) {
    if sender.end.phase != .greeting { return }
    let now = clock.now
    guard sender.greeted == .min || now - sender.greeted > sender.patience else { return }
    sender.greeted = now
    sender.attempt &+= 1
    // An answer that takes longer than this must still be the answer to the last greeting one day.
    sender.patience = min(sender.patience * 2, 8_000_000_000)
    sender.number = 0
    sender.pending.removeAll()
    sender.end.sent()
    let greeting = Greeting(
      edge: UInt32(sender.end.index), attempt: sender.attempt, incarnation: identity.incarnation,
      schema: sender.end.edge.type.schemaID, token: identity.token, graph: plan.hash,
      type: "\(sender.end.edge.type)", part: plan.parts[identity.part].name, settings: plan.settings)
    guard var frame = try? Frame(copying: greeting.bytes) else { return }
    _ = try? sender.socket.trySend(&frame, more: false)
  }

  private func flush(_ sender: Sender) {
    while true {
      if sender.pending.isEmpty {
        // An empty message now and then: if the connection is another than before, the receiver asks who is there.
        guard let batch = sender.end.take() ?? (isQuiet(sender) ? OutboundBatch.empty : nil) else { return }
        batch.address(edge: UInt32(sender.end.index), incarnation: identity.incarnation, number: sender.number)
        sender.number += 1
        // Not where credit might be used up meanwhile.
        if batch.values >= Self.flow, batch.values <= sender.end.edge.depth / 8 { isInFlow = true }
        do {
          sender.pending.append(try batch.headFrame())
          for frame in batch.frames {
            sender.pending.append(try Frame(retaining: Kept(buffer: frame), bytes: frame.bytes))
          }
        } catch {
          report(.edgeBroken(edge: sender.end.index, reason: "\(error)"))
          sender.pending.removeAll()
          sender.end.sent()
          return
        }
      }
      let isSent = (try? sender.socket.trySend(&sender.pending)) ?? false
      if isSent { sender.end.sent() }
      poller.setEvents(isSent ? .readable : [.readable, .writable], at: sender.slot)
      if !isSent { return }
    }
  }

  /// Keeps a buffer's memory until the socket has sent it.
  private final class Kept: Sendable {
    private let buffer: WireBuffer
    init(buffer: WireBuffer) { self.buffer = buffer }
  }

  private func isQuiet(_ sender: Sender) -> Bool {
    let now = clock.now
    guard sender.end.phase == .ready, now - sender.looked > 1_000_000_000 else { return false }
    sender.looked = now
    return true
  }

  private func answers(_ sender: Sender) {
    while (try? sender.socket.tryReceive(into: &incoming, limit: 4)) == true {
      do {
        try incoming[0].withUnsafeBytes { (bytes) throws(WireError) in
          switch try Answer(bytes) {
          case .welcome(let attempt, let credits):
            // An answer to an earlier greeting promises room that a later one promises again.
            guard attempt == sender.attempt else { return }
            sender.end.update { $0.welcome(credits: Int(credits)) }
            sender.patience = 500_000_000
            report(.edgeReady(edge: sender.end.index))
          case .credit(let credits): sender.end.update { $0.credit(Int(credits)) }
          case .refuse(let reason):
            sender.end.update { $0.refuse(reason) }
            report(.edgeBroken(edge: sender.end.index, reason: "refused: \(reason)"))
          case .whoIsThere:
            if sender.end.phase == .ready {
              // What is lost of a live connection the receiver finds by the numbers.
              _ = sender.end.greetAgain()
              sender.greeted = .min
            }
          }
        }
      } catch {
        counters.countMalformed()
      }
    }
  }

  // MARK: Receiving

  private func receive(_ receiver: Receiver) {
    // Bounded, so that one busy edge does not keep the others waiting.
    for _ in 0..<64 {
      guard (try? receiver.socket.tryReceive(into: &incoming, limit: WireFormat.maximumFrames)) == true,
        incoming.count >= 2,
        let routing = incoming.takeFirst(), let head = incoming.takeFirst()
      else { return }
      let peer = FrameStorage(adopting: routing)
      do {
        guard incoming.excess == 0 else { throw WireError("too many frames") }
        let head = FrameStorage(adopting: head)
        var reader = ByteReader(head.bytes)
        switch try reader.takePreamble() {
        case .hello: greeted(receiver, peer, try Greeting(afterPreamble: &reader))
        case .data:
          if let known = receiver.end.peer, known.bytes.elementsEqual(peer.bytes) {
            try take(receiver, head, DataReader(afterPreamble: reader))
          } else {
            counters.countStranger()
            send(.whoIsThere, to: peer, receiver)
          }
        default: throw WireError("a sender sent what only receivers do")
        }
      } catch {
        counters.countMalformed()
        if receiver.end.peer?.bytes.elementsEqual(peer.bytes) == true { broken(receiver, "\(error)") }
        send(.refuse(reason: "malformed: \(error)"), to: peer, receiver)
      }
    }
    // There may be more.
    wakeup.signal()
  }

  private func greeted(_ receiver: Receiver, _ routing: FrameStorage, _ greeting: Greeting) {
    let end = receiver.end
    if let reason = greeting.objection(edge: end.index, plan: plan, token: identity.token) {
      counters.countStranger()
      return send(.refuse(reason: reason), to: routing, receiver)
    }
    if let peer = end.peer, !peer.bytes.elementsEqual(routing.bytes), end.peerIncarnation == greeting.incarnation {
      report(
        .edgeBroken(edge: end.index, reason: "the connection was lost and made again, and messages may be missing"))
    }
    if end.peer == nil || end.peerIncarnation != greeting.incarnation { end.mailbox.reopen(lane: end.lane) }
    end.mailbox.mend(lane: end.lane)
    end.peer = routing
    end.peerIncarnation = greeting.incarnation
    end.expected = 0
    end.hasProvenType = false
    end.owed.clear()
    let room = max(0, end.edge.depth - end.mailbox.values(inLane: end.lane))
    send(.welcome(attempt: greeting.attempt, credits: UInt32(room)), to: routing, receiver)
  }

  private func take(_ receiver: Receiver, _ head: FrameStorage, _ message: consuming DataReader) throws {
    var message = message
    let end = receiver.end
    guard message.edge == UInt32(end.index), message.incarnation == end.peerIncarnation else {
      throw WireError("a message of another edge or process")
    }
    guard message.number == end.expected else {
      throw WireError("message \(message.number) came where \(end.expected) was due: the link lost some")
    }
    end.expected += 1
    // Where nothing will be dropped and small values come together, the node reads them itself.
    let isLeftWritten = end.hasProvenType && end.isLossless && incoming.isEmpty
    let written = isLeftWritten ? WireMessage(head.bytes, owner: head, type: end.messageType, lane: end.lane) : nil
    // What was read before a fault is delivered nevertheless: it is sound, and its credit is spent.
    var isClosed = false
    var batch: [Parcel] = []
    do {
      while true {
        if let written, let run = try message.passRun(schema: end.schema) {
          if let session = end.session(run.session, in: sessions) {
            let turn = Turn(session, epoch: run.epoch)
            batch.append(.run(WrittenRun(written, turn: turn, place: run.place, count: run.count)))
          } else {
            end.owed.add(run.count)
          }
          continue
        }
        guard let record = try next(&message, end.messageType) else { break }
        if let envelope = try envelope(of: record, end) { batch.append(.envelope(envelope)) }
        if record.content == .closed { isClosed = true }
      }
    } catch {
      try deliver(batch, to: end)
      throw error
    }
    try deliver(batch, to: end)
    if isClosed { end.mailbox.close(lane: end.lane) }
  }

  /// - Returns: nil if there is nothing for the mailbox.
  private func envelope(of record: WireRecord, _ end: InboundEdge) throws(WireError) -> Envelope? {
    let content: Envelope.Content
    switch record.content {
    case .closed: return nil
    case .sessionBegan:
      guard sessions.count < Self.maximumSessions else { throw WireError("too many sessions") }
      _ = sessions.session(record.session, named: record.name)
      content = .sessionBegan
    case .sessionEnded: content = .sessionEnded
    case .turnEnded: content = .turnEnded
    case .value:
      guard record.schema == end.schema, let value = record.value else { throw WireError("a value of another type") }
      if !end.hasProvenType {
        if let problem = value.type.mismatch(feeding: end.edge.type) { throw WireError("a value whose \(problem)") }
        end.hasProvenType = true
      }
      content = .value(value)
    }
    // A session that is over here may still have something under way.
    guard let session = end.session(record.session, in: sessions) else {
      if record.value != nil { end.owed.add(1) }
      return nil
    }
    return Envelope(content, turn: Turn(session, epoch: record.epoch), stamp: record.stamp)
  }

  private func deliver(_ batch: [Parcel], to end: InboundEdge) throws(WireError) {
    guard !batch.isEmpty else { return }
    do {
      guard let lost = try end.mailbox.deliver(batch, lane: end.lane) else {
        throw WireError("the sender sent more than it had credit for")
      }
      if lost > 0 { end.owed.add(lost) }
    } catch let error as WireError {
      throw error
    } catch {
      // The run stops, and nobody wants it any more.
    }
  }

  private static let maximumSessions = 65536

  private func next(_ message: inout DataReader, _ type: any Message.Type) throws(WireError) -> WireRecord? {
    var frames = Frames(loop: self)
    return try message.next(as: type, frames: &frames)
  }

  /// The payload frames of the message being read.
  private struct Frames: PayloadFrames {
    let loop: WireLoop
    var isEmpty: Bool { loop.incoming.isEmpty }
    func takeNext() -> (bytes: UnsafeRawBufferPointer, owner: AnyObject)? {
      guard let frame = loop.incoming.takeFirst() else { return nil }
      let storage = FrameStorage(adopting: frame)
      return (storage.bytes, storage)
    }
  }

  /// The node found out.
  private func malformed(_ receiver: Receiver, _ error: MessageCodingError) {
    let reason = "a value of type \(receiver.end.messageType.typeName): \(error)"
    counters.countMalformed()
    guard let peer = receiver.end.peer else { return }
    broken(receiver, reason)
    send(.refuse(reason: "malformed: \(reason)"), to: peer, receiver)
  }

  private func broken(_ receiver: Receiver, _ reason: String) {
    receiver.end.peer = nil
    report(.edgeBroken(edge: receiver.end.index, reason: reason))
  }

  private func payCredit(_ receiver: Receiver) {
    guard let peer = receiver.end.peer else { return }
    let owed = receiver.end.owed.take()
    if owed > 0 { send(.credit(UInt32(owed)), to: peer, receiver) }
  }

  private func send(_ answer: Answer, to peer: FrameStorage, _ receiver: Receiver) {
    var message = Multipart()
    guard let routing = try? Frame(sharing: peer), let frame = try? Frame(copying: answer.bytes) else { return }
    message.append(routing)
    message.append(frame)
    _ = try? receiver.socket.trySend(&message)
  }
}
