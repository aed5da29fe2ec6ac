/// One record of a data message, in the message's memory (`docs/wire-format.md`).
package struct RecordView {
  /// Before the headers of buffers.
  package static let headerSize = 56

  private let bytes: UnsafeRawBufferPointer
  private let bufferCount: Int

  /// - Parameter bytes: all of the record.
  package init(_ bytes: UnsafeRawBufferPointer) throws(MessageCodingError) {
    guard bytes.count >= Self.headerSize, bytes.count % 8 == 0 else {
      throw MessageCodingError("a record of \(bytes.count) bytes")
    }
    self.bytes = bytes
    bufferCount = Int(bytes[5])
    guard bufferCount <= Self.maximumBuffers, content == 0 || bufferCount == 0 else {
      throw MessageCodingError("\(bufferCount) buffers in a record")
    }
  }

  package static let maximumBuffers = 64

  /// What the record is: 0 for a value; the wire knows the others.
  package var content: UInt8 { bytes[4] }
  package var session: UInt64 { bytes.number(at: 8) }
  package var epoch: UInt32 { bytes.number(at: 16) }
  package var stamp: Stamp {
    Stamp(time: bytes.number(at: 32), trace: bytes.number(at: 40), sequence: bytes.number(at: 24))
  }
  package var schema: UInt64 { bytes.number(at: 48) }

  /// Where the headers of the buffers end and the fields begin, and how many buffers have frames of their own.
  package func layOut() throws(MessageCodingError) -> (fields: Int, frames: Int) {
    var (header, frames) = (Self.headerSize, 0)
    for _ in 0..<bufferCount {
      guard header + MessageDecoder.headerSize <= bytes.count else {
        throw MessageCodingError("a buffer's header is missing")
      }
      let (rank, place) = (Int(bytes[header + 1]), bytes[header + 2])
      guard rank <= MessageDecoder.maximumRank, place <= 1 else { throw MessageCodingError("a buffer of rank \(rank)") }
      frames += Int(place)
      header += MessageDecoder.headerSize + 8 * rank
    }
    return (header, frames)
  }

  /// What reads the value.
  ///
  /// - Parameters:
  ///   - start: where the fields begin.
  ///   - frames: the record's own.
  package func decoder(
    fieldsAt start: Int, frames: [MessageDecoder.Frame] = []
  ) throws(MessageCodingError) -> MessageDecoder {
    let fields = try fields(from: start)
    return MessageDecoder(
      record: bytes, headers: Self.headerSize, buffers: bufferCount, fields: fields,
      inline: (fields.upperBound + 7) & ~7, frames: frames)
  }

  /// What reads a value all of whose buffers lie inline, and its stamp.
  package func open() throws(MessageCodingError) -> (decoder: MessageDecoder, stamp: Stamp) {
    guard content == 0 else { throw MessageCodingError("a mark where a value was") }
    return (try decoder(fieldsAt: layOut().fields), stamp)
  }

  /// The fields of a mark, which holds nothing else.
  package func markFields() throws(MessageCodingError) -> UnsafeRawBufferPointer {
    let fields = try fields(from: Self.headerSize)
    guard (fields.upperBound + 7) & ~7 == bytes.count else {
      throw MessageCodingError("a record's length is not what it holds")
    }
    return UnsafeRawBufferPointer(rebasing: bytes[fields])
  }

  @inline(__always)
  private func fields(from start: Int) throws(MessageCodingError) -> Range<Int> {
    let length = Int(bytes.number(at: 20) as UInt32)
    guard start <= bytes.count, length <= bytes.count - start else {
      throw MessageCodingError("the fields are cut short")
    }
    return start..<start + length
  }
}

extension UnsafeRawBufferPointer {
  /// A number of a header whose size has been checked.
  @inlinable @inline(__always)
  package func number<I: FixedWidthInteger>(at offset: Int) -> I {
    I(littleEndian: loadUnaligned(fromByteOffset: offset, as: I.self))
  }
}
