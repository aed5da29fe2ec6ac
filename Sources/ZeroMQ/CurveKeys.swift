internal import CZeroMQ

/// The 32 bytes of a key, in place rather than in an array.
struct KeyBytes: Hashable, Sendable, BitwiseCopyable {
  static let count = 32
  private var a: UInt64 = 0
  private var b: UInt64 = 0
  private var c: UInt64 = 0
  private var d: UInt64 = 0

  /// Takes exactly 32 bytes.
  init?(_ bytes: some Collection<UInt8>) {
    guard bytes.count == Self.count else { return nil }
    withUnsafeMutableBytes(of: &self) { $0.copyBytes(from: bytes) }
  }

  var bytes: [UInt8] { Swift.withUnsafeBytes(of: self) { [UInt8]($0) } }

  /// The key in Z85.
  var z85: String {
    // 32 is a multiple of four, so encoding cannot fail.
    (try? Z85.encode(bytes)) ?? ""
  }

  /// Reads a key in Z85.
  static func parse(_ text: some StringProtocol) throws(CurveKeyError) -> KeyBytes {
    let characters = text.utf8.count
    guard characters == 40 else {
      throw CurveKeyError(.malformed, message: "a key has 40 characters (Z85), not \(characters)")
    }
    let decoded: [UInt8]
    do throws(Z85.Fault) {
      decoded = try Z85.decode(text)
    } catch {
      switch error {
      case .character(let offset):
        throw CurveKeyError(.malformed, message: "character \(offset + 1) of the key is not in Z85's alphabet")
      case .overflow(let offset):
        throw CurveKeyError(
          .malformed, message: "characters \(offset + 1) to \(offset + 5) of the key are no Z85 number")
      case .length(let count):
        throw CurveKeyError(.malformed, message: "a key has 40 characters (Z85), not \(count)")
      }
    }
    guard let key = KeyBytes(decoded) else {
      throw CurveKeyError(.malformed, message: "a key has 32 bytes, not \(decoded.count)")
    }
    return key
  }
}

/// A CURVE public key: who a process is. It may be shown to anyone.
public struct CurvePublicKey: Hashable, Sendable, CustomStringConvertible {
  let key: KeyBytes

  /// Takes a key's 32 bytes; `nil` for any other number of them.
  public init?(bytes: some Collection<UInt8>) {
    guard let key = KeyBytes(bytes) else { return nil }
    self.key = key
  }

  /// Reads a key of 40 Z85 characters.
  ///
  /// - Throws: `CurveKeyError` that says what is wrong with the text.
  public init(z85: some StringProtocol) throws(CurveKeyError) { key = try .parse(z85) }

  /// The key's 32 bytes.
  public var bytes: [UInt8] { key.bytes }

  /// The key in Z85: 40 characters.
  public var z85: String { key.z85 }

  public var description: String { z85 }
}

/// A CURVE secret key. Its description never shows it.
public struct CurveSecretKey: Hashable, Sendable {
  let key: KeyBytes

  /// Takes a key's 32 bytes; `nil` for any other number of them.
  public init?(bytes: some Collection<UInt8>) {
    guard let key = KeyBytes(bytes) else { return nil }
    self.key = key
  }

  /// Reads a key of 40 Z85 characters.
  ///
  /// - Throws: `CurveKeyError` that says what is wrong with the text, without repeating it.
  public init(z85: some StringProtocol) throws(CurveKeyError) { key = try .parse(z85) }

  /// The key in Z85: 40 characters, for a file of mode 0600 and nothing else.
  public var revealedZ85: String { key.z85 }
}

extension CurveSecretKey: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  public var description: String { "<secret key>" }
  public var debugDescription: String { description }
  public var customMirror: Mirror { Mirror(self, children: []) }
}

/// A process's secret key and the public key that goes with it.
public struct CurveKeyPair: Hashable, Sendable {
  /// Who the process is.
  public let publicKey: CurvePublicKey
  /// What proves it.
  public let secretKey: CurveSecretKey

  /// Makes a new pair from the system's random numbers.
  ///
  /// - Throws: `CurveKeyError` of kind `unsupported` if libzmq was built without CURVE.
  public static func generate() throws(CurveKeyError) -> CurveKeyPair {
    var publicText = [CChar](repeating: 0, count: 41)
    var secretText = publicText
    guard zmq_curve_keypair(&publicText, &secretText) == 0 else { throw .unsupported }
    return try CurveKeyPair(secretKey: CurveSecretKey(z85: secretText.z85))
  }

  /// Derives the public key of a secret one.
  ///
  /// - Throws: `CurveKeyError` of kind `unsupported` if libzmq was built without CURVE.
  public init(secretKey: CurveSecretKey) throws(CurveKeyError) {
    var publicText = [CChar](repeating: 0, count: 41)
    guard zmq_curve_public(&publicText, secretKey.revealedZ85) == 0 else { throw .unsupported }
    self.secretKey = secretKey
    self.publicKey = try CurvePublicKey(z85: publicText.z85)
  }
}

extension [CChar] {
  /// The text before the closing zero.
  fileprivate var z85: String { String(decoding: prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) }
}

/// A key or key file that cannot be used: which file and line, why, and how to mend it.
public struct CurveKeyError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Why a key cannot be used.
  public enum Kind: Sendable, Hashable {
    /// It is not a key.
    case malformed
    /// The secret file may be read by others than its owner.
    case exposed
    /// The file to write exists already.
    case exists
    /// The operating system refused to read or write the file.
    case system(errno: Int32)
    /// libzmq was built without CURVE.
    case unsupported
  }

  /// Why it cannot be used.
  public let kind: Kind
  /// The file concerned.
  public internal(set) var file: String?
  /// The line concerned, from 1.
  public internal(set) var line: Int?
  /// The cause and the remedy; never a secret.
  public let message: String

  init(_ kind: Kind, file: String? = nil, line: Int? = nil, message: String) {
    self.kind = kind
    self.file = file
    self.line = line
    self.message = message
  }

  static var unsupported: CurveKeyError {
    CurveKeyError(.unsupported, message: "this libzmq was built without CURVE: install one with libsodium")
  }

  public var description: String {
    let place = file.map { file in line.map { "\(file):\($0): " } ?? "\(file): " } ?? ""
    return place + message
  }
}
