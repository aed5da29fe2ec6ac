import Dataflow
import Foundation
import GraphFile
import Synchronization
import ZeroMQ

/// Edges within a process over ZeroMQ inproc sockets: a reference to the envelope travels, nothing is copied or encoded.
///
/// Every edge has a pair of sockets. The sender's is used by whoever sends, under a lock; the receivers' all belong to
/// one thread, which puts what comes into the same mailboxes that direct edges use.
final class InprocWire: Sendable {
  private let context: Context
  private let wakeup: Wakeup
  private let links: [Int: InprocLink]
  private let stopping = Atomic<Bool>(false)
  private let finished = Atomic<Bool>(true)

  /// - Returns: nil if the part has no such edges.
  /// - Throws: `ZeroMQError` if sockets cannot be made.
  init?(plan: Plan, part: Int, mailboxes: [Int: Mailbox]) throws {
    let edges = plan.edges.indices.filter {
      plan.edges[$0].transport == .inproc && plan.nodes[plan.edges[$0].to.node].part == part
    }
    if edges.isEmpty { return nil }
    context = try Context(ioThreads: 0, maxSockets: 2 * edges.count + 16)
    wakeup = try Wakeup()
    var links: [Int: InprocLink] = [:]
    for edge in edges {
      guard let mailbox = mailboxes[plan.edges[edge].to.node] else { throw MissingWire(edge: plan.edges[edge].name) }
      links[edge] = try InprocLink(
        edge: plan.edges[edge], number: edge, mailbox: mailbox, lane: plan.lane(ofEdge: edge), context: context)
    }
    self.links = links
  }

  func link(forEdge edge: Int) -> (any Link)? { links[edge] }

  /// Begins to deliver, on a thread of its own.
  func start() {
    finished.store(false, ordering: .releasing)
    startThread(named: "antiphon-inproc") {
      self.serve()
      self.finished.store(true, ordering: .releasing)
    }
  }

  /// Ends the thread; what is still under way is let go.
  func close() async {
    stopping.store(true, ordering: .releasing)
    wakeup.signal()
    while !finished.load(ordering: .acquiring) { try? await Task.sleep(for: .milliseconds(1)) }
    for link in links.values { link.closeSender() }
    context.close()
  }

  private func serve() {
    let receivers = links.values.compactMap { $0.takeReceiver() }
    var poller = Poller()
    _ = poller.add(wakeup)
    for receiver in receivers { _ = poller.add(receiver.socket, for: .readable) }
    while !stopping.load(ordering: .acquiring) {
      _ = try? poller.wait(timeout: .milliseconds(250))
      wakeup.drain()
      for receiver in receivers where receiver.deliver() { wakeup.signal() }
    }
  }
}

/// The sender's end of an inproc edge.
final class InprocLink: Link {
  private let edge: PlannedEdge
  private let mailbox: Mailbox
  private let lane: Int
  private let sender: Mutex<Sender>
  private let receiver: Mutex<InprocReceiver?>
  /// Values that have not reached the mailbox yet.
  private let values = Atomic<Int>(0)

  private struct Sender: ~Copyable {
    /// Nil once the edge's wire has been closed.
    var socket: Socket?
  }

  init(edge: PlannedEdge, number: Int, mailbox: Mailbox, lane: Int, context: Context) throws {
    (self.edge, self.mailbox, self.lane) = (edge, mailbox, lane)
    var receiving = try Socket(.pair, in: context)
    var sending = try Socket(.pair, in: context)
    // A guard for memory alone. The thread that delivers never waits for a node, so a sender waits for it but shortly.
    try receiving.set(.receiveHighWaterMark, to: 1024)
    try sending.set(.sendHighWaterMark, to: 1024)
    _ = try receiving.bind("inproc://\(number)")
    try sending.connect("inproc://\(number)")
    sender = Mutex(Sender(socket: sending))
    receiver = Mutex(nil)
    let made = InprocReceiver(link: self, socket: receiving)
    receiver.withLock { $0 = made }
  }

  func offer(_ envelope: Envelope) throws -> Bool {
    let isValue = envelope.isValue
    let isSent = try sender.withLock { sender in
      // With what is under way the lane would be full, were all of it there. A lane that drops is never full.
      if isValue, isLossless, !mailbox.hasRoom(inLane: lane, beside: values.load(ordering: .acquiring)) { return false }
      if isValue { values.add(1, ordering: .acquiringAndReleasing) }
      return try send(envelope, &sender)
    }
    if !isSent, edge.policy == .fail { throw EdgeFull(edge: edge.name, depth: edge.depth) }
    return isSent
  }

  func room() async { await mailbox.roomInLane(lane) }
  func roomInPlace() -> Bool { mailbox.roomInLaneInPlace(lane) }
  func close() { _ = try? sender.withLock { try send(EndOfEdge(), &$0) } }

  private func send(_ parcel: some AnyObject & Sendable, _ sender: inout Sender) throws -> Bool {
    guard sender.socket != nil else { throw CancellationError() }
    try sender.socket?.send(InprocFrame.make(parcel))
    return true
  }

  private var isLossless: Bool { edge.policy == .block || edge.policy == .fail }

  // MARK: The wire

  func takeReceiver() -> InprocReceiver? { receiver.withLock { $0.take() } }
  func closeSender() { sender.withLock { $0.socket = nil } }

  /// - Parameter parcel: an envelope, or the ``EndOfEdge``.
  fileprivate func deliver(_ parcel: AnyObject) {
    guard let envelope = parcel as? Envelope else { return mailbox.close(lane: lane) }
    // It cannot be full, and if the run has been stopped there is nobody to tell.
    _ = try? mailbox.deliver(envelope, lane: lane)
    if envelope.isValue { values.subtract(1, ordering: .acquiringAndReleasing) }
  }
}

/// The receiver's end of an inproc edge; used by the wire's thread alone.
///
/// @unchecked: it is made by one thread and handed over to the other, which then has it alone.
final class InprocReceiver: @unchecked Sendable {
  private unowned let link: InprocLink
  fileprivate var socket: Socket

  fileprivate init(link: InprocLink, socket: consuming Socket) {
    self.link = link
    self.socket = socket
  }

  /// Delivers what has come, though not too much at once.
  ///
  /// - Returns: whether there may be more.
  fileprivate func deliver() -> Bool {
    for _ in 0..<256 {
      guard let frame = try? socket.tryReceive() else { return false }
      if let parcel = InprocFrame.open(frame) { link.deliver(parcel) }
    }
    return true
  }
}

/// What travels through an inproc socket: a frame whose bytes are an object's own address and which keeps the object
/// alive until it is let go, be it by the receiver or by a context that closes. Nobody reads the bytes.
private enum InprocFrame {
  static func make(_ object: some AnyObject & Sendable) throws -> Frame {
    try Frame(
      retaining: object,
      bytes: UnsafeRawBufferPointer(start: Unmanaged.passUnretained(object).toOpaque(), count: 1))
  }

  /// The object of a frame, which must have come through a socket of ``InprocWire``'s own context.
  static func open(_ frame: borrowing Frame) -> AnyObject? {
    frame.withUnsafeBytes { bytes in
      bytes.baseAddress.map { Unmanaged<AnyObject>.fromOpaque($0).takeUnretainedValue() }
    }
  }
}

/// An edge's last word.
private final class EndOfEdge: Sendable {}
