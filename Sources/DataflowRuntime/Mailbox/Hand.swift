package import Dataflow
import DequeModule

/// The node's side of its mailbox: what it is working on, and what it has been given in advance, all from one lane, so
/// that it need not ask for every value.
///
/// Values in the hand still count as waiting in their lane until the node looks at them.
package struct Hand {
  /// The most entries given in advance where they have to be counted out.
  static let size = 64

  /// In the order of their arrival.
  var entries = Deque<MailboxState.Lane.Entry>()
  /// The run that the node is in the middle of, before the others.
  private var run: WrittenRun?
  private var runEntry: (ticket: UInt64, arrived: Int64) = (0, 0)
  private(set) var lane = 0
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
  /// How many values it took together.
  private var held = 0

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
    (self.work, taken, held) = (work, now, 1)
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
  func hasNext(on wanted: UInt64) -> Bool { wanted == ports && (run != nil || !entries.isEmpty) }

  /// How long the node has worked on what it holds; nil if that is not a message or a mark.
  package func worked(now: Int64) -> Worked? {
    switch work {
    case .none, .cut: nil
    case .value, .mark: Worked(time: now - taken, messages: held)
    }
  }

  /// What a node did between two visits.
  package struct Worked {
    package let time: Int64
    /// How many messages or marks it was for.
    package let messages: Int
  }

  /// The next value, if the node holds nothing that the mailbox must hear of, and there is one.
  ///
  /// - Parameter worked: set to how long the node worked on the one before.
  package mutating func next(on wanted: UInt64, now: Int64, worked: inout Worked?) -> Next? {
    guard holdsValue, wanted == ports, let (arrival, arrived) = popFirst() else { return nil }
    worked = Worked(time: now - taken, messages: held)
    looked += 1
    waited += now - arrived
    (taken, held) = (now, 1)
    return Next(arrival: arrival, lane: lane)
  }

  /// More values, up to so many, which the node works on together with the one that it holds.
  package mutating func takeMore(on wanted: UInt64, most: Int, now: Int64) -> [Parcel] {
    guard holdsValue, wanted == ports else { return [] }
    var (found, left): ([Parcel], Int) = ([], most)
    while left > 0 {
      if var rest = run.take() {
        var part = rest
        if rest.count > left {
          part = rest.removeFirst(left)
          run = rest
        }
        found.append(.run(part))
        left -= part.count
        waited += Int64(part.count) * (now - runEntry.arrived)
      } else if let entry = entries.popFirst() {
        switch entry.parcel {
        case .envelope:
          found.append(entry.parcel)
          left -= 1
          waited += now - entry.arrived
        case .run(let next): (run, runEntry) = (next, (entry.ticket, entry.arrived))
        }
      } else {
        break
      }
    }
    looked += most - left
    held += most - left
    return found
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
