package import Dataflow

/// Writes envelopes for one edge, batch by batch: a record per envelope, and frames for large buffers.
package struct DataWriter: ~Copyable {
  private var bytes = ByteWriter()
  private var encoder = MessageEncoder()
  private var frames: [WireBuffer] = []
  private var records = 0
  private var runs: [OutboundBatch.Run] = []
  /// What the last run's turn is, for comparing alone.
  private var current: (session: ObjectIdentifier?, epoch: UInt32) = (nil, 0)
  /// Values of the last run that have not been added to it.
  private var more = 0
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
    endRun()
    let end = place
    let batch = OutboundBatch(block: bytes.takeBlock(), end: end, frames: frames, runs: runs, values: values)
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
    beginRun(turn)
    append(.value, turn.session.id, turn.epoch, stamp, schema)
    values += 1
    more += 1
  }

  private mutating func appendMark(_ content: WireFormat.Content, _ envelope: Envelope, _ schema: UInt64) {
    if content == .sessionBegan { encoder.put(envelope.turn.session.name) }
    beginRun(envelope.turn)
    append(content, envelope.turn.session.id, envelope.turn.epoch, envelope.stamp, schema)
    if content == .sessionEnded, let last = runs.indices.last { runs[last].endsSession = true }
  }

  /// The edge's last record.
  package mutating func appendClosed() {
    beginRun(nil)
    append(.closed, 0, 0, Stamp(), 0)
  }

  private var place: OutboundBatch.Place {
    OutboundBatch.Place(bytes: bytes.count, frames: frames.count, records: records)
  }

  /// What is written next belongs to a turn.
  @inline(__always)
  private mutating func beginRun(_ turn: Turn?) {
    let (session, epoch) = (turn.map { ObjectIdentifier($0.session) }, turn?.epoch ?? 0)
    if current.session == session, current.epoch == epoch, !runs.isEmpty { return }
    endRun()
    current = (session, epoch)
    runs.append(OutboundBatch.Run(turn: turn, values: 0, end: place))
  }

  /// Nothing more is written of the last run.
  private mutating func endRun() {
    guard let last = runs.indices.last else { return }
    runs[last].values += more
    runs[last].end = place
    more = 0
  }

  private mutating func append(
    _ content: WireFormat.Content, _ session: UInt64, _ epoch: UInt32, _ stamp: Stamp, _ schema: UInt64
  ) {
    let (count, fields) = (encoder.buffers.count, encoder.fields.count)
    var (headers, inline) = (WireFormat.recordHeaderSize, 0)
    for index in 0..<count {
      let length = encoder.buffers[index].bytes.count
      headers += WireFormat.bufferHeaderSize + 8 * encoder.buffers[index].shape.rank
      if length <= inlineLimit { inline += Self.padded(length) }
    }
    let size = Self.padded(headers + fields) + inline
    let record = bytes.extend(by: size)
    record.put(UInt32(size), at: 0)
    record.put(content.rawValue, at: 4)
    record.put(UInt8(count), at: 5)
    record.put(UInt16(0), at: 6)
    record.put(session, at: 8)
    record.put(epoch, at: 16)
    record.put(UInt32(fields), at: 20)
    record.put(stamp.sequence, at: 24)
    record.put(stamp.time, at: 32)
    record.put(stamp.trace, at: 40)
    record.put(schema, at: 48)
    if fields > 0 {
      // Padded with zeros.
      record.put(UInt64(0), at: Self.padded(headers + fields) - 8)
      encoder.fields.withUnsafeBytes { (record + headers).copyBytes(of: $0) }
    }
    var (header, place) = (record + WireFormat.recordHeaderSize, record + size - inline)
    for index in 0..<count {
      let (rank, length) = (encoder.buffers[index].shape.rank, encoder.buffers[index].bytes.count)
      header.put(UInt64(0), at: 0)
      header.put(encoder.buffers[index].elementType.rawValue, at: 0)
      header.put(UInt8(rank), at: 1)
      header.put(UInt8(length <= inlineLimit ? 0 : 1), at: 2)
      header.put(UInt64(length), at: 8)
      header += WireFormat.bufferHeaderSize
      for dimension in 0..<rank {
        header.put(UInt64(encoder.buffers[index].shape[dimension]), at: 0)
        header += 8
      }
      if length > inlineLimit {
        frames.append(encoder.buffers[index])
      } else if length > 0 {
        place.put(UInt64(0), at: Self.padded(length) - 8)
        place.copyBytes(of: encoder.buffers[index].bytes)
        place += Self.padded(length)
      }
    }
    // What it refers to is not to be kept longer than it waits.
    encoder.reset()
    records += 1
  }

  /// A length with what makes it a multiple of 8.
  @inline(__always)
  private static func padded(_ length: Int) -> Int { (length + 7) & ~7 }
}

extension UnsafeMutableRawPointer {
  @inline(__always)
  func copyBytes(of source: UnsafeRawBufferPointer) {
    if let start = source.baseAddress { copyMemory(from: start, byteCount: source.count) }
  }

  @inline(__always)
  func put<I: FixedWidthInteger>(_ value: I, at offset: Int) {
    storeBytes(of: value.littleEndian, toByteOffset: offset, as: I.self)
  }
}
