internal import CZeroMQ
internal import Synchronization

/// libzmq's state: its I/O threads and every socket made in it.
///
/// ```swift
/// let context = try Context()
/// var server = try Socket(.router, in: context)
/// try server.bind("tcp://127.0.0.1:*")
/// ```
///
/// Sockets keep their context alive, so that letting everything go out of scope cleans up in the right order. To stop
/// threads that block in a socket, call ``shutdown()``: each gets an error of code `terminated`, closes its sockets and
/// returns.
public final class Context: Sendable {
  private enum Phase {
    case open
    /// Blocking calls fail and no socket can be made.
    case shutDown
    /// Handed to `zmq_ctx_term`.
    case closed
  }

  // The handle is used by any thread: libzmq's contexts are thread-safe until they are terminated, and the phase says
  // whether they are.
  private struct Handle: @unchecked Sendable {
    let pointer: UnsafeMutableRawPointer
  }

  private let handle: Handle
  private let phase = Mutex(Phase.open)

  /// Makes a context.
  ///
  /// - Parameters:
  ///   - ioThreads: Threads that move bytes; one serves about a gigabyte a second. Zero suffices for `inproc` alone.
  ///   - maxSockets: The most sockets open at once.
  /// - Throws: `ZeroMQError` if a value is out of range or file descriptors have run out.
  public init(ioThreads: Int = 1, maxSockets: Int = 1023) throws(ZeroMQError) {
    guard let pointer = zmq_ctx_new() else { throw .last("make a context") }
    handle = Handle(pointer: pointer)
    try set(ZMQ_IO_THREADS, to: ioThreads, named: "ioThreads")
    try set(ZMQ_MAX_SOCKETS, to: maxSockets, named: "maxSockets")
    // Without this, sockets linger for ever on messages that nobody fetches.
    try set(ZMQ_BLOCKY, to: 0, named: "blocky")
  }

  deinit { close() }

  /// Ends every blocking call on the context's sockets with an error of code `terminated`, now and from now on.
  ///
  /// Returns at once. Any thread may call it, any number of times.
  public func shutdown() {
    phase.withLock { phase in
      guard phase == .open else { return }
      phase = .shutDown
      zmq_ctx_shutdown(handle.pointer)
    }
  }

  /// Shuts down, waits until every socket of the context is closed, and frees its threads and undelivered messages.
  ///
  /// Calling it again does nothing. It must not be called by a thread that itself keeps a socket of the context open,
  /// for it would wait for itself. Messages that sockets linger on (see ``SocketOption/linger``) are waited for.
  public func close() {
    let mine = phase.withLock { phase in
      defer { phase = .closed }
      return phase != .closed
    }
    guard mine else { return }
    zmq_ctx_shutdown(handle.pointer)
    while zmq_ctx_term(handle.pointer) != 0 && zmq_errno() == EINTR {}
  }

  /// Makes a raw socket while the context is open.
  func makeHandle(_ kind: Socket.Kind) throws(ZeroMQError) -> UnsafeMutableRawPointer {
    // The lock keeps the context from being freed under zmq_socket. The address leaves it as a number, which any
    // thread may hold.
    let made = phase.withLock { phase -> Result<UInt, ZeroMQError> in
      guard phase == .open else {
        return .failure(
          ZeroMQError(.terminated, operation: "make a \(kind) socket", message: "the context was shut down"))
      }
      guard let socket = zmq_socket(handle.pointer, kind.rawValue) else {
        return .failure(.last("make a \(kind) socket"))
      }
      return .success(UInt(bitPattern: socket))
    }
    guard let pointer = UnsafeMutableRawPointer(bitPattern: try made.get()) else {
      throw ZeroMQError(.notASocket, operation: "make a \(kind) socket", message: "libzmq gave no socket")
    }
    return pointer
  }

  private func set(_ option: Int32, to value: Int, named name: String) throws(ZeroMQError) {
    guard let value = Int32(exactly: value), zmq_ctx_set(handle.pointer, option, value) == 0 else {
      throw ZeroMQError(.invalidArgument, operation: "make a context", message: "\(name) cannot be \(value)")
    }
  }
}

extension Context {
  /// Lets large frames take the memory of those before them.
  ///
  /// glibc gives what is freed at the end of a heap back to the system, which clears every page of it anew for the next
  /// frame: as much work as receiving it. This lets each heap keep up to 128 MB. It holds for the whole process, and
  /// does nothing where the C library is another.
  public static func keepMemoryOfLargeFrames() { _ = keepsMemory }

  private static let keepsMemory: Void = {
    #if canImport(Glibc)
      // Blocks below the first limit, glibc's greatest, come from heaps at all.
      _ = mallopt(M_MMAP_THRESHOLD, 32 << 20)
      _ = mallopt(M_TRIM_THRESHOLD, 128 << 20)
    #endif
  }()
}
