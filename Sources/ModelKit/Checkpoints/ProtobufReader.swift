/// Reads a message of Protocol Buffers' wire format field by field, within a mapped file. It knows no schema: who reads
/// takes the fields that it wants, by their numbers, and leaves out the others.
///
/// Nothing is trusted: a length that reaches beyond the message that it stands in is refused.
struct ProtobufReader {
  /// A field of a message.
  struct Field {
    let number: Int
    let value: Value
  }

  enum Value {
    case integer(UInt64)
    case fixed32(UInt32)
    case fixed64(UInt64)
    /// Where the bytes of a text, an array or a message within the message lie in the file.
    case bytes(Range<Int>)
  }

  private var reader: ByteReader
  private let part: String

  /// - Parameters:
  ///   - range: of the message's bytes.
  ///   - part: what the message is, for errors.
  init(_ reader: ByteReader, range: Range<Int>, part: String) {
    self.reader = ByteReader(reader.bytes, file: reader.file, range: range)
    self.part = part
  }

  /// The next field; nil at the message's end.
  mutating func next() throws(ModelError) -> Field? {
    guard reader.left > 0 else { return nil }
    let place = reader.offset
    let key = try integer()
    guard let number = Int(exactly: key >> 3), (1..<1 << 29).contains(number) else {
      throw ModelError(file: reader.file, part: part, .invalid("a field of number \(key >> 3) at byte \(place)"))
    }
    switch key & 7 {
    case 0: return Field(number: number, value: .integer(try integer()))
    case 1: return Field(number: number, value: .fixed64(try reader.integer(part: part)))
    case 5: return Field(number: number, value: .fixed32(try reader.integer(part: part)))
    case 2:
      let length = try integer()
      let start = reader.offset
      try reader.skip(length, part: part)
      return Field(number: number, value: .bytes(start..<reader.offset))
    default:
      throw ModelError(file: reader.file, part: part, .refused("wire type \(key & 7) at byte \(place)"))
    }
  }

  /// The next of the integers that stand one after the other, as in a packed array; nil at the end.
  mutating func nextInteger() throws(ModelError) -> UInt64? { reader.left > 0 ? try integer() : nil }

  /// Seven bits a byte, the lowest first; at most ten bytes.
  private mutating func integer() throws(ModelError) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: 0, to: 70, by: 7) {
      let byte: UInt8 = try reader.integer(part: part)
      // The tenth byte has room for one bit.
      guard shift < 63 || byte <= 1 else { break }
      value |= UInt64(byte & 0x7f) << UInt64(shift)
      if byte & 0x80 == 0 { return value }
    }
    throw ModelError(
      file: reader.file, part: part, .invalid("an integer of more than 64 bits before byte \(reader.offset)"))
  }
}
