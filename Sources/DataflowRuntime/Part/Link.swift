import Dataflow
import GraphFile

/// The sender's end of an edge.
protocol Link: AnyObject, Sendable {
  /// Hands a message over, or drops it if the edge's policy says so.
  ///
  /// - Returns: false if the edge is full and the sender should wait for ``room()``.
  /// - Throws: ``EdgeFull`` with policy `fail`; `CancellationError` when the run stops.
  func offer(_ envelope: Envelope) throws -> Bool
  /// Returns when there may be room.
  func room() async
  /// Waits for room on the caller's thread.
  ///
  /// - Returns: false if that cannot be, and the task must be suspended.
  func roomInPlace() -> Bool
  /// No more will come.
  func close()
}

/// An edge within the process: the envelope goes straight into the mailbox.
final class DirectLink: Link {
  private let mailbox: Mailbox
  private let lane: Int
  private let kind: MailboxState.Lane.Kind

  init(to mailbox: Mailbox, lane: Int, kind: MailboxState.Lane.Kind) {
    self.mailbox = mailbox
    self.lane = lane
    self.kind = kind
  }

  func offer(_ envelope: Envelope) throws -> Bool {
    if try mailbox.offer(envelope, lane: lane) { return true }
    if kind.policy == .fail { throw EdgeFull(edge: kind.name, depth: kind.depth) }
    return false
  }

  func room() async { await mailbox.roomInLane(lane) }
  func roomInPlace() -> Bool { mailbox.roomInLaneInPlace(lane) }
  func close() { mailbox.close(lane: lane) }
}
