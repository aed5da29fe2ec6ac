package import Dataflow

/// What a record of a data message says.
package struct WireRecord {
  package var content: WireFormat.Content
  package var session: UInt64
  package var epoch: UInt32
  package var stamp: Stamp
  package var schema: UInt64
  /// A `sessionBegan`'s name.
  package var name = ""
  package var value: (any Message)?
}

/// The payload frames of a message, each shared with whoever keeps a part of it.
package protocol PayloadFrames {
  /// Whether all have been taken.
  var isEmpty: Bool { get }
  /// The next one; nil if there is none.
  mutating func takeNext() -> (bytes: UnsafeRawBufferPointer, owner: AnyObject)?
}

/// Reads a data message. Every length is checked against what is there before anything is made of it.
package struct DataReader {
  package let edge: UInt32
  package let incarnation: UInt64
  package let number: UInt64
  private var remaining: UInt32
  private var bytes: ByteReader

  /// - Parameter bytes: the message's first frame, behind the preamble.
  package init(afterPreamble bytes: ByteReader) throws(WireError) {
    self.bytes = bytes
    edge = try self.bytes.take()
    remaining = try self.bytes.take()
    incarnation = try self.bytes.take()
    number = try self.bytes.take()
    guard remaining <= WireFormat.maximumRecords else { throw WireError("\(remaining) records are too many") }
  }

  /// Reads one record of a message whose header, and whose records before it, have been read.
  init(oneRecordOf bytes: UnsafeRawBufferPointer, at place: Int) {
    (edge, incarnation, number, remaining) = (0, 0, 0, 1)
    self.bytes = ByteReader(bytes, at: place)
  }

  /// Values that follow each other and belong to one turn.
  package struct Run {
    package let session: UInt64
    package let epoch: UInt32
    /// Where the first one begins.
    let place: Int
    package fileprivate(set) var count: Int
  }

  /// Passes over values of one turn that come next, without reading more of them than what they are.
  ///
  /// - Returns: nil if something else comes next.
  package mutating func passRun(schema: UInt64) throws(WireError) -> Run? {
    var run: Run?
    while remaining > 0 {
      var next = bytes
      guard let header = try? next.takeBytes(WireFormat.recordHeaderSize),
        header[4] == WireFormat.Content.value.rawValue
      else { break }
      let (session, epoch) = (header.field(at: 8, as: UInt64.self), header.field(at: 16, as: UInt32.self))
      if let run, run.session != session || run.epoch != epoch { break }
      let length = Int(header.field(at: 0, as: UInt32.self))
      do throws(WireError) {
        guard length >= WireFormat.recordHeaderSize, length % 8 == 0 else {
          throw WireError("a record of \(length) bytes")
        }
        _ = try next.takeBytes(length - WireFormat.recordHeaderSize)
        guard header.field(at: 48, as: UInt64.self) == schema else { throw WireError("a value of another type") }
      } catch {
        // What came before it is sound.
        if run != nil { break }
        throw error
      }
      if run == nil { run = Run(session: session, epoch: epoch, place: bytes.offset, count: 0) }
      run?.count += 1
      bytes = next
      remaining -= 1
    }
    return run
  }

  /// - Parameter type: the type of the edge's values.
  package mutating func next(
    as type: any Message.Type, frames: inout some PayloadFrames
  ) throws(WireError) -> WireRecord? {
    guard remaining > 0 else {
      guard bytes.remaining == 0, frames.isEmpty else { throw WireError("there is more than was announced") }
      return nil
    }
    remaining -= 1
    let start = bytes.offset
    let header = try bytes.takeBytes(WireFormat.recordHeaderSize)
    let length = Int(header.field(at: 0, as: UInt32.self))
    guard let content = WireFormat.Content(rawValue: header[4]) else { throw WireError("unknown record") }
    let bufferCount = Int(header[5])
    let fieldsLength = Int(header.field(at: 20, as: UInt32.self))
    var record = WireRecord(
      content: content, session: header.field(at: 8), epoch: header.field(at: 16),
      stamp: Stamp(time: header.field(at: 32), trace: header.field(at: 40), sequence: header.field(at: 24)),
      schema: header.field(at: 48))
    guard bufferCount <= WireFormat.maximumBuffers, content == .value || bufferCount == 0 else {
      throw WireError("\(bufferCount) buffers in a record")
    }
    // Read twice, rather than kept: once to find what is behind them.
    var headers = bytes
    for _ in 0..<bufferCount { try BufferHeader.skip(&bytes) }
    let fields = try bytes.takeBytes(fieldsLength)
    try bytes.skip(to: 8)
    var buffers = WireBuffers()
    for _ in 0..<bufferCount { buffers.append(try buffer(BufferHeader(&headers), &frames)) }
    guard bytes.offset - start == length else { throw WireError("a record's length is not what it holds") }

    switch content {
    case .value: record.value = try Self.decode(type, fields, buffers)
    case .sessionBegan:
      var reader = ByteReader(fields)
      record.name = try reader.takeText()
    case .turnEnded, .sessionEnded, .closed: break
    }
    return record
  }

  private struct BufferHeader {
    let elementType: ElementType
    let isInline: Bool
    let length: Int
    let shape: WireBuffer.Shape

    static func skip(_ bytes: inout ByteReader) throws(WireError) {
      let start = try bytes.takeBytes(WireFormat.bufferHeaderSize)
      let rank = Int(start[1])
      guard rank <= WireFormat.maximumRank else { throw WireError("a buffer of rank \(rank)") }
      _ = try bytes.takeBytes(8 * rank)
    }

    init(_ bytes: inout ByteReader) throws(WireError) {
      guard let type = ElementType(rawValue: try bytes.take()) else { throw WireError("unknown element type") }
      elementType = type
      let rank = Int(try bytes.take(UInt8.self))
      let placement: UInt8 = try bytes.take()
      _ = try bytes.takeBytes(5)
      guard rank <= WireFormat.maximumRank, placement <= 1 else { throw WireError("a buffer of rank \(rank)") }
      isInline = placement == 0
      guard let length = Int(exactly: try bytes.take(UInt64.self)) else { throw WireError("a buffer is too long") }
      self.length = length
      var size = type.stride
      func extent(_ bytes: inout ByteReader) throws(WireError) -> Int {
        guard let extent = Int(exactly: try bytes.take(UInt64.self)) else { throw WireError("a shape is too large") }
        let (product, overflow) = size.multipliedReportingOverflow(by: extent)
        guard !overflow else { throw WireError("a shape is too large") }
        size = product
        return extent
      }
      if rank == 1 {
        shape = .vector(try extent(&bytes))
      } else {
        var extents: [Int] = []
        for _ in 0..<rank { extents.append(try extent(&bytes)) }
        shape = .array(extents)
      }
      guard size == length else {
        throw WireError("a buffer of \(length) bytes does not fit its shape \(shape.extents)")
      }
    }
  }

  private mutating func buffer(
    _ header: BufferHeader, _ frames: inout some PayloadFrames
  ) throws(WireError) -> WireBuffer {
    if header.isInline {
      let copy = SharedBuffer<UInt8>(try bytes.takeBytes(header.length)).memory
      try bytes.skip(to: 8)
      return WireBuffer(
        elementType: header.elementType, shape: header.shape, bytes: copy.bytes, owner: copy.owner)
    }
    guard let frame = frames.takeNext() else { throw WireError("a payload frame is missing") }
    guard frame.bytes.count == header.length else {
      throw WireError("a payload frame has \(frame.bytes.count) bytes, not \(header.length)")
    }
    return WireBuffer(elementType: header.elementType, shape: header.shape, bytes: frame.bytes, owner: frame.owner)
  }

  private static func decode(
    _ type: any Message.Type, _ fields: UnsafeRawBufferPointer, _ buffers: WireBuffers
  ) throws(WireError) -> any Message {
    do {
      var decoder = MessageDecoder(fields: fields, buffers: buffers)
      let value = try type.init(from: &decoder)
      try decoder.finish()
      return value
    } catch {
      throw WireError("a value of type \(type.typeName): \(error)")
    }
  }
}

extension UnsafeRawBufferPointer {
  /// A number of a header whose size has been checked.
  @inline(__always)
  fileprivate func field<I: FixedWidthInteger>(at offset: Int, as _: I.Type = I.self) -> I {
    I(littleEndian: loadUnaligned(fromByteOffset: offset, as: I.self))
  }
}
