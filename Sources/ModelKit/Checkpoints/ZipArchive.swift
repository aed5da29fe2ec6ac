internal import Tensors

/// The entries of a zip archive, zip64 included, mapped into memory.
///
/// Only stored entries can be read: their bytes lie in the file as they are. Compressed ones are listed, and refused when
/// asked for, so that an archive never unfolds to more than its size.
struct ZipArchive: Sendable {
  let file: String
  let bytes: Bytes
  private let entries: [String: Entry]

  private struct Entry {
    var method: UInt16
    var range: Range<Int>
  }

  private static let mostEntries: UInt64 = 1 << 20
  private static let mostNameBytes = 1 << 10

  var names: some Collection<String> { entries.keys }

  func contains(_ name: String) -> Bool { entries[name] != nil }

  /// Where a stored entry's bytes lie.
  func range(_ name: String) throws(ModelError) -> Range<Int> {
    guard let entry = entries[name] else { throw ModelError(file: file, part: name, .missing) }
    guard entry.method == 0 else {
      let method = entry.method == 8 ? "deflate" : "method \(entry.method)"
      throw ModelError(
        file: file, part: name, .unexpected(expected: "a stored entry", found: "compression (\(method))"))
    }
    return entry.range
  }

  init(bytes: Bytes, file: String, checkCancelled: CancellationCheck = {}) throws {
    let directory = try Self.directory(bytes, file)
    var reader = ByteReader(bytes, file: file, range: directory.range)
    var entries: [String: Entry] = [:]
    // An entry's whole extent, local header included, to tell overlapping ones.
    var extents: [(range: Range<Int>, name: String)] = []
    for index in 0..<directory.count {
      if index % 1024 == 0 { try checkCancelled() }
      let record = try Record(&reader, index)
      let (header, data) = try Self.extent(record, bytes, file, before: directory.range.lowerBound)
      guard entries.updateValue(Entry(method: record.method, range: data), forKey: record.name) == nil else {
        throw ModelError(file: file, part: record.name, .duplicate)
      }
      extents.append((header..<data.upperBound, record.name))
    }
    guard reader.left == 0 else {
      throw ModelError(
        file: file, part: "zip directory",
        .unexpected(expected: "\(directory.count) entries", found: "\(reader.left) more bytes"))
    }
    extents.sort { $0.range.lowerBound < $1.range.lowerBound }
    for (first, second) in zip(extents, extents.dropFirst()) where first.range.upperBound > second.range.lowerBound {
      throw ModelError(file: file, part: second.name, .invalid("overlaps '\(first.name)' in the zip archive"))
    }
    (self.file, self.bytes, self.entries) = (file, bytes, entries)
  }

  /// Finds the directory from the file's end: its record, preceded in large archives by the zip64 one and its locator.
  private static func directory(_ bytes: Bytes, _ file: String) throws(ModelError) -> (range: Range<Int>, count: UInt64)
  {
    let part = "zip directory"
    func integer<Integer: FixedWidthInteger>(_ offset: Int, _ type: Integer.Type) -> Integer {
      Integer(littleEndian: bytes.start.loadUnaligned(fromByteOffset: offset, as: Integer.self))
    }
    var end = bytes.count - 22
    // A comment of at most 65535 bytes may follow; the record's own length of it must reach the file's end exactly.
    while end >= max(0, bytes.count - 22 - 65_535) {
      if integer(end, UInt32.self) == 0x0605_4b50, Int(integer(end + 20, UInt16.self)) == bytes.count - end - 22 {
        break
      }
      end -= 1
    }
    guard end >= max(0, bytes.count - 22 - 65_535) else {
      throw ModelError(file: file, part: part, .invalid("the file is cut short, or not a zip archive: no end record"))
    }
    guard integer(end + 4, UInt32.self) == 0 else {
      throw ModelError(file: file, part: part, .refused("an archive in several volumes"))
    }
    var count = UInt64(integer(end + 10, UInt16.self))
    var size = UInt64(integer(end + 12, UInt32.self))
    var start = UInt64(integer(end + 16, UInt32.self))
    if end >= 20 + 56, integer(end - 20, UInt32.self) == 0x0706_4b50 {
      let place = integer(end - 12, UInt64.self)
      guard place <= UInt64(end - 20 - 56), integer(Int(place), UInt32.self) == 0x0606_4b50 else {
        throw ModelError(file: file, part: part, .invalid("the zip64 end record is not where its locator says"))
      }
      end = Int(place)
      count = integer(end + 32, UInt64.self)
      size = integer(end + 40, UInt64.self)
      start = integer(end + 48, UInt64.self)
    }
    let (directoryEnd, overflow) = start.addingReportingOverflow(size)
    guard !overflow, directoryEnd == UInt64(end) else {
      throw ModelError(
        file: file, part: part, .unexpected(expected: "its end at byte \(end)", found: "\(directoryEnd)"))
    }
    guard count <= mostEntries else {
      throw ModelError(file: file, part: part, .tooLarge(found: count, most: mostEntries))
    }
    return (Int(start)..<end, count)
  }

  /// An entry of the directory.
  private struct Record {
    var name: String
    var method: UInt16
    var size: UInt64
    var start: UInt64

    init(_ reader: inout ByteReader, _ index: UInt64) throws(ModelError) {
      let file = reader.file
      var part = "zip entry \(index)"
      guard try reader.integer(UInt32.self, part: part) == 0x0201_4b50 else {
        throw ModelError(file: file, part: part, .invalid("no directory record"))
      }
      try reader.skip(4, part: part)
      let flags: UInt16 = try reader.integer(part: part)
      method = try reader.integer(part: part)
      try reader.skip(8, part: part)
      var packed = UInt64(try reader.integer(UInt32.self, part: part))
      size = UInt64(try reader.integer(UInt32.self, part: part))
      let nameLength: UInt16 = try reader.integer(part: part)
      let extraLength: UInt16 = try reader.integer(part: part)
      let commentLength: UInt16 = try reader.integer(part: part)
      try reader.skip(8, part: part)
      start = UInt64(try reader.integer(UInt32.self, part: part))
      name = try reader.string(UInt64(nameLength), most: UInt64(ZipArchive.mostNameBytes), part: part)
      part = name
      guard !name.isEmpty, !name.hasPrefix("/"), !name.contains("\\"), !name.utf8.contains(0),
        !name.split(separator: "/", omittingEmptySubsequences: false).contains("..")
      else { throw ModelError(file: file, part: part, .refused("an entry's name that leads out of the archive")) }
      guard flags & 0x2041 == 0 else { throw ModelError(file: file, part: part, .refused("an encrypted entry")) }

      let extraEnd = reader.left - (try reader.available(UInt64(extraLength), part: part))
      while reader.left - extraEnd >= 4 {
        let kind: UInt16 = try reader.integer(part: part)
        let length: UInt16 = try reader.integer(part: part)
        guard Int(length) <= reader.left - extraEnd else {
          throw ModelError(file: file, part: part, .invalid("an extra field of the zip entry is cut short"))
        }
        let fieldEnd = reader.left - Int(length)
        if kind == 1 {
          // Zip64: those of the three that do not fit 32 bits, in this order.
          if size == 0xffff_ffff, reader.left - fieldEnd >= 8 { size = try reader.integer(part: part) }
          if packed == 0xffff_ffff, reader.left - fieldEnd >= 8 { packed = try reader.integer(part: part) }
          if start == 0xffff_ffff, reader.left - fieldEnd >= 8 { start = try reader.integer(part: part) }
        }
        try reader.skip(UInt64(reader.left - fieldEnd), part: part)
      }
      try reader.skip(UInt64(reader.left - extraEnd) + UInt64(commentLength), part: part)
      guard method != 0 || packed == size else {
        throw ModelError(
          file: file, part: part, .unexpected(expected: "\(size) stored bytes", found: "\(packed)"))
      }
      size = packed
    }
  }

  /// The local header's byte and the data's range.
  private static func extent(
    _ record: Record, _ bytes: Bytes, _ file: String, before end: Int
  ) throws(ModelError) -> (header: Int, data: Range<Int>) {
    var reader = ByteReader(bytes, file: file, range: 0..<end)
    try reader.skip(record.start, part: record.name)
    let header = reader.offset
    guard try reader.integer(UInt32.self, part: record.name) == 0x0403_4b50 else {
      throw ModelError(file: file, part: record.name, .invalid("no local header at byte \(header)"))
    }
    try reader.skip(4, part: record.name)
    let method: UInt16 = try reader.integer(part: record.name)
    try reader.skip(16, part: record.name)
    let nameLength: UInt16 = try reader.integer(part: record.name)
    let extraLength: UInt16 = try reader.integer(part: record.name)
    let name = try reader.string(UInt64(nameLength), part: record.name)
    guard name == record.name, method == record.method else {
      throw ModelError(
        file: file, part: record.name, .unexpected(expected: "the same in its local header", found: "'\(name)'"))
    }
    try reader.skip(UInt64(extraLength), part: record.name)
    let size = try reader.available(record.size, part: record.name)
    return (header, reader.offset..<reader.offset + size)
  }
}
