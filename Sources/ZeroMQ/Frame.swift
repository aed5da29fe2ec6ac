internal import CZeroMQ

/// The room of a `zmq_msg_t`.
///
/// libzmq's own `zmq_msg_move` copies the 64 bytes and re-initialises the source, for no kind of message holds a pointer
/// into itself. A message may therefore move in memory as long as one copy only is used, which a `~Copyable` owner
/// grants. Eight words move in a few instructions, where the imported array of 64 bytes moves byte by byte.
struct MessageStorage: BitwiseCopyable {
  var words: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0, 0)

  static let size = MemoryLayout<zmq_msg_t>.size

  /// Calls `body` with the message in place.
  @inline(__always)
  mutating func withMessage<Result>(_ body: (UnsafeMutablePointer<zmq_msg_t>) -> Result) -> Result {
    withUnsafeMutablePointer(to: &words) { body(UnsafeMutableRawPointer($0).assumingMemoryBound(to: zmq_msg_t.self)) }
  }
}

/// One frame of a message, owned.
///
/// A frame is made by the sender or received from a socket. Its bytes never change once it is made, because an
/// `inproc` peer may share them. Sending takes the frame away without a copy; letting it go frees it.
///
/// ```swift
/// try socket.send(Frame("hello"))
/// let answer = try socket.receive()
/// answer.withUnsafeBytes { print($0.count) }
/// ```
// Sendable because a frame has one owner, its storage belongs to no thread, and libzmq counts shared content atomically.
public struct Frame: ~Copyable, @unchecked Sendable {
  var storage: MessageStorage

  /// Makes an empty frame, to be sent as a delimiter or to be received into.
  public init() {
    storage = MessageStorage()
    storage.withMessage { _ = zmq_msg_init($0) }
  }

  /// Makes a frame of `size` bytes that `initialize` writes.
  ///
  /// - Parameters:
  ///   - size: The frame's size in bytes.
  ///   - initialize: Writes all of the bytes, which hold anything before.
  /// - Throws: `ZeroMQError` if the size is negative or there is no memory for it.
  @inline(__always)
  public init(size: Int, initializingWith initialize: (UnsafeMutableRawBufferPointer) -> Void) throws(ZeroMQError) {
    guard size >= 0 else {
      throw ZeroMQError(.invalidArgument, operation: "make a frame", message: "\(size) bytes is no size")
    }
    if size <= Self.surelyInline {
      // In place, and without a way to fail: moving a message whose bytes were just written one by one would stall.
      storage = MessageStorage()
      storage.withMessage { message in
        _ = zmq_msg_init_size(message, size)
        initialize(UnsafeMutableRawBufferPointer(start: zmq_msg_data(message), count: size))
      }
    } else {
      var made = MessageStorage()
      guard made.withMessage({ zmq_msg_init_size($0, size) }) == 0 else { throw .last("make a frame") }
      made.withMessage { initialize(UnsafeMutableRawBufferPointer(start: zmq_msg_data($0), count: size)) }
      storage = made
    }
  }

  /// A size in bytes that every libzmq 4 keeps in the message itself, for which it allocates nothing.
  private static var surelyInline: Int { 24 }

  /// Makes a frame of a copy of `bytes`.
  ///
  /// - Throws: `ZeroMQError` if there is no memory for them.
  public init(copying bytes: UnsafeRawBufferPointer) throws(ZeroMQError) {
    try self.init(size: bytes.count) { $0.copyMemory(from: bytes) }
  }

  /// Makes a frame of a copy of `bytes`.
  ///
  /// - Throws: `ZeroMQError` if there is no memory for them.
  public init(copying bytes: RawSpan) throws(ZeroMQError) {
    try self.init(size: bytes.byteCount) { room in bytes.withUnsafeBytes { room.copyMemory(from: $0) } }
  }

  /// Makes a frame of a copy of `bytes`.
  ///
  /// - Throws: `ZeroMQError` if there is no memory for them.
  public init(copying bytes: [UInt8]) throws(ZeroMQError) {
    try self.init(size: bytes.count) { $0.copyBytes(from: bytes) }
  }

  /// Makes a frame of the UTF-8 bytes of `text`.
  ///
  /// - Throws: `ZeroMQError` if there is no memory for them.
  public init(_ text: String) throws(ZeroMQError) {
    try self.init(size: text.utf8.count) { $0.copyBytes(from: text.utf8) }
  }

  /// Makes a frame that reads `bytes` where they lie, and keeps `owner` alive until the last reader is done.
  ///
  /// The owner is released on any thread, when the bytes have been written to the network, when the `inproc` peer lets
  /// its frame go, or when the context closes with the frame undelivered.
  ///
  /// - Parameters:
  ///   - owner: Whatever keeps the bytes in place and unchanged for as long as it lives.
  ///   - bytes: Bytes that stay valid and unchanged while the owner lives.
  /// - Throws: `ZeroMQError` if there is no memory; the owner is then not retained.
  public init<Owner: AnyObject & Sendable>(
    retaining owner: Owner, bytes: UnsafeRawBufferPointer
  ) throws(ZeroMQError) {
    let hint = Unmanaged<AnyObject>.passRetained(owner)
    var made = MessageStorage()
    let status = made.withMessage {
      zmq_msg_init_data(
        $0, UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count,
        { _, hint in if let hint { Unmanaged<AnyObject>.fromOpaque(hint).release() } }, hint.toOpaque())
    }
    guard status == 0 else {
      hint.release()
      throw .last("make a frame")
    }
    storage = made
  }

  /// Makes a frame of a received one's bytes without a copy, as a relay does.
  ///
  /// - Throws: `ZeroMQError` if there is no memory.
  public init(sharing frame: FrameStorage) throws(ZeroMQError) {
    try self.init(retaining: frame, bytes: frame.bytes)
  }

  deinit {
    var last = storage
    last.withMessage { _ = zmq_msg_close($0) }
  }

  /// Gives the message up to a new owner.
  @inline(__always)
  consuming func relinquish() -> MessageStorage {
    let message = storage
    discard self
    return message
  }
}

extension Frame {
  /// The frame's size in bytes.
  public var count: Int { peek { zmq_msg_size($0) } }

  /// Whether the frame is empty.
  public var isEmpty: Bool { count == 0 }

  /// Whether further frames of the same message follow this received one.
  public var more: Bool { peek { zmq_msg_more($0) != 0 } }

  /// Calls `body` with the frame's bytes, valid until it returns.
  public func withUnsafeBytes<Result: ~Copyable, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // A short message's bytes lie in the message itself, perhaps in a copy of it that lives as long as the call.
    try withUnsafePointer(to: storage) { (pointer) throws(Failure) -> Result in
      // libzmq asks for a mutable message, and does not write to it.
      let message = UnsafeMutableRawPointer(mutating: pointer).assumingMemoryBound(to: zmq_msg_t.self)
      return try body(UnsafeRawBufferPointer(start: zmq_msg_data(message), count: zmq_msg_size(message)))
    }
  }

  /// Calls `body` with the frame's bytes as a bounds-checked span.
  public func withBytes<Result: ~Copyable, Failure: Error>(
    _ body: (RawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try withUnsafeBytes { (bytes) throws(Failure) -> Result in try body(bytes.bytes) }
  }

  /// A copy of the frame's bytes.
  public func bytes() -> [UInt8] { withUnsafeBytes { [UInt8]($0) } }

  /// The frame's bytes read as UTF-8, with faulty bytes replaced.
  public func text() -> String { withUnsafeBytes { String(decoding: $0, as: UTF8.self) } }

  /// Who sent a frame that came over an authenticated connection: the client's public key in Z85, as
  /// ``Authenticator`` reported it. `nil` for any other frame.
  public var userID: String? { metadata("User-Id") }

  /// The IP address a frame came from over tcp.
  public var peerAddress: String? { metadata("Peer-Address") }

  /// A property of the connection that a received frame came over.
  ///
  /// - Parameter name: `User-Id`, `Peer-Address`, `Socket-Type`, `Routing-Id`, or `X-...` as the peer declared it.
  /// - Returns: The property, or `nil` if the connection has none such.
  public func metadata(_ name: String) -> String? {
    peek { message in zmq_msg_gets(message, name).map { String(cString: $0) } }
  }

  /// Reads a property that does not point into the message.
  @inline(__always)
  private func peek<Result>(_ body: (UnsafePointer<zmq_msg_t>) -> Result) -> Result {
    withUnsafePointer(to: storage) { body(UnsafeRawPointer($0).assumingMemoryBound(to: zmq_msg_t.self)) }
  }
}

/// A received frame that several owners share: its bytes stay in place, unchanged, while it lives.
///
/// Adopting copies nothing, except a frame of about thirty bytes or fewer, which libzmq keeps in the frame itself. A
/// frame of up to 8 KB that came over a network shares libzmq's receive buffer, which is freed with the last frame in it.
// Sendable because everything in it is constant from the initialiser to deinit.
public final class FrameStorage: @unchecked Sendable {
  /// The frame's bytes, valid while this object lives.
  public let bytes: UnsafeRawBufferPointer
  private let message: MessageStorage
  private let copy: UnsafeMutableRawPointer?

  /// Adopts a received frame.
  public init(adopting frame: consuming Frame) {
    var message = frame.relinquish()
    let inPlace = message.withMessage {
      UnsafeRawBufferPointer(start: zmq_msg_data($0), count: zmq_msg_size($0))
    }
    let isInline = withUnsafeBytes(of: &message) { room in
      guard let data = inPlace.baseAddress, let start = room.baseAddress else { return false }
      return data >= start && data < start + room.count
    }
    if isInline && inPlace.count > 0 {
      let copy = UnsafeMutableRawPointer.allocate(byteCount: inPlace.count, alignment: 16)
      message.withMessage { copy.copyMemory(from: zmq_msg_data($0), byteCount: inPlace.count) }
      self.copy = copy
      self.bytes = UnsafeRawBufferPointer(start: copy, count: inPlace.count)
    } else {
      self.copy = nil
      self.bytes = isInline ? UnsafeRawBufferPointer(start: nil, count: 0) : inPlace
    }
    self.message = message
  }

  deinit {
    copy?.deallocate()
    var last = message
    last.withMessage { _ = zmq_msg_close($0) }
  }

  /// The frame's size in bytes.
  public var count: Int { bytes.count }
}
