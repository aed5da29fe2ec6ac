internal import Tensors

/// Reads a mapped file, or a part of it, from front to back. Nothing is trusted: every length is compared with what is
/// left.
struct ByteReader {
  let bytes: Bytes
  let file: String
  private(set) var offset: Int
  private let end: Int

  /// - Parameter range: must lie within the bytes; all of them by default.
  init(_ bytes: Bytes, file: String, range: Range<Int>? = nil) {
    self.bytes = bytes
    self.file = file
    offset = range?.lowerBound ?? 0
    end = range?.upperBound ?? bytes.count
  }

  var left: Int { end - offset }

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

  /// The text up to a line feed, which is skipped.
  mutating func line(most: Int, part: String) throws(ModelError) -> String {
    var length = 0
    while length < min(most, left), bytes.start.load(fromByteOffset: offset + length, as: UInt8.self) != 10 {
      length += 1
    }
    guard length < left else {
      throw ModelError(file: file, part: part, .truncated(needed: UInt64(length) + 1, available: left))
    }
    guard length < most else {
      throw ModelError(file: file, part: part, .tooLarge(found: UInt64(length) + 1, most: UInt64(most)))
    }
    let text = try string(UInt64(length), part: part)
    offset += 1
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
