package import Dataflow

/// A data message whose values are read one by one as they are taken. All of it is in its first frame.
///
/// @unchecked: the bytes are never written, and `owner` keeps them alive.
package final class WireMessage: WrittenMessage, @unchecked Sendable {
  package let type: any Message.Type
  package let lane: Int
  private let bytes: UnsafeRawBufferPointer
  private let owner: AnyObject

  /// - Parameters:
  ///   - bytes: the first frame.
  ///   - type: of the values.
  package init(_ bytes: UnsafeRawBufferPointer, owner: AnyObject, type: any Message.Type, lane: Int) {
    (self.bytes, self.owner, self.type, self.lane) = (bytes, owner, type, lane)
  }

  /// Where the record ends that begins at a place. The reader has compared its length with what is there.
  package func end(ofRecordAt place: Int) -> Int {
    place + Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt32.self)))
  }

  package func open(at place: Int) throws(MessageCodingError) -> (decoder: MessageDecoder, stamp: Stamp) {
    do throws(WireError) {
      let record = try RecordView(UnsafeRawBufferPointer(rebasing: bytes[place..<end(ofRecordAt: place)]))
      guard record.content == .value else { throw WireError("a mark where a value was") }
      var frames = NoFrames()
      return (try record.decoder(&frames), record.stamp)
    } catch {
      throw MessageCodingError(error.description)
    }
  }
}

private struct NoFrames: PayloadFrames {
  var isEmpty: Bool { true }
  func takeNext() -> (bytes: UnsafeRawBufferPointer, owner: AnyObject)? { nil }
}
