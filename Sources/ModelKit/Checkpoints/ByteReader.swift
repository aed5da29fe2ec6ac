internal import Tensors

/// Reads a mapped file from front to back. Nothing is trusted: every length is compared with what is left.
struct ByteReader {
  let bytes: Bytes
  let file: String
  private(set) var offset = 0

  init(_ bytes: Bytes, file: String) {
    self.bytes = bytes
    self.file = file
  }

  var left: Int { bytes.count - offset }

  /// Checks that `count` units of `size` bytes are left; the total in bytes.
  func available(_ count: UInt64, of size: Int = 1, part: String) throws(ModelError) -> Int {
    let (total, overflow) = count.multipliedReportingOverflow(by: UInt64(size))
    guard !overflow, total <= UInt64(left) else {
      throw ModelError(file: file, part: part, .truncated(needed: overflow ? .max : total, available: left))
    }
    return Int(total)
  }

  mutating func skip(_ count: UInt64, of size: Int = 1, part: String) throws(ModelError) {
    offset += try available(count, of: size, part: part)
  }

  mutating func integer<Integer: FixedWidthInteger>(
    _ type: Integer.Type = Integer.self, part: String
  ) throws(ModelError) -> Integer {
    _ = try available(UInt64(MemoryLayout<Integer>.size), part: part)
    let value = bytes.start.loadUnaligned(fromByteOffset: offset, as: Integer.self)
    offset += MemoryLayout<Integer>.size
    return Integer(littleEndian: value)
  }

  /// A string of `length` bytes; malformed UTF-8 is refused.
  mutating func string(_ length: UInt64, most: UInt64 = 1 << 24, part: String) throws(ModelError) -> String {
    guard length <= most else { throw ModelError(file: file, part: part, .tooLarge(found: length, most: most)) }
    let count = try available(length, part: part)
    let buffer = UnsafeRawBufferPointer(start: bytes.start + offset, count: count)
    guard let text = String(validating: buffer, as: UTF8.self) else {
      throw ModelError(file: file, part: part, .invalid("the text at byte \(offset) is not UTF-8"))
    }
    offset += count
    return text
  }
}

extension Bytes {
  /// Maps a file of a model.
  static func ofModel(_ path: String) throws(ModelError) -> Bytes {
    do throws(MappingError) { return try Bytes(mapping: path) } catch {
      throw ModelError(file: path, .cannotOpen(error.reason))
    }
  }
}
