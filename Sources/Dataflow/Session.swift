import Synchronization

/// One conversation. Every message belongs to a session, and a graph serves several at once.
///
/// A session counts *turns*: a question and all that follows from it. The number of a turn is its **epoch**, from 1 up;
/// epoch 0 marks what belongs to the session as a whole, such as the microphone's stream before it is cut into
/// utterances. An interruption raises the session's watermark, and whatever carries an epoch below it is stale: it is
/// dropped wherever it is found, and whoever still computes for it finds ``Turn/isCut`` set.
public final class Session: Sendable {
  /// Unique within a run, the same in every process.
  public let id: UInt64
  /// What the session is called, for example the stem of the audio file it came from. Outputs are named after it.
  public let name: String

  private let fence = Atomic<UInt32>(1)
  private let opened = Atomic<UInt32>(0)

  package init(id: UInt64, name: String) {
    self.id = id
    self.name = name
  }

  /// The lowest epoch that is still wanted.
  public var watermark: UInt32 { fence.load(ordering: .acquiring) }

  /// Raises the watermark; it never falls.
  ///
  /// - Returns: whether it rose.
  @discardableResult
  package func raiseWatermark(to epoch: UInt32) -> Bool {
    fence.max(epoch, ordering: .acquiringAndReleasing).oldValue < epoch
  }

  /// The next turn's epoch: one after the last, and never below the watermark.
  package func nextEpoch() -> UInt32 {
    var last = opened.load(ordering: .relaxed)
    while true {
      let next = Swift.max(last &+ 1, watermark)
      let (exchanged, original) = opened.compareExchange(
        expected: last, desired: next, ordering: .acquiringAndReleasing)
      if exchanged { return next }
      last = original
    }
  }

  /// Remembers that an epoch is taken, as a process does that joins a session under way.
  package func noteEpoch(_ epoch: UInt32) {
    opened.max(epoch, ordering: .relaxed)
  }
}

extension Session: Hashable {
  public static func == (a: Session, b: Session) -> Bool { a === b || a.id == b.id }
  public func hash(into hasher: inout Hasher) { hasher.combine(id) }
}

/// A turn of a session, or with epoch 0 the session as a whole.
public struct Turn: Hashable, Sendable, CustomStringConvertible {
  public let session: Session
  public let epoch: UInt32

  public init(_ session: Session, epoch: UInt32) {
    self.session = session
    self.epoch = epoch
  }

  /// Whether the turn was interrupted. Poll it wherever a second of compute could be saved: per LLM step, per encoder
  /// layer, per codec frame. It costs one atomic load.
  public var isCut: Bool { epoch != 0 && epoch < session.watermark }

  /// Leaves the current computation if the turn was interrupted.
  ///
  /// - Throws: ``TurnCut``, and nothing else.
  public func check() throws(TurnCut) {
    if isCut { throw TurnCut(turn: self) }
  }

  public var description: String { epoch == 0 ? session.name : "\(session.name)#\(epoch)" }
}

/// The turn that was being worked on has been interrupted. The runtime expects a node to catch it and go on with the
/// next message; a node that lets it escape from `run` has failed.
public struct TurnCut: Error, Sendable, CustomStringConvertible {
  public let turn: Turn
  public init(turn: Turn) { self.turn = turn }
  public var description: String { "turn \(turn) was interrupted" }
}
