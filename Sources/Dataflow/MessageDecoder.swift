/// Puts a message together again out of what came over the wire; every read is checked.
///
/// Fields and buffers are read where they lie, in any order between the two.
public struct MessageDecoder {
  /// A record of the wire: headers of buffers, fields, and buffers that lie inline.
  private let record: UnsafeRawBufferPointer
  private var header: Int
  private var field: Int
  private let fieldsEnd: Int
  private var inline: Int
  private var buffers: Int
  private let frames: [Frame]
  private var framesTaken = 0

  /// A buffer that came in a frame of its own.
  ///
  /// @unchecked: the bytes are never written, and `owner` keeps them alive.
  package struct Frame: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer
    let owner: AnyObject

    package init(bytes: UnsafeRawBufferPointer, owner: AnyObject) { (self.bytes, self.owner) = (bytes, owner) }
  }

  /// A buffer's header without its extents.
  package static let headerSize = 16
  package static let maximumRank = 8

  /// - Parameters:
  ///   - record: is read only while the decoder lives.
  ///   - headers: where the headers of so many `buffers` begin; they end where the fields begin at the latest.
  ///   - fields: where they lie.
  ///   - inline: where the buffers inline begin.
  ///   - frames: the buffers in frames of their own.
  package init(
    record: UnsafeRawBufferPointer, headers: Int, buffers: Int, fields: Range<Int>, inline: Int, frames: [Frame]
  ) {
    (self.record, self.buffers, self.inline) = (record, buffers, inline)
    (header, field, fieldsEnd) = (headers, fields.lowerBound, fields.upperBound)
    self.frames = frames
  }

  // MARK: Fields

  public mutating func take<I: FixedWidthInteger>(_: I.Type = I.self) throws(MessageCodingError) -> I {
    guard fieldsEnd - field >= MemoryLayout<I>.size else { throw MessageCodingError("the fields end too early") }
    defer { field += MemoryLayout<I>.size }
    return number(at: field)
  }

  public mutating func takeFloat() throws(MessageCodingError) -> Float { Float(bitPattern: try take()) }

  public mutating func takeString() throws(MessageCodingError) -> String {
    let length = Int(try take(UInt32.self))
    guard fieldsEnd - field >= length else { throw MessageCodingError("a text of \(length) bytes ends too early") }
    guard let text = String(validating: record[field..<field + length], as: UTF8.self) else {
      throw MessageCodingError("a text is not UTF-8")
    }
    field += length
    return text
  }

  // MARK: Buffers

  /// The next buffer, which must hold `E` and have `rank` dimensions.
  public mutating func takeBuffer<E: BufferElement>(
    of _: E.Type, rank: Int
  ) throws(MessageCodingError) -> (elements: SharedBuffer<E>, shape: [Int]) {
    let start = header
    let elements: SharedBuffer<E> = try takeElements(rank: rank)
    // They have been found to be sizes that there are.
    let shape = (0..<rank).map { Int(truncatingIfNeeded: extent($0, ofHeaderAt: start)) }
    return (elements, shape)
  }

  /// The next buffer, which must be a vector of `E`.
  public mutating func takeVector<E: BufferElement>(of _: E.Type) throws(MessageCodingError) -> SharedBuffer<E> {
    try takeElements(rank: 1)
  }

  private mutating func takeElements<E: BufferElement>(rank: Int) throws(MessageCodingError) -> SharedBuffer<E> {
    let length = try takeHeader(of: E.elementType, rank: rank)
    guard let length else {
      let frame = frames[framesTaken]
      framesTaken += 1
      guard let elements = SharedBuffer<E>(adopting: frame.bytes, owner: frame.owner) else {
        throw MessageCodingError("a payload frame of a size that its elements cannot have")
      }
      return elements
    }
    defer { inline += (length + 7) & ~7 }
    let bytes = UnsafeRawBufferPointer(rebasing: record[inline..<inline + length])
    return SharedBuffer<E>(copying: bytes)
  }

  /// - Returns: the length of a buffer that lies inline, all of which is there; nil for the next frame, which has the
  ///   length that the header says.
  private mutating func takeHeader(of type: ElementType, rank: Int) throws(MessageCodingError) -> Int? {
    guard buffers > 0 else { throw MessageCodingError("a buffer is missing") }
    guard record.count - header >= Self.headerSize else { throw MessageCodingError("a buffer's header is cut short") }
    let (code, found, place) = (record[header], Int(record[header + 1]), record[header + 2])
    guard let elementType = ElementType(rawValue: code) else { throw MessageCodingError("unknown element type") }
    guard found <= Self.maximumRank, place <= 1, record.count - header >= Self.headerSize + 8 * found else {
      throw MessageCodingError("a buffer of rank \(found)")
    }
    guard elementType == type, found == rank else {
      throw MessageCodingError("a buffer holds \(elementType) of rank \(found), not \(type) of rank \(rank)")
    }
    guard let length = Int(exactly: number(at: header + 8) as UInt64) else {
      throw MessageCodingError("a buffer is too long")
    }
    var size = type.stride
    for dimension in 0..<rank {
      guard let extent = Int(exactly: extent(dimension, ofHeaderAt: header)) else {
        throw MessageCodingError("a shape is too large")
      }
      let (product, overflow) = size.multipliedReportingOverflow(by: extent)
      guard !overflow else { throw MessageCodingError("a shape is too large") }
      size = product
    }
    guard size == length else { throw MessageCodingError("a buffer of \(length) bytes does not fit its shape") }
    header += Self.headerSize + 8 * rank
    buffers -= 1
    if place == 1 {
      guard framesTaken < frames.count else { throw MessageCodingError("a payload frame is missing") }
      let count = frames[framesTaken].bytes.count
      guard count == length else { throw MessageCodingError("a payload frame has \(count) bytes, not \(length)") }
      return nil
    }
    guard length <= record.count - inline, (length + 7) & ~7 <= record.count - inline else {
      throw MessageCodingError("the record ends within a buffer of \(length) bytes")
    }
    return length
  }

  private func extent(_ dimension: Int, ofHeaderAt header: Int) -> UInt64 {
    number(at: header + Self.headerSize + 8 * dimension)
  }

  @inline(__always)
  private func number<I: FixedWidthInteger>(at offset: Int) -> I {
    I(littleEndian: record.loadUnaligned(fromByteOffset: offset, as: I.self))
  }

  /// Nothing may be left over.
  @usableFromInline
  package func finish() throws(MessageCodingError) {
    guard field == fieldsEnd, buffers == 0, inline == record.count, framesTaken == frames.count else {
      throw MessageCodingError("there is more than the type defines")
    }
  }
}
