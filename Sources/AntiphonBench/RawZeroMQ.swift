import CZeroMQ
import Dataflow
import DataflowRuntime
import Foundation

/// libzmq through its C API alone, as little around it as can be: what our edges are compared with.
///
/// Two threads, with a context each unless they talk over inproc, as the parts of a graph have. Small messages are
/// copied into the frame; larger ones are sent from where they lie.
struct RawZeroMQ {
  let course: Course
  let seconds: Double
  /// Whether the threads that make and take messages hand them over inproc to threads that own the sockets, as nodes do:
  /// four threads rather than two.
  var isRelayed = false

  /// The receiver binds; the sender connects. @unchecked: each pointer is used by one thread at a time.
  private struct Contexts: @unchecked Sendable {
    let receiver: UnsafeMutableRawPointer?
    let sender: UnsafeMutableRawPointer?
  }

  /// Contexts may be used by any thread.
  private struct Context: @unchecked Sendable { let pointer: UnsafeMutableRawPointer? }

  /// Runs `body` with the socket itself, or on a thread of its own behind a relay.
  private func relayed(
    from socket: UnsafeMutableRawPointer, _ context: Context,
    _ body: @escaping @Sendable (UnsafeMutableRawPointer) -> Void
  ) {
    guard isRelayed else { return body(socket) }
    let done = Box<Bool>()
    spawn("raw-consumer") { [self] in
      withSocket(ZMQ_PULL, context, inproc: "consumer", body)
      done.put(true)
    }
    withSocket(ZMQ_PUSH, context, inproc: "consumer") { forward(from: socket, to: $0) }
    _ = done.take()
  }

  private func relayed(
    to socket: UnsafeMutableRawPointer, _ context: Context,
    _ body: @escaping @Sendable (UnsafeMutableRawPointer) -> Void
  ) {
    guard isRelayed else { return body(socket) }
    let done = Box<Bool>()
    spawn("raw-producer") { [self] in
      withSocket(ZMQ_PUSH, context, inproc: "producer", body)
      done.put(true)
    }
    withSocket(ZMQ_PULL, context, inproc: "producer") { forward(from: $0, to: socket) }
    _ = done.take()
  }

  private func withSocket(
    _ kind: Int32, _ context: Context, inproc name: String, _ body: (UnsafeMutableRawPointer) -> Void
  ) {
    guard let socket = zmq_socket(context.pointer, kind) else { return }
    configure(socket, ZMQ_RCVHWM, ZMQ_SNDHWM)
    // The one that receives binds.
    let attach = kind == ZMQ_PULL ? zmq_bind : zmq_connect
    if attach(socket, "inproc://\(name)") == 0 { body(socket) }
    zmq_close(socket)
  }

  /// Passes messages on, the empty one that ends them included.
  private func forward(from source: UnsafeMutableRawPointer, to target: UnsafeMutableRawPointer) {
    var message = zmq_msg_t()
    zmq_msg_init(&message)
    while zmq_msg_recv(&message, source, 0) >= 0 {
      let isLast = zmq_msg_size(&message) == 0
      if zmq_msg_send(&message, target, 0) < 0 || isLast { break }
    }
    zmq_msg_close(&message)
  }

  func pace() throws -> Pace {
    let result = Box<Pace>()
    try withPair(ZMQ_PULL, ZMQ_PUSH) { receiver, context in
      relayed(from: receiver, context) { receiver in
        var counter = RateCounter(course: course)
        let clock = SystemTime()
        receive(receiver) { size in
          if size == 0 { return false }
          counter.note(clock.now)
          return true
        }
        result.put(counter.pace(at: clock.now))
      }
    } sending: { sender, context in
      relayed(to: sender, context) { sender in
        let payload = Payload(size: course.size)
        let clock = SystemTime()
        let end = clock.now + Int64(seconds * 1e9)
        // The clock is looked at now and then.
        let stride = course.size > 100_000 ? 1 : 64
        while clock.now < end {
          for _ in 0..<stride where !payload.send(sender) { return }
        }
        Payload(size: 0).send(sender)
      }
      _ = result.take()
    }
    guard let pace = result.current else { throw BenchError("raw ZeroMQ did not end") }
    return pace
  }

  func delays() throws -> Delays {
    let result = Box<Delays>()
    try withPair(ZMQ_PAIR, ZMQ_PAIR) { receiver, _ in
      let payload = Payload(size: course.size)
      receive(receiver) { size in
        if size == 0 { return false }
        return payload.send(receiver)
      }
    } sending: { sender, _ in
      let payload = Payload(size: course.size)
      var delays = Delays()
      let clock = SystemTime()
      var now = clock.now
      let end = now + Int64(seconds * 1e9)
      var round = 0
      guard payload.send(sender) else { return }
      receive(sender) { _ in
        let back = clock.now
        round += 1
        if round > 50 { delays.times.append(back - now) }
        if back > end { return false }
        now = clock.now
        return payload.send(sender)
      }
      Payload(size: 0).send(sender)
      result.put(delays)
    }
    guard let delays = result.current else { throw BenchError("raw ZeroMQ did not end") }
    return delays
  }

  /// Runs two threads with a socket each, to their ends.
  private func withPair(
    _ receiverKind: Int32, _ senderKind: Int32,
    receiving: @escaping @Sendable (UnsafeMutableRawPointer, Context) -> Void,
    sending: @escaping @Sendable (UnsafeMutableRawPointer, Context) -> Void
  ) throws {
    let first = zmq_ctx_new()
    let second = course.carrier.crossesSockets ? zmq_ctx_new() : first
    let contexts = Contexts(receiver: first, sender: second)
    let keys = course.carrier == .curve ? Keys() : nil
    let address = Box<String>()
    let (received, sent) = (Box<Bool>(), Box<Bool>())
    let directory = try RunDirectory()
    let endpoint =
      switch course.carrier {
      case .direct, .inproc: "inproc://raw"
      case .ipc: "ipc://\(directory.path)/raw"
      case .tcp, .curve: "tcp://127.0.0.1:*"
      }
    spawn("raw-receiver") { [self] in
      guard let socket = zmq_socket(contexts.receiver, receiverKind) else { return }
      configure(socket, ZMQ_RCVHWM, ZMQ_SNDHWM)
      if let keys { keys.serve(socket) }
      if zmq_bind(socket, endpoint) == 0 {
        var text = [CChar](repeating: 0, count: 256)
        var length = text.count
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, &text, &length)
        address.put(String(decoding: text.prefix(max(0, length - 1)).map(UInt8.init(bitPattern:)), as: UTF8.self))
        receiving(socket, Context(pointer: contexts.receiver))
      }
      zmq_close(socket)
      received.put(true)
    }
    guard let bound = address.take() else { throw BenchError("raw ZeroMQ could not bind \(endpoint)") }
    spawn("raw-sender") { [self] in
      guard let socket = zmq_socket(contexts.sender, senderKind) else { return }
      configure(socket, ZMQ_RCVHWM, ZMQ_SNDHWM)
      if let keys { keys.connect(socket) }
      if zmq_connect(socket, bound) == 0 { sending(socket, Context(pointer: contexts.sender)) }
      zmq_close(socket)
      sent.put(true)
    }
    guard sent.take() != nil, received.take() != nil else { throw BenchError("raw ZeroMQ did not end") }
    zmq_ctx_term(contexts.receiver)
    if contexts.sender != contexts.receiver { zmq_ctx_term(contexts.sender) }
  }

  private func configure(_ socket: UnsafeMutableRawPointer, _ marks: Int32...) {
    var depth = Int32(course.depth)
    for mark in marks { zmq_setsockopt(socket, mark, &depth, MemoryLayout<Int32>.size) }
  }

  private func spawn(_ name: String, _ body: @escaping @Sendable () -> Void) {
    let thread = Thread(block: body)
    thread.name = name
    thread.start()
  }

  /// Receives until `body`, which is told each message's size, says false.
  private func receive(_ socket: UnsafeMutableRawPointer, _ body: (Int) -> Bool) {
    var message = zmq_msg_t()
    zmq_msg_init(&message)
    while zmq_msg_recv(&message, socket, 0) >= 0, body(zmq_msg_size(&message)) {}
    zmq_msg_close(&message)
  }

  /// Bytes to send again and again.
  private final class Payload {
    private let bytes: UnsafeMutableRawPointer?
    private let size: Int

    init(size: Int) {
      self.size = size
      // Never freed, for libzmq may hold on to it for a while.
      bytes = UnsafeMutableRawPointer(mutating: Self.block.memory.bytes.baseAddress)
    }

    private static let block = SharedBuffer<UInt8>(count: 16 << 20) { $0.initialize(repeating: 7) }

    @discardableResult
    func send(_ socket: UnsafeMutableRawPointer) -> Bool {
      var message = zmq_msg_t()
      if size <= 32 {
        zmq_msg_init_size(&message, size)
        if size > 0, let bytes { zmq_msg_data(&message)?.copyMemory(from: bytes, byteCount: size) }
      } else {
        zmq_msg_init_data(&message, bytes, size, { _, _ in }, nil)
      }
      if zmq_msg_send(&message, socket, 0) >= 0 { return true }
      zmq_msg_close(&message)
      return false
    }
  }

  /// One pair for each side.
  private struct Keys: Sendable {
    private let server: (open: [CChar], secret: [CChar])
    private let client: (open: [CChar], secret: [CChar])

    init() { (server, client) = (Self.make(), Self.make()) }

    private static func make() -> (open: [CChar], secret: [CChar]) {
      var (open, secret) = ([CChar](repeating: 0, count: 41), [CChar](repeating: 0, count: 41))
      zmq_curve_keypair(&open, &secret)
      return (open, secret)
    }

    func serve(_ socket: UnsafeMutableRawPointer) {
      var yes: Int32 = 1
      zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &yes, MemoryLayout<Int32>.size)
      zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, server.secret, 41)
    }

    func connect(_ socket: UnsafeMutableRawPointer) {
      zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server.open, 41)
      zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, client.open, 41)
      zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, client.secret, 41)
    }
  }
}
