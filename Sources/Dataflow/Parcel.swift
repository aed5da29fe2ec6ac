/// What is delivered to a mailbox: an envelope, or values that came over the wire and are still written.
@usableFromInline package enum Parcel: Sendable {
  case envelope(Envelope)
  /// Apart, so that a parcel is no larger than a reference: most are envelopes.
  indirect case run(WrittenRun)

  /// Whether its turn was interrupted.
  package var isStale: Bool {
    switch self {
    case .envelope(let envelope): envelope.turn.isCut
    case .run(let run): run.turn.isCut
    }
  }

  /// How many values it holds.
  @usableFromInline package var values: Int {
    switch self {
    case .envelope(let envelope): envelope.isValue ? 1 : 0
    case .run(let run): run.count
    }
  }
}

/// Values of one turn that came behind each other in one message. Each is read when the node takes it, by the node's
/// thread, so that the wire's has little to do for each and memory is freed by whoever allocated it.
@usableFromInline package struct WrittenRun: Sendable {
  private let message: any WrittenMessage
  package let turn: Turn
  @usableFromInline package private(set) var count: Int
  private var place: Int

  /// - Parameter place: where the first one begins in the message's bytes.
  package init(_ message: any WrittenMessage, turn: Turn, place: Int, count: Int) {
    (self.message, self.turn, self.place, self.count) = (message, turn, place, count)
  }

  /// Takes the first one; there must be one.
  @usableFromInline package mutating func removeFirst() -> WrittenValue {
    defer {
      count -= 1
      place = message.end(ofRecordAt: place)
    }
    return WrittenValue(message, turn: turn, place: place)
  }

  /// Takes the first ones; there must be more than so many.
  package mutating func removeFirst(_ number: Int) -> WrittenRun {
    let first = WrittenRun(message, turn: turn, place: place, count: number)
    for _ in 0..<number { place = message.end(ofRecordAt: place) }
    count -= number
    return first
  }
}
