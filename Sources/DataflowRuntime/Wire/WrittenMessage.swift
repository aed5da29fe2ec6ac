import Dataflow
import ZeroMQ

/// A data message whose values are read one by one as they are taken. All of it is in its first frame.
final class WrittenMessage: Sendable {
  private let frame: FrameStorage
  private let type: any Message.Type

  /// - Parameter type: of the values.
  init(_ frame: FrameStorage, type: any Message.Type) { (self.frame, self.type) = (frame, type) }

  /// Where the record ends that begins at a place. The reader has compared its length with what is there.
  func end(ofRecordAt place: Int) -> Int {
    place + Int(UInt32(littleEndian: frame.bytes.loadUnaligned(fromByteOffset: place, as: UInt32.self)))
  }

  func value(at place: Int, of turn: Turn) throws(WireError) -> Envelope {
    var reader = DataReader(oneRecordOf: frame.bytes, at: place)
    var frames = NoFrames()
    guard let record = try reader.next(as: type, frames: &frames), let value = record.value else {
      throw WireError("a value is missing")
    }
    return Envelope(.value(value), turn: turn, stamp: record.stamp)
  }
}

private struct NoFrames: PayloadFrames {
  var isEmpty: Bool { true }
  func takeNext() -> (bytes: UnsafeRawBufferPointer, owner: AnyObject)? { nil }
}
