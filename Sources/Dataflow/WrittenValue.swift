/// A value that the node has taken and that is still as it came over the wire. Its input reads it, for that knows the
/// type, and on the node's own thread.
@usableFromInline package struct WrittenValue: Sendable {
  @usableFromInline package let message: any WrittenMessage
  @usableFromInline package let turn: Turn
  /// Where it stands in the message.
  @usableFromInline package let place: Int

  package init(_ message: any WrittenMessage, turn: Turn, place: Int) {
    (self.message, self.turn, self.place) = (message, turn, place)
  }

  @inlinable
  package func read<Value: Message>(as _: Value.Type) throws(MessageCodingError) -> Received<Value> {
    var (decoder, stamp) = try message.open(at: place)
    let value = try Value(from: &decoder)
    try decoder.finish()
    return Received(value, turn: turn, stamp: stamp)
  }

  /// Nil if the value cannot be read.
  package var sequence: UInt64? { (try? message.open(at: place))?.stamp.sequence }

  /// For whoever does not know the type.
  package func envelope() throws(MessageCodingError) -> Envelope {
    func read<Value: Message>(as type: Value.Type) throws(MessageCodingError) -> Envelope {
      let received = try self.read(as: type)
      return Envelope(.value(received.value), turn: turn, stamp: received.stamp)
    }
    return try read(as: message.type)
  }
}

/// A message from another process whose values are read one by one as they are taken.
@usableFromInline package protocol WrittenMessage: AnyObject, Sendable {
  /// The type of its values.
  var type: any Message.Type { get }
  /// Where it came in, among the lanes of the node's mailbox.
  var lane: Int { get }
  /// Where the value ends that begins at a place.
  func end(ofRecordAt place: Int) -> Int
  /// Opens the value that stands at a place, which must be one.
  func open(at place: Int) throws(MessageCodingError) -> (decoder: MessageDecoder, stamp: Stamp)
}
