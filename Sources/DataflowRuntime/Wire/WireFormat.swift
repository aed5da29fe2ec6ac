/// Constants of the wire format, which `docs/wire-format.md` describes byte by byte.
package enum WireFormat {
  /// Peers with another major version are refused; a minor version only adds what older peers may ignore.
  package static let major: UInt8 = 1
  package static let minor: UInt8 = 0
  static let magic: [UInt8] = Array("APHN".utf8)

  static let preambleSize = 8
  static let dataHeaderSize = 32
  static let recordHeaderSize = 56
  static let bufferHeaderSize = 16

  /// Larger buffers travel in frames of their own, without a copy.
  static let inlineLimit = 1024
  /// A batch is sent when it holds this many records or bytes.
  static let batchRecords = 256
  static let batchBytes = 64 << 10

  // What a reader accepts; beyond it a message is malformed.
  static let maximumRank = 8
  static let maximumBuffers = 64
  static let maximumRecords = 4096
  static let maximumText = 4096
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
package struct ByteWriter {
  package private(set) var bytes: [UInt8] = []

  package init() {}

  mutating func reset() { bytes.removeAll(keepingCapacity: true) }

  mutating func put(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  /// UTF-8, its length in bytes before it as 32 bits.
  mutating func put(_ text: String) {
    put(UInt32(text.utf8.count))
    bytes.append(contentsOf: text.utf8)
  }

  mutating func put(raw: UnsafeRawBufferPointer) { bytes.append(contentsOf: raw) }
  mutating func put(raw: [UInt8]) { bytes.append(contentsOf: raw) }

  mutating func pad(to alignment: Int) {
    while bytes.count % alignment != 0 { bytes.append(0) }
  }

  mutating func overwrite(_ value: UInt32, at offset: Int) {
    withUnsafeBytes(of: value.littleEndian) { bytes.replaceSubrange(offset..<offset + 4, with: $0) }
  }

  package mutating func preamble(_ kind: WireFormat.Kind) {
    bytes.append(contentsOf: WireFormat.magic)
    bytes.append(contentsOf: [WireFormat.major, WireFormat.minor, kind.rawValue, 0])
  }
}

/// Takes little-endian values off; every read is checked.
package struct ByteReader {
  let bytes: UnsafeRawBufferPointer
  private(set) var offset = 0

  package init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

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
    let start = try advance(by: count, "\(count) bytes")
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

  private mutating func advance(by count: Int, _ what: String) throws(WireError) -> Int {
    guard count >= 0, count <= remaining else { throw WireError("the message ends within \(what)") }
    defer { offset += count }
    return offset
  }
}
