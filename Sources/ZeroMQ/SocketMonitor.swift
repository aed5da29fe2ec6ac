internal import CZeroMQ
internal import Synchronization

/// Something that happened to one of a monitored socket's connections.
public struct SocketEvent: Sendable, Hashable {
  /// What happened.
  public enum Kind: Sendable, Hashable {
    /// The socket listens.
    case listening
    /// Listening failed with this `errno`.
    case bindFailed(Int32)
    /// A connection was accepted.
    case accepted
    /// A connection was made; its handshake follows.
    case connected
    /// Connecting is under way.
    case connectDelayed
    /// Connecting failed and is retried after this time.
    case connectRetried(Duration)
    /// The handshake succeeded: messages flow.
    case handshakeSucceeded
    /// The handshake failed with this `errno`, often because the peer hung up.
    case handshakeFailed(Int32)
    /// The peer broke the protocol, uses another security mechanism, or knows a wrong server key; libzmq's code.
    case handshakeBrokeProtocol(UInt32)
    /// The server's authenticator refused the client with this status: 300, 400 or 500.
    case handshakeRefused(UInt32)
    /// A connection was lost.
    case disconnected
    /// The socket stopped listening, or a connection was closed.
    case closed
    /// Any other event of libzmq.
    case other(UInt16, UInt32)
  }

  /// What happened.
  public let kind: Kind
  /// The endpoint that it happened to.
  public let endpoint: String
}

extension SocketEvent {
  /// Which events to watch.
  public struct Mask: OptionSet, Sendable, Hashable {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// Handshakes that failed, in any way.
    public static let handshakeFailures = Mask(rawValue: 0x0800 | 0x2000 | 0x4000)
    /// Handshakes that succeeded.
    public static let handshakeSuccesses = Mask(rawValue: 0x1000)
    /// Connections made, accepted, retried and lost.
    public static let connections = Mask(rawValue: 0x0001 | 0x0002 | 0x0004 | 0x0020 | 0x0200)
    /// Everything.
    public static let all = Mask(rawValue: 0xffff)
  }
}

private let nextMonitor = Atomic<UInt>(0)

extension Socket {
  /// Records events of the socket's connections, to be fetched with ``nextEvent()``.
  ///
  /// Start before binding or connecting, so that nothing is missed. Events wait in memory until fetched, so keep
  /// fetching: ``Poller/add(monitorOf:)`` tells when. The socket owns its monitor and ends it when it closes, since a
  /// monitor whose reader is gone blocks libzmq's I/O thread.
  ///
  /// - Parameter events: Which ones. Starting anew replaces the former choice and drops events not fetched.
  /// - Throws: `ZeroMQError` if the context has no socket left.
  public mutating func startMonitoring(_ events: SocketEvent.Mask = .all) throws(ZeroMQError) {
    stopMonitoring()
    guard let context else { return }
    let reader = try context.makeHandle(.pair)
    var unlimited: Int32 = 0
    // Without a limit the I/O thread never waits for the reader.
    zmq_setsockopt(reader, ZMQ_RCVHWM, &unlimited, MemoryLayout<Int32>.size)
    let number = nextMonitor.wrappingAdd(1, ordering: .relaxed).newValue
    let endpoint = "inproc://antiphon.monitor.\(number)"
    guard zmq_socket_monitor(handle, endpoint, events.rawValue) == 0 else {
      let error = ZeroMQError.last("monitor")
      zmq_close(reader)
      throw error
    }
    guard zmq_connect(reader, endpoint) == 0 else {
      let error = ZeroMQError.last("monitor", endpoint: endpoint)
      Self.closeMonitor(reader, of: handle)
      throw error
    }
    monitor = reader
  }

  /// Ends monitoring; events not fetched are dropped. Does nothing if the socket is not monitored.
  public mutating func stopMonitoring() {
    if let monitor { Self.closeMonitor(monitor, of: handle) }
    monitor = nil
  }

  /// Fetches the next recorded event.
  ///
  /// - Returns: The event, or `nil` if none is waiting or the socket is not monitored.
  /// - Throws: `ZeroMQError` of code `terminated` when the context shuts down.
  public mutating func nextEvent() throws(ZeroMQError) -> SocketEvent? {
    guard let monitor else { return nil }
    var frame = Frame()
    guard try Self.fetchEventFrame(from: monitor, into: &frame) else { return nil }
    let head = frame.bytes()
    guard frame.more, try Self.fetchEventFrame(from: monitor, into: &frame) else { return nil }
    guard head.count == 6 else { return nil }
    return head.withUnsafeBytes { head in
      SocketEvent(
        code: head.loadUnaligned(as: UInt16.self), value: head.loadUnaligned(fromByteOffset: 2, as: UInt32.self),
        endpoint: frame.text())
    }
  }

  /// Ends the monitor before its reader, for libzmq would wait for a reader that is gone.
  static func closeMonitor(_ reader: UnsafeMutableRawPointer, of handle: UnsafeMutableRawPointer) {
    zmq_socket_monitor(handle, nil, 0)
    zmq_close(reader)
  }

  private static func fetchEventFrame(
    from monitor: UnsafeMutableRawPointer, into frame: inout Frame
  ) throws(ZeroMQError) -> Bool {
    let status = frame.storage.withMessage { message -> Int32 in
      while zmq_msg_recv(message, monitor, ZMQ_DONTWAIT) < 0 {
        if zmq_errno() != EINTR { return zmq_errno() }
      }
      return 0
    }
    if status == EAGAIN { return false }
    if status != 0 { throw ZeroMQError(errno: status, operation: "receive a socket event") }
    return true
  }
}

extension SocketEvent {
  /// Reads libzmq's event of version 1.
  init(code: UInt16, value: UInt32, endpoint: String) {
    self.endpoint = endpoint
    kind =
      switch Int32(code) {
      case ZMQ_EVENT_LISTENING: .listening
      case ZMQ_EVENT_BIND_FAILED, ZMQ_EVENT_ACCEPT_FAILED: .bindFailed(Int32(truncatingIfNeeded: value))
      case ZMQ_EVENT_ACCEPTED: .accepted
      case ZMQ_EVENT_CONNECTED: .connected
      case ZMQ_EVENT_CONNECT_DELAYED: .connectDelayed
      case ZMQ_EVENT_CONNECT_RETRIED: .connectRetried(.milliseconds(value))
      case ZMQ_EVENT_HANDSHAKE_SUCCEEDED: .handshakeSucceeded
      case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL: .handshakeFailed(Int32(truncatingIfNeeded: value))
      case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL: .handshakeBrokeProtocol(value)
      case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH: .handshakeRefused(value)
      case ZMQ_EVENT_DISCONNECTED: .disconnected
      case ZMQ_EVENT_CLOSED: .closed
      default: .other(code, value)
      }
  }
}
