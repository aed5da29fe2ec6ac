package import Dataflow

/// Writes envelopes into one data message: a header, a record per envelope, and frames for large buffers.
package struct DataWriter {
  private var bytes = ByteWriter()
  private var encoder = MessageEncoder()
  private var records: UInt32 = 0
  /// Buffers that travel in frames of their own, in order.
  package private(set) var frames: [WireBuffer] = []

  package init() {}

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

  /// The message's first frame.
  package var head: [UInt8] { bytes.bytes }
  package var isEmpty: Bool { records == 0 }
  package var isFull: Bool {
    records >= WireFormat.batchRecords || bytes.bytes.count >= WireFormat.batchBytes || frames.count >= 16
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
    let start = bytes.bytes.count
    bytes.put(UInt32(0))
    bytes.put(content.rawValue)
    bytes.put(UInt8(encoder.buffers.count))
    bytes.put(UInt16(0))
    bytes.put(session)
    bytes.put(epoch)
    bytes.put(UInt32(encoder.fields.count))
    bytes.put(stamp.sequence)
    bytes.put(stamp.time)
    bytes.put(stamp.trace)
    bytes.put(schema)
    for buffer in encoder.buffers {
      let isInline = buffer.bytes.count <= WireFormat.inlineLimit
      bytes.put(buffer.elementType.rawValue)
      bytes.put(UInt8(buffer.shape.count))
      bytes.put(UInt8(isInline ? 0 : 1))
      bytes.put(raw: [0, 0, 0, 0, 0])
      bytes.put(UInt64(buffer.bytes.count))
      for extent in buffer.shape { bytes.put(UInt64(extent)) }
    }
    bytes.put(raw: encoder.fields)
    bytes.pad(to: 8)
    for buffer in encoder.buffers {
      if buffer.bytes.count <= WireFormat.inlineLimit {
        bytes.put(raw: buffer.bytes)
        bytes.pad(to: 8)
      } else {
        frames.append(buffer)
      }
    }
    bytes.overwrite(UInt32(bytes.bytes.count - start), at: start)
    records += 1
    bytes.overwrite(records, at: 12)
  }
}
