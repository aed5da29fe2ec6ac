package import Dataflow

/// Writes envelopes for one edge, batch by batch: a record per envelope, and frames for large buffers.
package struct DataWriter: ~Copyable {
  private var bytes = ByteWriter()
  private var encoder = MessageEncoder()
  private var frames: [WireBuffer] = []
  private var records = 0
  private var runs: [OutboundBatch.Run] = []
  /// Values written since the batch began.
  package private(set) var values = 0

  /// Buffers of at most so many bytes travel in the record itself.
  private let inlineLimit: Int

  package init(inlineLimit: Int = WireFormat.inlineLimit) {
    self.inlineLimit = inlineLimit
    begin()
  }

  /// The header is written when the batch is sent.
  private mutating func begin() { bytes.leaveOut(WireFormat.dataHeaderSize) }

  package var isEmpty: Bool { records == 0 }

  package var isFull: Bool {
    records >= WireFormat.batchRecords || bytes.count >= WireFormat.batchBytes || frames.count >= WireFormat.batchFrames
  }

  /// Gives up what was written, and starts anew.
  package mutating func takeBatch() -> OutboundBatch {
    let (block, count) = bytes.takeBlock()
    let batch = OutboundBatch(
      block: block, end: OutboundBatch.Place(bytes: count, frames: frames.count, records: records), frames: frames,
      runs: runs, values: values)
    begin()
    // What follows most often looks like what was before.
    let capacity = runs.count
    (runs, records, values) = ([], 0, 0)
    runs.reserveCapacity(capacity)
    if !frames.isEmpty { frames = [] }
    return batch
  }

  package mutating func append(_ envelope: Envelope, schema: UInt64) {
    switch envelope.content {
    case .value(let value): append(value, envelope.turn, envelope.stamp, schema: schema)
    case .turnEnded: appendMark(.turnEnded, envelope, schema)
    case .sessionEnded: appendMark(.sessionEnded, envelope, schema)
    case .sessionBegan: appendMark(.sessionBegan, envelope, schema)
    }
  }

  package mutating func append(_ value: any Message, _ turn: Turn, _ stamp: Stamp, schema: UInt64) {
    value.encode(into: &encoder)
    append(.value, turn.session.id, turn.epoch, stamp, schema)
    values += 1
    note(turn, values: 1)
  }

  private mutating func appendMark(_ content: WireFormat.Content, _ envelope: Envelope, _ schema: UInt64) {
    if content == .sessionBegan { encoder.put(envelope.turn.session.name) }
    append(content, envelope.turn.session.id, envelope.turn.epoch, envelope.stamp, schema)
    note(envelope.turn, values: 0)
    if content == .sessionEnded, let last = runs.indices.last { runs[last].endsSession = true }
  }

  /// The edge's last record.
  package mutating func appendClosed() {
    append(.closed, 0, 0, Stamp(), 0)
    note(nil, values: 0)
  }

  /// Notes whose record the last one is.
  private mutating func note(_ turn: Turn?, values: Int) {
    let end = OutboundBatch.Place(bytes: bytes.count, frames: frames.count, records: records)
    if let last = runs.indices.last, runs[last].turn == turn {
      runs[last].values += values
      runs[last].end = end
    } else {
      runs.append(OutboundBatch.Run(turn: turn, values: values, end: end))
    }
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
    for index in encoder.buffers.indices {
      let (rank, length) = (encoder.buffers[index].shape.rank, encoder.buffers[index].bytes.count)
      let header = bytes.extend(by: WireFormat.bufferHeaderSize + 8 * rank)
      header.put(UInt64(0), at: 0)
      header.put(encoder.buffers[index].elementType.rawValue, at: 0)
      header.put(UInt8(rank), at: 1)
      header.put(UInt8(length <= inlineLimit ? 0 : 1), at: 2)
      header.put(UInt64(length), at: 8)
      for dimension in 0..<rank {
        header.put(
          UInt64(encoder.buffers[index].shape[dimension]), at: WireFormat.bufferHeaderSize + 8 * dimension)
      }
    }
    bytes.put(raw: encoder.fields)
    bytes.pad(to: 8)
    for index in encoder.buffers.indices {
      if encoder.buffers[index].bytes.count <= inlineLimit {
        bytes.put(raw: encoder.buffers[index].bytes)
        bytes.pad(to: 8)
      } else {
        frames.append(encoder.buffers[index])
      }
    }
    // What it refers to is not to be kept longer than it waits.
    encoder.reset()
    bytes.overwrite(UInt32(bytes.count - start), at: start)
    records += 1
  }
}

extension UnsafeMutableRawPointer {
  @inline(__always)
  func put<I: FixedWidthInteger>(_ value: I, at offset: Int) {
    storeBytes(of: value.littleEndian, toByteOffset: offset, as: I.self)
  }
}
