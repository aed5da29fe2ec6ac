internal import CZeroMQ

/// A socket's option and the type of its value.
///
/// ```swift
/// try socket.set(.sendHighWaterMark, to: 64)
/// try socket.set(.receiveTimeout, to: .seconds(2))
/// ```
///
/// Most options act on endpoints bound or connected afterwards. Durations are rounded up to milliseconds.
public struct SocketOption<Value: Sendable>: Sendable {
  let code: Int32
  let name: String

  init(_ code: Int32, _ name: String) {
    self.code = code
    self.name = name
  }
}

extension SocketOption where Value == Int {
  /// The most messages queued for each peer before sending waits; 0 for no limit. 1000 unless set.
  public static var sendHighWaterMark: Self { .init(ZMQ_SNDHWM, "sendHighWaterMark") }
  /// The most messages queued from each peer before receiving stops; 0 for no limit. 1000 unless set.
  public static var receiveHighWaterMark: Self { .init(ZMQ_RCVHWM, "receiveHighWaterMark") }
  /// The most connections waiting to be accepted. 100 unless set.
  public static var backlog: Self { .init(ZMQ_BACKLOG, "backlog") }
  /// Whether the kernel probes idle tcp connections: 1, 0, or -1 for the system's default.
  public static var tcpKeepalive: Self { .init(ZMQ_TCP_KEEPALIVE, "tcpKeepalive") }
  /// Seconds of silence before the first tcp probe; -1 for the system's default.
  public static var tcpKeepaliveIdle: Self { .init(ZMQ_TCP_KEEPALIVE_IDLE, "tcpKeepaliveIdle") }
  /// Seconds between tcp probes; -1 for the system's default.
  public static var tcpKeepaliveInterval: Self { .init(ZMQ_TCP_KEEPALIVE_INTVL, "tcpKeepaliveInterval") }
  /// Unanswered tcp probes before the connection is given up; -1 for the system's default.
  public static var tcpKeepaliveCount: Self { .init(ZMQ_TCP_KEEPALIVE_CNT, "tcpKeepaliveCount") }
  /// The kernel's send buffer in bytes; -1 for the system's default.
  public static var sendBuffer: Self { .init(ZMQ_SNDBUF, "sendBuffer") }
  /// The kernel's receive buffer in bytes; -1 for the system's default.
  public static var receiveBuffer: Self { .init(ZMQ_RCVBUF, "receiveBuffer") }
}

extension SocketOption where Value == Int64 {
  /// The largest frame accepted from a peer in bytes, -1 for any; a peer that sends a larger one is disconnected before
  /// anything is allocated for it.
  public static var maxMessageSize: Self { .init(ZMQ_MAXMSGSIZE, "maxMessageSize") }
}

extension SocketOption where Value == Bool {
  /// Whether a router refuses to send to an unknown peer with `hostUnreachable`, rather than dropping in silence.
  public static var routerMandatory: Self { .init(ZMQ_ROUTER_MANDATORY, "routerMandatory") }
  /// Whether a new peer takes over the routing id of another, rather than being refused.
  public static var routerHandover: Self { .init(ZMQ_ROUTER_HANDOVER, "routerHandover") }
  /// Whether messages are queued only for connections that are established.
  public static var immediate: Self { .init(ZMQ_IMMEDIATE, "immediate") }
  /// Whether IPv6 addresses are allowed beside IPv4 ones.
  public static var ipv6: Self { .init(ZMQ_IPV6, "ipv6") }
  /// Whether connecting sends an empty message, which tells a router of the new peer.
  public static var probeRouter: Self { .init(ZMQ_PROBE_ROUTER, "probeRouter") }
}

extension SocketOption where Value == Duration {
  /// How often to ping a connection; zero for never, as it is unless set.
  public static var heartbeatInterval: Self { .init(ZMQ_HEARTBEAT_IVL, "heartbeatInterval") }
  /// How long to wait for the answer to a ping before closing the connection.
  public static var heartbeatTimeout: Self { .init(ZMQ_HEARTBEAT_TIMEOUT, "heartbeatTimeout") }
  /// How long the peer shall wait for anything before it closes the connection; in tenths of a second, under 6553 s.
  public static var heartbeatTimeToLive: Self { .init(ZMQ_HEARTBEAT_TTL, "heartbeatTimeToLive") }
  /// How long a handshake may take; 30 s unless set, zero for any time.
  public static var handshakeInterval: Self { .init(ZMQ_HANDSHAKE_IVL, "handshakeInterval") }
  /// How long connecting may take before it is retried; zero for the system's default.
  public static var connectTimeout: Self { .init(ZMQ_CONNECT_TIMEOUT, "connectTimeout") }
  /// The first wait before connecting anew; 100 ms unless set.
  public static var reconnectInterval: Self { .init(ZMQ_RECONNECT_IVL, "reconnectInterval") }
  /// The longest wait before connecting anew: waits double up to it. Zero, as unless set, keeps them constant.
  public static var maxReconnectInterval: Self { .init(ZMQ_RECONNECT_IVL_MAX, "maxReconnectInterval") }
}

extension SocketOption where Value == Duration? {
  /// How long a closed socket's messages are still delivered; `nil` for ever, which can hold up ``Context/close()``.
  /// Zero unless set.
  public static var linger: Self { .init(ZMQ_LINGER, "linger") }
  /// How long ``Socket/send(_:more:)`` waits; `nil`, as unless set, for ever.
  public static var sendTimeout: Self { .init(ZMQ_SNDTIMEO, "sendTimeout") }
  /// How long ``Socket/receive()`` waits; `nil`, as unless set, for ever.
  public static var receiveTimeout: Self { .init(ZMQ_RCVTIMEO, "receiveTimeout") }
}

extension SocketOption where Value == String {
  /// The endpoint bound or connected last. Read-only.
  public static var lastEndpoint: Self { .init(ZMQ_LAST_ENDPOINT, "lastEndpoint") }
  /// The name under which ``Authenticator`` is asked about a server socket's peers; at most 255 bytes.
  public static var zapDomain: Self { .init(ZMQ_ZAP_DOMAIN, "zapDomain") }
}

extension SocketOption where Value == [UInt8] {
  /// The name under which routers know this socket: 1 to 255 bytes of which the first is not zero.
  public static var routingID: Self { .init(ZMQ_ROUTING_ID, "routingID") }
  /// The name this router gives to the peer connected next.
  public static var connectRoutingID: Self { .init(ZMQ_CONNECT_ROUTING_ID, "connectRoutingID") }
}

extension Socket {
  /// Sets a number. - Throws: `ZeroMQError` if the option does not take the value.
  public mutating func set(_ option: SocketOption<Int>, to value: Int) throws(ZeroMQError) {
    guard let value = Int32(exactly: value) else { throw .refused(option.name, value) }
    try setRaw(option.code, option.name, value)
  }

  /// Sets a size. - Throws: `ZeroMQError` if the option does not take the value.
  public mutating func set(_ option: SocketOption<Int64>, to value: Int64) throws(ZeroMQError) {
    try setRaw(option.code, option.name, value)
  }

  /// Sets a switch. - Throws: `ZeroMQError` if the socket's kind has no such option.
  public mutating func set(_ option: SocketOption<Bool>, to value: Bool) throws(ZeroMQError) {
    try setRaw(option.code, option.name, Int32(value ? 1 : 0))
  }

  /// Sets a time. - Throws: `ZeroMQError` if it is out of the option's range.
  public mutating func set(_ option: SocketOption<Duration>, to value: Duration) throws(ZeroMQError) {
    guard value >= .zero else { throw .refused(option.name, value) }
    try setRaw(option.code, option.name, value.milliseconds)
  }

  /// Sets a time or, with `nil`, none. - Throws: `ZeroMQError` if it is negative.
  public mutating func set(_ option: SocketOption<Duration?>, to value: Duration?) throws(ZeroMQError) {
    if let value, value < .zero { throw .refused(option.name, value) }
    try setRaw(option.code, option.name, value?.milliseconds ?? -1)
  }

  /// Sets a text. - Throws: `ZeroMQError` if it is too long.
  public mutating func set(_ option: SocketOption<String>, to value: String) throws(ZeroMQError) {
    try setRaw(option.code, option.name, bytes: Array(value.utf8))
  }

  /// Sets a name. - Throws: `ZeroMQError` if it is empty or too long.
  public mutating func set(_ option: SocketOption<[UInt8]>, to value: [UInt8]) throws(ZeroMQError) {
    try setRaw(option.code, option.name, bytes: value)
  }

  /// A number's present value.
  public mutating func get(_ option: SocketOption<Int>) throws(ZeroMQError) -> Int {
    Int(try getRaw(option.code, option.name, Int32(0)))
  }

  /// A size's present value.
  public mutating func get(_ option: SocketOption<Int64>) throws(ZeroMQError) -> Int64 {
    try getRaw(option.code, option.name, Int64(0))
  }

  /// A switch's present value.
  public mutating func get(_ option: SocketOption<Bool>) throws(ZeroMQError) -> Bool {
    try getRaw(option.code, option.name, Int32(0)) != 0
  }

  /// A time's present value.
  public mutating func get(_ option: SocketOption<Duration>) throws(ZeroMQError) -> Duration {
    .milliseconds(try getRaw(option.code, option.name, Int32(0)))
  }

  /// A time's present value; `nil` for none.
  public mutating func get(_ option: SocketOption<Duration?>) throws(ZeroMQError) -> Duration? {
    let value = try getRaw(option.code, option.name, Int32(0))
    return value < 0 ? nil : .milliseconds(value)
  }

  /// A text's present value.
  public mutating func get(_ option: SocketOption<String>) throws(ZeroMQError) -> String {
    // libzmq returns texts with a closing zero.
    String(decoding: try getBytes(option.code, option.name).prefix { $0 != 0 }, as: UTF8.self)
  }

  /// A name's present value.
  public mutating func get(_ option: SocketOption<[UInt8]>) throws(ZeroMQError) -> [UInt8] {
    try getBytes(option.code, option.name)
  }

  /// A descriptor that becomes readable when ``pendingEvents`` may have changed, for event loops other than ``Poller``.
  ///
  /// It is edge-triggered: after it fires, read ``pendingEvents`` and receive until there is nothing left.
  public var fileDescriptor: Int32 {
    mutating get throws(ZeroMQError) { try getRaw(ZMQ_FD, "fileDescriptor", Int32(-1)) }
  }

  /// What the socket could do now without waiting.
  public var pendingEvents: Poller.Events {
    mutating get throws(ZeroMQError) {
      .init(rawValue: Int16(truncatingIfNeeded: try getRaw(ZMQ_EVENTS, "events", Int32(0))))
    }
  }
}

// MARK: - Raw access

extension Socket {
  mutating func setRaw<Value: BitwiseCopyable>(
    _ code: Int32, _ name: String, _ value: Value
  ) throws(ZeroMQError) {
    let status = withUnsafeBytes(of: value) { zmq_setsockopt(handle, code, $0.baseAddress, $0.count) }
    if status != 0 { throw .refused(name, value) }
  }

  mutating func setRaw(_ code: Int32, _ name: String, bytes: [UInt8]) throws(ZeroMQError) {
    let status = bytes.withUnsafeBytes { zmq_setsockopt(handle, code, $0.baseAddress, $0.count) }
    if status != 0 { throw .last("set \(name)") }
  }

  private mutating func getRaw<Value: BitwiseCopyable>(
    _ code: Int32, _ name: String, _ initial: Value
  ) throws(ZeroMQError) -> Value {
    var value = initial
    var size = MemoryLayout<Value>.size
    guard zmq_getsockopt(handle, code, &value, &size) == 0 else { throw .last("get \(name)") }
    return value
  }

  private mutating func getBytes(_ code: Int32, _ name: String) throws(ZeroMQError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 1024)
    var size = bytes.count
    guard zmq_getsockopt(handle, code, &bytes, &size) == 0 else { throw .last("get \(name)") }
    return Array(bytes.prefix(size))
  }
}

extension ZeroMQError {
  /// The error of an option that does not take a value.
  fileprivate static func refused<Value>(_ name: String, _ value: Value) -> ZeroMQError {
    let number = zmq_errno()
    if number == ETERM || number == ENOTSOCK { return ZeroMQError(errno: number, operation: "set \(name)") }
    return ZeroMQError(.invalidArgument, operation: "set \(name)", message: "\(value) is out of the option's range")
  }
}

extension Duration {
  /// Whole milliseconds, rounded up so that a short wait is not a busy one, as far as libzmq's 32 bits reach.
  var milliseconds: Int32 {
    let (seconds, attoseconds) = components
    guard seconds < 2_147_483 else { return .max }
    return Int32(seconds) * 1000 + Int32((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
  }
}
