/// Z85 (ZeroMQ RFC 32): four bytes as five printable characters.
public enum Z85 {
  /// Why a text is no Z85.
  public enum Fault: Error, Sendable, Equatable {
    /// Only texts of a multiple of five characters, and bytes of a multiple of four, have a Z85 form.
    case length(Int)
    /// The character at this offset, counted in UTF-8 bytes, is not in the alphabet.
    case character(at: Int)
    /// The five characters at this offset spell a number above 32 bits.
    case overflow(at: Int)
  }

  private static let alphabet = Array(
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#".utf8)

  private static let values: [UInt8] = {
    var values = [UInt8](repeating: 0xff, count: 256)
    for (value, character) in alphabet.enumerated() { values[Int(character)] = UInt8(value) }
    return values
  }()

  /// Encodes bytes.
  ///
  /// - Throws: `Fault.length` unless their number is a multiple of four.
  public static func encode(_ bytes: some Collection<UInt8>) throws(Fault) -> String {
    guard bytes.count % 4 == 0 else { throw .length(bytes.count) }
    var text: [UInt8] = []
    text.reserveCapacity(bytes.count / 4 * 5)
    var word: UInt32 = 0
    for (offset, byte) in bytes.enumerated() {
      word = word << 8 | UInt32(byte)
      guard offset % 4 == 3 else { continue }
      for divisor: UInt32 in [85 * 85 * 85 * 85, 85 * 85 * 85, 85 * 85, 85, 1] {
        text.append(alphabet[Int(word / divisor % 85)])
      }
      word = 0
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// Decodes a text.
  ///
  /// - Throws: `Fault` that says where the text is wrong.
  public static func decode(_ text: some StringProtocol) throws(Fault) -> [UInt8] {
    let characters = Array(text.utf8)
    guard characters.count % 5 == 0 else { throw .length(characters.count) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(characters.count / 5 * 4)
    var word: UInt64 = 0
    for (offset, character) in characters.enumerated() {
      let value = values[Int(character)]
      guard value != 0xff else { throw .character(at: offset) }
      word = word * 85 + UInt64(value)
      guard offset % 5 == 4 else { continue }
      guard let exact = UInt32(exactly: word) else { throw .overflow(at: offset - 4) }
      withUnsafeBytes(of: exact.bigEndian) { bytes.append(contentsOf: $0) }
      word = 0
    }
    return bytes
  }
}
