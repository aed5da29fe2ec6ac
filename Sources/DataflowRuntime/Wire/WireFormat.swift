/// Constants of the wire format, which `docs/wire-format.md` describes byte by byte.
package enum WireFormat {
  /// Peers with another major version are refused; a minor version only adds what older peers may ignore.
  package static let major: UInt8 = 1
  package static let minor: UInt8 = 0
  static let magic: [UInt8] = Array("APHN".utf8)

  static let preambleSize = 8
  /// With the preamble.
  static let dataHeaderSize = 32
  static let recordHeaderSize = 56
  static let bufferHeaderSize = 16

  /// Larger buffers travel in frames of their own, without a copy; for smaller ones a frame costs more than a copy.
  package static let inlineLimit = 8 << 10
  /// A batch is sent when it holds this many records, bytes or frames of buffers.
  static let batchRecords = 1024
  static let batchBytes = 64 << 10
  static let batchFrames = 16

  // What a reader accepts; beyond it a message is malformed.
  static let maximumRank = 8
  static let maximumBuffers = 64
  static let maximumRecords = 4096
  static let maximumText = 4096
  /// Frames of a message: routing id, first frame, what was there before the batch was full, and the last record's
  /// buffers.
  package static let maximumFrames = 2 + (batchFrames - 1) + maximumBuffers
  /// Bytes of one frame.
  package static let maximumFrame: Int64 = 1 << 30

  /// What a message is.
  package enum Kind: UInt8, CaseIterable {
    case hello = 1
    case welcome = 2
    case refuse = 3
    case data = 4
    case credit = 5
    /// The receiver does not know the sender: say hello.
    case whoIsThere = 6
    case join = 16
    case accept = 17
    case event = 18
    case command = 19
    case alive = 20
  }

  /// What a record of a data message is.
  package enum Content: UInt8 {
    case value = 0
    case turnEnded = 1
    case sessionBegan = 2
    case sessionEnded = 3
    case closed = 4
  }
}

/// Bytes from the wire that are not what the format says.
package struct WireError: Error, Sendable, Equatable, CustomStringConvertible {
  package let description: String
  init(_ description: String) { self.description = description }
}

/// Appends little-endian values.
package struct ByteWriter: ~Copyable {
  private var block = ByteBlock(capacity: 512)
  package private(set) var count = 0

  package init() {}

  /// A copy of what was written.
  package var bytes: [UInt8] { [UInt8](written) }

  /// What was written, valid until more is.
  var written: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: block.start, count: count) }

  /// Gives up what was written, and starts anew, with room for about as much.
  mutating func takeBlock() -> (block: ByteBlock, count: Int) {
    let capacity = max(512, count < block.capacity / 4 ? block.capacity / 2 : block.capacity)
    defer { (block, count) = (ByteBlock(capacity: capacity), 0) }
    return (block, count)
  }

  /// Leaves room for bytes that are written later.
  mutating func leaveOut(_ size: Int) { _ = extend(by: size) }

  /// Room for `size` more bytes, which the caller must fill.
  @inline(__always)
  mutating func extend(by size: Int) -> UnsafeMutableRawPointer {
    if count + size > block.capacity { grow(by: size) }
    defer { count += size }
    return block.start + count
  }

  private mutating func grow(by size: Int) {
    let larger = ByteBlock(capacity: max(count + size, block.capacity * 2))
    larger.start.copyMemory(from: block.start, byteCount: count)
    block = larger
  }

  mutating func put<I: FixedWidthInteger>(_ value: I) {
    extend(by: MemoryLayout<I>.size).storeBytes(of: value.littleEndian, as: I.self)
  }

  /// UTF-8, its length in bytes before it as 32 bits.
  mutating func put(_ text: String) {
    put(UInt32(text.utf8.count))
    put(raw: Array(text.utf8))
  }

  mutating func put(raw: UnsafeRawBufferPointer) {
    guard let source = raw.baseAddress, raw.count > 0 else { return }
    extend(by: raw.count).copyMemory(from: source, byteCount: raw.count)
  }

  mutating func put(raw: [UInt8]) {
    if !raw.isEmpty { raw.withUnsafeBytes { put(raw: $0) } }
  }

  /// - Parameter alignment: a power of two.
  @inline(__always)
  mutating func pad(to alignment: Int) {
    let missing = -count & (alignment - 1)
    if missing > 0 { extend(by: missing).initializeMemory(as: UInt8.self, repeating: 0, count: missing) }
  }

  mutating func overwrite(_ value: UInt32, at offset: Int) {
    guard offset >= 0, offset + 4 <= count else { return }
    (block.start + offset).storeBytes(of: value.littleEndian, as: UInt32.self)
  }

  package mutating func preamble(_ kind: WireFormat.Kind) {
    put(raw: WireFormat.magic)
    put(WireFormat.major)
    put(WireFormat.minor)
    put(kind.rawValue)
    put(UInt8(0))
  }
}

/// Memory that a ``ByteWriter`` fills and a socket may then read.
///
/// @unchecked: one writer at a time owns it, and it is not written any more once it has been given up.
final class ByteBlock: @unchecked Sendable {
  let start: UnsafeMutableRawPointer
  let capacity: Int

  init(capacity: Int) {
    self.capacity = capacity
    start = .allocate(byteCount: capacity, alignment: 16)
  }

  deinit { start.deallocate() }
}

/// Takes little-endian values off; every read is checked.
package struct ByteReader {
  let bytes: UnsafeRawBufferPointer
  private(set) var offset = 0

  package init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  /// Begins at an offset that lies within the bytes.
  init(_ bytes: UnsafeRawBufferPointer, at offset: Int) { (self.bytes, self.offset) = (bytes, offset) }

  var remaining: Int { bytes.count - offset }

  mutating func take<I: FixedWidthInteger>(_: I.Type = I.self) throws(WireError) -> I {
    let value = bytes.loadUnaligned(
      fromByteOffset: try advance(by: MemoryLayout<I>.size, "a number"), as: I.self)
    return I(littleEndian: value)
  }

  mutating func takeText(limit: Int = WireFormat.maximumText) throws(WireError) -> String {
    let length = Int(try take(UInt32.self))
    guard length <= limit else { throw WireError("a text of \(length) bytes is too long") }
    let start = try advance(by: length, "a text")
    guard let text = String(validating: bytes[start..<start + length], as: UTF8.self) else {
      throw WireError("a text is not UTF-8")
    }
    return text
  }

  mutating func takeBytes(_ count: Int) throws(WireError) -> UnsafeRawBufferPointer {
    let start = try advance(by: count, "an array")
    return UnsafeRawBufferPointer(rebasing: bytes[start..<start + count])
  }

  mutating func skip(to alignment: Int) throws(WireError) {
    _ = try advance(by: (alignment - offset % alignment) % alignment, "padding")
  }

  /// - Returns: the kind of the message.
  package mutating func takePreamble() throws(WireError) -> WireFormat.Kind {
    let start = try advance(by: WireFormat.preambleSize, "the preamble")
    guard bytes[start..<start + 4].elementsEqual(WireFormat.magic) else {
      throw WireError("the message does not start with APHN")
    }
    let major = bytes[start + 4]
    guard major == WireFormat.major else {
      throw WireError(
        "the peer speaks version \(major) of the wire format, this process version \(WireFormat.major); "
          + "run the same release of Antiphon on both sides")
    }
    guard let kind = WireFormat.Kind(rawValue: bytes[start + 6]) else {
      throw WireError("message kind \(bytes[start + 6]) is unknown")
    }
    return kind
  }

  @inline(__always)
  private mutating func advance(by count: Int, _ what: StaticString) throws(WireError) -> Int {
    guard count >= 0, count <= remaining else { throw WireError("the message ends within \(what)") }
    defer { offset += count }
    return offset
  }
}
