internal import CZeroMQ
internal import Synchronization

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

/// Ends another thread's wait in a ``Poller``.
///
/// Any thread signals; the thread that waits drains. A signal that follows another before the drain costs one atomic
/// operation and no system call.
///
/// What was queued before a signal is visible after the drain that it causes: queue, signal; wait, drain, read the queue.
public final class Wakeup: Sendable {
  /// Readable from a signal to the next drain.
  public let fileDescriptor: Int32
  private let writeDescriptor: Int32
  private let signalled = Atomic(false)

  /// Makes a wake-up that is not signalled.
  ///
  /// - Throws: `ZeroMQError` if the process has no file descriptor left.
  public init() throws(ZeroMQError) {
    #if os(Linux)
      fileDescriptor = eventfd(0, O_NONBLOCK | O_CLOEXEC)
      writeDescriptor = fileDescriptor
      guard fileDescriptor >= 0 else { throw ZeroMQError(errno: errno, operation: "make a wake-up") }
    #else
      var ends: [Int32] = [-1, -1]
      let status = pipe(&ends)
      fileDescriptor = ends[0]
      writeDescriptor = ends[1]
      guard status == 0 else { throw ZeroMQError(errno: errno, operation: "make a wake-up") }
      for end in ends {
        _ = fcntl(end, F_SETFL, O_NONBLOCK)
        _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      }
    #endif
  }

  deinit {
    close(fileDescriptor)
    if writeDescriptor != fileDescriptor { close(writeDescriptor) }
  }

  /// Makes the descriptor readable, unless it is already.
  public func signal() {
    if signalled.exchange(true, ordering: .acquiringAndReleasing) { return }
    var one: UInt64 = 1
    while write(writeDescriptor, &one, MemoryLayout<UInt64>.size) < 0 && errno == EINTR {}
  }

  /// Makes the descriptor unreadable until the next signal.
  ///
  /// - Returns: Whether there had been a signal.
  @discardableResult
  public func drain() -> Bool {
    var count: UInt64 = 0
    while read(fileDescriptor, &count, MemoryLayout<UInt64>.size) < 0 && errno == EINTR {}
    // Only after the read: a signal between the two is dropped, but its sender's work is seen by whoever drains.
    // The other way round it would leave the flag up and the descriptor silent.
    return signalled.exchange(false, ordering: .acquiringAndReleasing)
  }
}
