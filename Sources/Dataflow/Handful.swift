public import Synchronization

/// The next few values of a message from another process, laid out for the node: its input reads one after the other
/// without asking the mailbox for each.
///
/// Whoever lays them out may take back at any time what has not been read, as it must when a turn is interrupted.
@usableFromInline package final class Handful: Sendable {
  /// A record of a message.
  ///
  /// @unchecked: its bytes are never written.
  @usableFromInline package struct Record: @unchecked Sendable {
    let start: UnsafeRawPointer
    package init(start: UnsafeRawPointer) { self.start = start }
  }

  @usableFromInline package struct State {
    /// Where the next value's record begins; the bytes live until they are taken back.
    @usableFromInline var next: Record?
    @usableFromInline var left = 0
    var read = 0
    /// Of the records that have been read.
    var bytes = 0
    @usableFromInline var turn: Turn?
    @usableFromInline var ports: UInt64 = 0
    var lane = 0

    init() {}

    /// Opens the next value; there must be one.
    @usableFromInline
    mutating func open(_ record: Record) throws(MessageCodingError) -> (
      decoder: MessageDecoder, stamp: Stamp
    ) {
      // The reader has compared the lengths with what is there.
      let length = Int(UInt32(littleEndian: record.start.loadUnaligned(as: UInt32.self)))
      next = Record(start: record.start + length)
      left -= 1
      read += 1
      bytes += length
      return try RecordView(UnsafeRawBufferPointer(start: record.start, count: length)).open()
    }
  }
  /// Held while a value is read, which does not take long.
  @usableFromInline let state = Mutex(State())
  /// Whether it is worth locking.
  @usableFromInline let isLaid = Atomic<Bool>(false)

  package init() {}

  /// Lays out values that follow each other in a message.
  ///
  /// - Parameters:
  ///   - ports: what the node must be waiting on to get them.
  ///   - record: where the first one begins. The bytes must live until ``recall()``.
  package func lay(_ count: Int, from record: Record, turn: Turn, lane: Int, ports: UInt64) {
    state.withLock { state in
      (state.next, state.left, state.read, state.bytes) = (record, count, 0, 0)
      (state.turn, state.lane, state.ports) = (turn, lane, ports)
    }
    isLaid.store(true, ordering: .releasing)
  }

  /// Takes back what has not been read.
  ///
  /// - Returns: how many values have been, and the bytes of their records.
  package func recall() -> (values: Int, bytes: Int) {
    isLaid.store(false, ordering: .relaxed)
    return state.withLock { state in
      (state.next, state.left, state.turn) = (nil, 0, nil)
      return (state.read, state.bytes)
    }
  }

  /// The next value; nil where the mailbox must be asked.
  @inlinable
  package func read<Value: Message>(
    as _: Value.Type, on ports: UInt64
  ) throws(MessageCodingError) -> Received<Value>? {
    guard isLaid.load(ordering: .relaxed) else { return nil }
    let found = try state.withLockIfAvailable { (state) throws(MessageCodingError) -> Received<Value>? in
      guard state.left > 0, state.ports == ports, let record = state.next, let turn = state.turn else { return nil }
      var (decoder, stamp) = try state.open(record)
      let value = try Value(from: &decoder)
      try decoder.finish()
      return Received(value, turn: turn, stamp: stamp)
    }
    return found ?? nil
  }

  /// The lane of what was laid out last.
  @usableFromInline var lane: Int { state.withLock { $0.lane } }
}
