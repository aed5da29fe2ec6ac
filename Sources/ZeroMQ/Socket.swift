internal import CZeroMQ

/// A ZeroMQ socket, owned.
///
/// One thread uses a socket at a time: every verb is `mutating`, so that the compiler sees to it. The owner may move the
/// socket to another thread by anything that synchronizes (a `Mutex`, starting a thread). The socket closes when it goes
/// out of scope, and drops undelivered messages unless ``SocketOption/linger`` says otherwise.
///
/// ```swift
/// var receiver = try Socket(.pull, in: context)
/// try receiver.bind("ipc:///run/user/1000/antiphon/in")
/// while let frame = try receiver.tryReceive() { ... }
/// ```
// Sendable because every use is mutating, hence exclusive, and libzmq allows a socket to migrate with a full fence, which
// any way of handing a non-copyable value to another thread entails.
public struct Socket: ~Copyable, @unchecked Sendable {
  /// What a socket does with its messages.
  public enum Kind: Int32, Sendable, Hashable {
    /// One peer, both ways.
    case pair = 0
    /// Sends a request, then receives its reply.
    case request = 3
    /// Receives a request, then sends its reply.
    case reply = 4
    /// Both ways, spread evenly over the peers.
    case dealer = 5
    /// Both ways; the first frame names the peer.
    case router = 6
    /// Receives only.
    case pull = 7
    /// Sends only, spread evenly over the peers.
    case push = 8
  }

  /// What the socket does with its messages.
  public let kind: Kind
  let handle: UnsafeMutableRawPointer
  /// The receiving end of the socket's monitor.
  var monitor: UnsafeMutableRawPointer?
  /// Kept alive; `nil` only for a socket of the context's own threads, which is never monitored.
  let context: Context?

  /// Makes a socket that keeps its context alive.
  ///
  /// - Throws: `ZeroMQError` of code `terminated` after the context was shut down, `tooManySockets` at its limit.
  public init(_ kind: Kind, in context: Context) throws(ZeroMQError) {
    try self.init(kind, in: context, keepingContext: true)
  }

  /// Makes a socket; one that does not keep its context alive belongs to a thread that ends when the context does.
  init(_ kind: Kind, in context: Context, keepingContext: Bool) throws(ZeroMQError) {
    handle = try context.makeHandle(kind)
    self.kind = kind
    self.context = keepingContext ? context : nil
  }

  deinit {
    if let monitor { Self.closeMonitor(monitor, of: handle) }
    zmq_close(handle)
  }

  /// Closes the socket, as going out of scope does.
  public consuming func close() {}
}

// MARK: - Endpoints

extension Socket {
  /// Listens at an endpoint: `tcp://127.0.0.1:5555` (`*` for a free port), `ipc:///path`, `inproc://name`.
  ///
  /// - Returns: The endpoint as bound, with the port that was chosen.
  /// - Throws: `ZeroMQError`; `addressInUse`, `noSuchDevice` and `permissionDenied` are the usual ones.
  @discardableResult
  public mutating func bind(_ endpoint: String) throws(ZeroMQError) -> String {
    guard zmq_bind(handle, endpoint) == 0 else { throw .last("bind", endpoint: endpoint) }
    return try get(.lastEndpoint)
  }

  /// Connects to an endpoint. For ipc and tcp nobody needs to listen there yet: libzmq keeps trying.
  ///
  /// - Throws: `ZeroMQError` if the endpoint is malformed.
  public mutating func connect(_ endpoint: String) throws(ZeroMQError) {
    guard zmq_connect(handle, endpoint) == 0 else { throw .last("connect", endpoint: endpoint) }
  }

  /// Stops listening at an endpoint, named as ``bind(_:)`` returned it.
  ///
  /// - Throws: `ZeroMQError` of code `noSuchEndpoint` if the socket is not bound there.
  public mutating func unbind(_ endpoint: String) throws(ZeroMQError) {
    guard zmq_unbind(handle, endpoint) == 0 else { throw .last("unbind", endpoint: endpoint) }
  }

  /// Disconnects from an endpoint.
  ///
  /// - Throws: `ZeroMQError` of code `noSuchEndpoint` if the socket is not connected there.
  public mutating func disconnect(_ endpoint: String) throws(ZeroMQError) {
    guard zmq_disconnect(handle, endpoint) == 0 else { throw .last("disconnect", endpoint: endpoint) }
  }

  /// The endpoint bound or connected last; empty before.
  public var lastEndpoint: String {
    mutating get throws(ZeroMQError) { try get(.lastEndpoint) }
  }
}

// MARK: - Sending

extension Socket {
  /// Sends a frame, and waits while the socket's queue is full.
  ///
  /// - Parameters:
  ///   - frame: The frame, which is libzmq's from then on.
  ///   - more: Whether further frames of the same message follow.
  /// - Throws: `ZeroMQError`; the frame is then freed.
  public mutating func send(_ frame: consuming Frame, more: Bool = false) throws(ZeroMQError) {
    let status = post(&frame, flags: more ? ZMQ_SNDMORE : 0)
    if status != 0 { throw ZeroMQError(errno: status, operation: "send") }
    // libzmq left an empty message, which owns nothing to be freed.
    _ = frame.relinquish()
  }

  /// Sends a frame if the socket can take it now.
  ///
  /// - Parameters:
  ///   - frame: The frame; empty afterwards if it was sent, untouched if it was not.
  ///   - more: Whether further frames of the same message follow. libzmq admits messages whole: once the first frame is
  ///     taken the others are too.
  /// - Returns: Whether it was sent.
  /// - Throws: `ZeroMQError` for any failure but a full queue.
  public mutating func trySend(_ frame: inout Frame, more: Bool = false) throws(ZeroMQError) -> Bool {
    let status = post(&frame, flags: more ? ZMQ_DONTWAIT | ZMQ_SNDMORE : ZMQ_DONTWAIT)
    if status == 0 { return true }
    if status == EAGAIN { return false }
    throw ZeroMQError(errno: status, operation: "send")
  }

  /// Sends a message, and waits while the socket's queue is full.
  ///
  /// - Parameter message: The message; empty afterwards.
  /// - Throws: `ZeroMQError`; frames that were not sent are still in the message.
  public mutating func send(_ message: inout Multipart) throws(ZeroMQError) {
    try send(&message, firstFlags: 0)
  }

  /// Sends a message if the socket can take it now.
  ///
  /// - Parameter message: The message; empty afterwards if it was sent, untouched if it was not.
  /// - Returns: Whether it was sent.
  /// - Throws: `ZeroMQError` for any failure but a full queue.
  public mutating func trySend(_ message: inout Multipart) throws(ZeroMQError) -> Bool {
    do {
      try send(&message, firstFlags: ZMQ_DONTWAIT)
      return true
    } catch  where error.code == .timedOut {
      return false
    } catch {
      throw error
    }
  }

  private mutating func send(_ message: inout Multipart, firstFlags: Int32) throws(ZeroMQError) {
    let count = message.count
    var sent = 0
    while sent < count {
      // Only the first frame may be turned away, so the others need no flag against waiting.
      let flags = (sent == 0 ? firstFlags : 0) | (sent + 1 < count ? ZMQ_SNDMORE : 0)
      let status = post(&message[sent], flags: flags)
      if status != 0 {
        message.removeFirst(sent)
        throw ZeroMQError(errno: status, operation: "send")
      }
      sent += 1
    }
    message.removeAll()
  }

  /// Sends one frame; zero or the `errno`.
  @inline(__always)
  private mutating func post(_ frame: inout Frame, flags: Int32) -> Int32 {
    let handle = handle
    return frame.storage.withMessage { message in
      while zmq_msg_send(message, handle, flags) < 0 {
        let number = zmq_errno()
        if number == EINTR { continue }
        guard number == EAGAIN, flags & ZMQ_DONTWAIT != 0 else { return number }
        return Self.postAgain(message, handle, flags: flags)
      }
      return 0
    }
  }

  /// Sends a frame that was turned away without waiting, in case the queue has room after all.
  ///
  /// libzmq hears of room made by the peer only once in a while when it sends, but always when asked for its events.
  private static func postAgain(
    _ message: UnsafeMutablePointer<zmq_msg_t>, _ handle: UnsafeMutableRawPointer, flags: Int32
  ) -> Int32 {
    var events: Int32 = 0
    var size = MemoryLayout<Int32>.size
    guard zmq_getsockopt(handle, ZMQ_EVENTS, &events, &size) == 0 else { return zmq_errno() }
    guard events & ZMQ_POLLOUT != 0 else { return EAGAIN }
    while zmq_msg_send(message, handle, flags) < 0 {
      let number = zmq_errno()
      if number != EINTR { return number }
    }
    return 0
  }
}

// MARK: - Receiving

extension Socket {
  /// Waits for a frame.
  ///
  /// - Throws: `ZeroMQError`: `terminated` when the context shuts down, `timedOut` after ``SocketOption/receiveTimeout``.
  public mutating func receive() throws(ZeroMQError) -> Frame {
    var frame = Frame()
    try receive(into: &frame)
    return frame
  }

  /// Waits for a frame and puts it in the place of another, which is freed.
  ///
  /// - Throws: `ZeroMQError`: `terminated` when the context shuts down, `timedOut` after ``SocketOption/receiveTimeout``.
  public mutating func receive(into frame: inout Frame) throws(ZeroMQError) {
    let status = fetch(&frame, flags: 0)
    if status != 0 { throw ZeroMQError(errno: status, operation: "receive") }
  }

  /// Receives a frame if there is one.
  ///
  /// - Returns: The frame, or `nil` if none is waiting.
  /// - Throws: `ZeroMQError` for any other failure.
  public mutating func tryReceive() throws(ZeroMQError) -> Frame? {
    var frame = Frame()
    guard try tryReceive(into: &frame) else { return nil }
    return frame
  }

  /// Receives a frame, if there is one, in the place of another, which is freed.
  ///
  /// - Returns: Whether there was one.
  /// - Throws: `ZeroMQError` for any other failure.
  public mutating func tryReceive(into frame: inout Frame) throws(ZeroMQError) -> Bool {
    let status = fetch(&frame, flags: ZMQ_DONTWAIT)
    if status == 0 { return true }
    if status == EAGAIN { return false }
    throw ZeroMQError(errno: status, operation: "receive")
  }

  /// Waits for a message and puts its frames in the place of another's.
  ///
  /// - Parameters:
  ///   - message: Receives the frames; its room is reused.
  ///   - limit: The most frames to keep; those beyond are dropped and counted in ``Multipart/excess``.
  /// - Throws: `ZeroMQError`: `terminated` when the context shuts down, `timedOut` after ``SocketOption/receiveTimeout``.
  public mutating func receive(into message: inout Multipart, limit: Int = .max) throws(ZeroMQError) {
    message.removeAll()
    try message.append(receive())
    try receiveRest(into: &message, limit: limit)
  }

  /// Receives a message, if there is one, in the place of another.
  ///
  /// - Parameters:
  ///   - message: Receives the frames; its room is reused. Empty if there was no message.
  ///   - limit: The most frames to keep; those beyond are dropped and counted in ``Multipart/excess``.
  /// - Returns: Whether there was one.
  /// - Throws: `ZeroMQError` for any other failure.
  public mutating func tryReceive(
    into message: inout Multipart, limit: Int = .max
  ) throws(ZeroMQError) -> Bool {
    message.removeAll()
    guard let first = try tryReceive() else { return false }
    message.append(first)
    try receiveRest(into: &message, limit: limit)
    return true
  }

  private mutating func receiveRest(into message: inout Multipart, limit: Int) throws(ZeroMQError) {
    var more = message[0].more
    while more {
      // The rest of a message is there once its first frame is.
      let frame = try receive()
      more = frame.more
      if message.count < limit { message.append(frame) } else { message.excess += 1 }
    }
  }

  /// Receives one frame; zero or the `errno`.
  @inline(__always)
  private mutating func fetch(_ frame: inout Frame, flags: Int32) -> Int32 {
    let handle = handle
    return frame.storage.withMessage { message in
      while zmq_msg_recv(message, handle, flags) < 0 {
        let number = zmq_errno()
        if number != EINTR { return number }
      }
      return 0
    }
  }
}
