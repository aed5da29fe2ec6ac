package import Dataflow
import ZeroMQ

/// Writes envelopes into one data message: a header, a record per envelope, and frames for large buffers.
package struct DataWriter: ~Copyable {
  private var bytes = ByteWriter()
  private var encoder = MessageEncoder()
  private var records: UInt32 = 0
  /// Buffers that travel in frames of their own, in order.
  package private(set) var frames: [WireBuffer] = []

  /// Buffers of at most so many bytes travel in the record itself.
  private let inlineLimit: Int

  package init(inlineLimit: Int = WireFormat.inlineLimit) { self.inlineLimit = inlineLimit }

  /// Starts an empty message.
  ///
  /// - Parameter number: counts the messages of the edge, so that the receiver sees a gap.
  package mutating func begin(edge: UInt32, incarnation: UInt64, number: UInt64) {
    bytes.reset()
    frames.removeAll(keepingCapacity: true)
    records = 0
    bytes.preamble(.data)
    bytes.put(edge)
    bytes.put(UInt32(0))
    bytes.put(incarnation)
    bytes.put(number)
  }

  /// The bytes of the message's first frame.
  package var head: [UInt8] { bytes.bytes }

  /// The message's first frame; the writer starts anew. A long one is handed over as it is.
  mutating func takeHead() throws(ZeroMQError) -> Frame {
    if bytes.count <= 2048 { return try Frame(copying: bytes.written) }
    let (block, count) = bytes.takeBlock()
    return try Frame(retaining: block, bytes: UnsafeRawBufferPointer(start: block.start, count: count))
  }

  package var isEmpty: Bool { records == 0 }

  /// How many records like those before may be added until the message is full; at least one.
  package var room: Int {
    if records == 0 || !frames.isEmpty { return 1 }
    let average = max(1, bytes.count / Int(records))
    return max(1, min(WireFormat.batchRecords - Int(records), (WireFormat.batchBytes - bytes.count) / average))
  }
  package var isFull: Bool {
    records >= WireFormat.batchRecords || bytes.count >= WireFormat.batchBytes || frames.count >= WireFormat.batchFrames
  }

  package mutating func append(_ envelope: Envelope, schema: UInt64) {
    encoder.reset()
    let content: WireFormat.Content
    switch envelope.content {
    case .value(let value):
      content = .value
      value.encode(into: &encoder)
    case .turnEnded: content = .turnEnded
    case .sessionEnded: content = .sessionEnded
    case .sessionBegan:
      content = .sessionBegan
      encoder.put(envelope.turn.session.name)
    }
    append(content, envelope.turn.session.id, envelope.turn.epoch, envelope.stamp, schema)
  }

  /// The edge's last record.
  package mutating func appendClosed() {
    encoder.reset()
    append(.closed, 0, 0, Stamp(), 0)
  }

  private mutating func append(
    _ content: WireFormat.Content, _ session: UInt64, _ epoch: UInt32, _ stamp: Stamp, _ schema: UInt64
  ) {
    let start = bytes.count
    let header = bytes.extend(by: WireFormat.recordHeaderSize)
    header.put(UInt32(0), at: 0)  // the length, once it is known
    header.put(content.rawValue, at: 4)
    header.put(UInt8(encoder.buffers.count), at: 5)
    header.put(UInt16(0), at: 6)
    header.put(session, at: 8)
    header.put(epoch, at: 16)
    header.put(UInt32(encoder.fields.count), at: 20)
    header.put(stamp.sequence, at: 24)
    header.put(stamp.time, at: 32)
    header.put(stamp.trace, at: 40)
    header.put(schema, at: 48)
    for buffer in encoder.buffers {
      let header = bytes.extend(by: WireFormat.bufferHeaderSize + 8 * buffer.shape.rank)
      header.put(UInt64(0), at: 0)
      header.put(buffer.elementType.rawValue, at: 0)
      header.put(UInt8(buffer.shape.rank), at: 1)
      header.put(UInt8((buffer.bytes.count <= inlineLimit) ? 0 : 1), at: 2)
      header.put(UInt64(buffer.bytes.count), at: 8)
      for dimension in 0..<buffer.shape.rank {
        header.put(UInt64(buffer.shape[dimension]), at: WireFormat.bufferHeaderSize + 8 * dimension)
      }
    }
    bytes.put(raw: encoder.fields)
    bytes.pad(to: 8)
    for buffer in encoder.buffers {
      if buffer.bytes.count <= inlineLimit {
        bytes.put(raw: buffer.bytes)
        bytes.pad(to: 8)
      } else {
        frames.append(buffer)
      }
    }
    bytes.overwrite(UInt32(bytes.count - start), at: start)
    records += 1
    bytes.overwrite(records, at: 12)
  }
}

extension UnsafeMutableRawPointer {
  @inline(__always)
  fileprivate func put<I: FixedWidthInteger>(_ value: I, at offset: Int) {
    storeBytes(of: value.littleEndian, toByteOffset: offset, as: I.self)
  }
}
