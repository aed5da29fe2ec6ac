import Synchronization

/// A mutex that nobody holds for long: whoever finds it held looks for its release for a moment before it sleeps.
///
/// `Mutex` asks the kernel whenever it is held, even by a try; here a try is made only once it looks free.
struct BriefMutex<Value: ~Copyable>: ~Copyable, Sendable {
  private let mutex: Mutex<Value>
  /// Written by the holder alone.
  private let isHeld = Atomic<Bool>(false)
  /// A few microseconds.
  private static var looks: Int { 2000 }

  init(_ value: consuming sending Value) { mutex = Mutex(value) }

  borrowing func withLock<Result>(
    _ body: (inout sending Value) throws -> sending Result
  ) rethrows -> sending Result {
    for _ in 0..<Self.looks where !isHeld.load(ordering: .relaxed) {
      if let result = try mutex.withLockIfAvailable({ try hold(&$0, body) }) { return result }
    }
    return try mutex.withLock { try hold(&$0, body) }
  }

  private borrowing func hold<Result>(
    _ value: inout sending Value, _ body: (inout sending Value) throws -> sending Result
  ) rethrows -> sending Result {
    isHeld.store(true, ordering: .relaxed)
    defer { isHeld.store(false, ordering: .relaxed) }
    return try body(&value)
  }
}
