import Dataflow

/// One record of a data message, in the message's memory.
struct RecordView {
  private let bytes: UnsafeRawBufferPointer
  let content: WireFormat.Content
  private let bufferCount: Int

  /// - Parameter bytes: all of the record.
  init(_ bytes: UnsafeRawBufferPointer) throws(WireError) {
    guard bytes.count >= WireFormat.recordHeaderSize, bytes.count % 8 == 0 else {
      throw WireError("a record of \(bytes.count) bytes")
    }
    guard let content = WireFormat.Content(rawValue: bytes[4]) else { throw WireError("unknown record") }
    self.bytes = bytes
    self.content = content
    bufferCount = Int(bytes[5])
    guard bufferCount <= WireFormat.maximumBuffers, content == .value || bufferCount == 0 else {
      throw WireError("\(bufferCount) buffers in a record")
    }
  }

  var session: UInt64 { bytes.number(at: 8) }
  var epoch: UInt32 { bytes.number(at: 16) }
  var stamp: Stamp {
    Stamp(time: bytes.number(at: 32), trace: bytes.number(at: 40), sequence: bytes.number(at: 24))
  }
  var schema: UInt64 { bytes.number(at: 48) }

  /// What reads the value.
  ///
  /// - Parameter frames: of the message; those that are this record's are taken.
  func decoder(_ frames: inout some PayloadFrames) throws(WireError) -> MessageDecoder {
    var header = WireFormat.recordHeaderSize
    var own: [MessageDecoder.Frame] = []
    for _ in 0..<bufferCount {
      guard header + WireFormat.bufferHeaderSize <= bytes.count else { throw WireError("a buffer's header is missing") }
      let (rank, place) = (Int(bytes[header + 1]), bytes[header + 2])
      guard rank <= WireFormat.maximumRank, place <= 1 else { throw WireError("a buffer of rank \(rank)") }
      if place == 1 {
        guard let frame = frames.takeNext() else { throw WireError("a payload frame is missing") }
        own.append(MessageDecoder.Frame(bytes: frame.bytes, owner: frame.owner))
      }
      header += WireFormat.bufferHeaderSize + 8 * rank
    }
    let fields = try fields(from: header)
    return MessageDecoder(
      record: bytes, headers: WireFormat.recordHeaderSize, buffers: bufferCount, fields: fields,
      inline: (fields.upperBound + 7) & ~7, frames: own)
  }

  /// The name in a `sessionBegan`; empty for other marks, which hold nothing.
  func name() throws(WireError) -> String {
    let fields = try fields(from: WireFormat.recordHeaderSize)
    guard (fields.upperBound + 7) & ~7 == bytes.count else {
      throw WireError("a record's length is not what it holds")
    }
    guard content == .sessionBegan else { return "" }
    var reader = ByteReader(UnsafeRawBufferPointer(rebasing: bytes[fields]))
    return try reader.takeText()
  }

  private func fields(from start: Int) throws(WireError) -> Range<Int> {
    let length = Int(bytes.number(at: 20) as UInt32)
    guard start <= bytes.count, length <= bytes.count - start else { throw WireError("the fields are cut short") }
    return start..<start + length
  }
}

extension UnsafeRawBufferPointer {
  /// A number of a header whose size has been checked.
  @inline(__always)
  func number<I: FixedWidthInteger>(at offset: Int) -> I {
    I(littleEndian: loadUnaligned(fromByteOffset: offset, as: I.self))
  }
}
