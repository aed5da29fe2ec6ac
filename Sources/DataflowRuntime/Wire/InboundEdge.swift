import Dataflow
import GraphFile
import Synchronization
import ZeroMQ

/// The receiver's end of an edge from another process; used by the wire's thread alone, but for the credit.
final class InboundEdge {
  let index: Int
  let edge: PlannedEdge
  let mailbox: Mailbox
  let lane: Int
  let messageType: any Message.Type
  let owed: OwedCredit
  /// The routing id of the process that greeted last; only it is listened to.
  var peer: FrameStorage?
  var peerIncarnation: UInt64 = 0
  /// The number that the next message must have.
  var expected: UInt64 = 0
  /// Whether the peer's first value was of the edge's type, with all particulars.
  var hasProvenType = false
  let schema: UInt64
  /// The session of the last record, which is most often the next one's too.
  private var known: (session: Session, removals: Int)?

  init(
    index: Int, edge: PlannedEdge, mailbox: Mailbox, lane: Int, messageType: any Message.Type, owed: OwedCredit
  ) {
    self.index = index
    self.edge = edge
    self.mailbox = mailbox
    self.lane = lane
    self.messageType = messageType
    self.owed = owed
    schema = edge.type.schemaID
  }

  /// Whether the lane's policy never drops.
  var isLossless: Bool { edge.policy == .block || edge.policy == .fail }

  /// The session of a record; nil if it is over here.
  func session(_ id: UInt64, in sessions: SessionTable) -> Session? {
    let removals = sessions.removals
    if let known, known.session.id == id, known.removals == removals { return known.session }
    let session = sessions.session(id)
    known = session.map { ($0, removals) }
    return session
  }
}

/// What the receiver of an edge owes its sender: word of room that has become free in the lane, or that it is refused.
final class OwedCredit: Sendable {
  private let count = Atomic<Int>(0)
  private let fault = Mutex<MessageCodingError?>(nil)
  private let isFaulty = Atomic<Bool>(false)
  private let enough: Int
  private let wakeup: Wakeup

  init(depth: Int, wakeup: Wakeup) {
    // A sender that has used up its credit is always told: by then all of `depth` is owed.
    enough = max(1, depth / 4)
    self.wakeup = wakeup
  }

  func add(_ values: Int) {
    let before = count.add(values, ordering: .relaxed).oldValue
    if before < enough, before + values >= enough { wakeup.signal() }
  }

  /// - Returns: what is owed, if it is worth a message.
  func take() -> Int {
    count.load(ordering: .relaxed) >= enough ? count.exchange(0, ordering: .relaxed) : 0
  }

  func clear() { count.store(0, ordering: .relaxed) }

  /// A value was found to be malformed when it was taken.
  func refuse(because error: MessageCodingError) {
    fault.withLock { $0 = $0 ?? error }
    isFaulty.store(true, ordering: .releasing)
    wakeup.signal()
  }

  /// - Returns: why the sender is to be refused, once.
  func takeFault() -> MessageCodingError? {
    guard isFaulty.exchange(false, ordering: .acquiring) else { return nil }
    return fault.withLock { $0.take() }
  }
}
