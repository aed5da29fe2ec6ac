package import Dataflow
import DequeModule

/// The node's side of its mailbox: what it is working on, and what it has been given in advance, all from one lane, so
/// that it need not ask for every value.
///
/// Values in the hand still count as waiting in their lane until the node looks at them. Some of them may be laid out in
/// its ``handful``, for a node that is quick with them.
package struct Hand {
  /// The most entries given in advance where they have to be counted out.
  static let size = 64

  /// The most values that are laid out at once.
  private static let handfulSize = 32
  /// A node is quick if a value takes it no longer than so many nanoseconds.
  static let quick: Int64 = 1000

  package let handful = Handful()
  /// Whether the first values of ``run`` are laid out.
  private var isLaid = false
  /// How many may be laid out: more and more while the node is quick, none if it is not.
  private var laidNext = 0
  /// Values that the node has read from the handful and that its figures lack, and those that their sender has no credit
  /// for.
  private var (read, unpaid) = (0, 0)

  /// In the order of their arrival.
  var entries = Deque<MailboxState.Lane.Entry>()
  /// The run that the node is in the middle of, before the others.
  private var run: WrittenRun?
  private var runEntry: (ticket: UInt64, arrived: Int64) = (0, 0)
  package private(set) var lane = 0
  private var port = 0
  private var ports: UInt64 = 0
  /// Values that the node has looked at, and how long they had waited in all, since the mailbox was last told.
  private(set) var looked = 0
  private(set) var waited: Int64 = 0
  /// What the node took last and has not yet come back from.
  private var work = Work.none
  /// Whether that is a value; the fast path asks for no more.
  private var holdsValue = false
  private var taken: Int64 = 0

  package init() {}

  enum Work {
    case none
    case value
    case mark(Envelope, lane: Int)
    case cut(Turn)
  }

  mutating func set(lane: Int, port: Int, ports: UInt64) { (self.lane, self.port, self.ports) = (lane, port, ports) }

  /// The node works on this now.
  mutating func hold(_ work: Work, now: Int64) {
    (self.work, taken) = (work, now)
    if case .value = work { holdsValue = true } else { holdsValue = false }
  }

  /// The node is back from what it worked on.
  mutating func returned() -> Work {
    defer { (work, holdsValue) = (.none, false) }
    return work
  }

  /// Whether the runtime has something to do before the node goes on: acknowledge a notice, or pass a mark.
  func isOwed(passingMarks: Bool) -> Bool {
    switch work {
    case .none, .value: false
    case .mark: passingMarks
    case .cut: true
    }
  }

  /// Whether there is something for the node here.
  mutating func hasNext(on wanted: UInt64) -> Bool {
    recall()
    return wanted == ports && (run != nil || !entries.isEmpty)
  }

  /// What a node has worked on since it asked last.
  package struct Worked: Equatable {
    package var time: Int64
    /// Values that it has read from the handful meanwhile.
    package var read: Int
    /// Those of them that their sender has no credit for yet.
    package var unpaid: Int
    /// Messages and marks, all together.
    package var count: Int { read + 1 }

    package init(time: Int64, read: Int = 0, unpaid: Int = 0) {
      (self.time, self.read, self.unpaid) = (time, read, unpaid)
    }
  }

  /// What the node has worked on; nil if that is no message or mark.
  package mutating func worked(now: Int64) -> Worked? {
    recall()
    switch work {
    case .none, .cut: return nil
    case .value, .mark: return worked(for: now - taken)
    }
  }

  /// The next value, if the node holds nothing that the mailbox must hear of, and there is one.
  ///
  /// - Parameters:
  ///   - room: how many values the node may read before it must ask again; some of those that follow are laid out.
  ///   - worked: set to what the node has worked on since it asked last.
  package mutating func next(on wanted: UInt64, now: Int64, room: Int = 0, worked: inout Worked?) -> Next? {
    guard holdsValue, wanted == ports else { return nil }
    recall()
    guard let (arrival, arrived) = popFirst() else { return nil }
    let time = now - taken
    laidNext = time < Self.quick * Int64(read + 1) ? min(max(4, laidNext * 2), Self.handfulSize) : 0
    // What the node has read already must be counted first.
    let room = room - unpaid - 2
    worked = self.worked(for: time)
    looked += 1
    waited += now - arrived
    taken = now
    lay(min(laidNext, room))
    return Next(arrival: arrival, lane: lane)
  }

  private mutating func worked(for time: Int64) -> Worked {
    defer { (read, unpaid) = (0, 0) }
    return Worked(time: time, read: read, unpaid: unpaid)
  }

  /// Lays out values of the run that the node is in the middle of.
  private mutating func lay(_ limit: Int) {
    guard limit > 0, let run, let first = run.first else { return }
    handful.lay(min(limit, run.count), from: first, turn: run.turn, lane: lane, ports: ports)
    isLaid = true
  }

  /// Takes back what was laid out, and counts what has been read of it as if that had been at once.
  mutating func recall() {
    guard isLaid else { return }
    isLaid = false
    let (count, bytes) = handful.recall()
    run?.skip(count, bytes: bytes)
    if run?.count == 0 { run = nil }
    read += count
    unpaid += count
    looked += count
    waited += Int64(count) * (taken - runEntry.arrived)
  }

  /// Values that the node has read from the handful and that its figures lack.
  package mutating func takeRead() -> Int {
    recall()
    return worked(for: 0).read
  }

  /// The sender is told how much room there is, and needs no credit for what has been read.
  package mutating func forgetCredit() {
    recall()
    unpaid = 0
  }

  private mutating func popFirst() -> (Arrival, arrived: Int64)? {
    if let value = run?.removeFirst() {
      if run?.count == 0 { run = nil }
      return (.written(value, port: port), runEntry.arrived)
    }
    guard let entry = entries.popFirst() else { return nil }
    switch entry.parcel {
    case .envelope(let envelope): return (.envelope(envelope, port: port), entry.arrived)
    case .run(var first):
      let value = first.removeFirst()
      if first.count > 0 { (run, runEntry) = (first, (entry.ticket, entry.arrived)) }
      return (.written(value, port: port), entry.arrived)
    }
  }

  /// Puts the rest of a run back where it came from.
  mutating func putBackRun() {
    guard let rest = run.take() else { return }
    entries.prepend(
      MailboxState.Lane.Entry(parcel: .run(rest), ticket: runEntry.ticket, arrived: runEntry.arrived))
  }

  package struct Next {
    package let arrival: Arrival
    package let lane: Int
  }

  /// The mailbox has heard of what the node has looked at.
  mutating func counted() { (looked, waited) = (0, 0) }
}
