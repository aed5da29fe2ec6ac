#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Time as the graph sees it: real, or in tests virtual.
public protocol TimeSource: Sendable {
  /// Nanoseconds on a clock that never goes back.
  var now: Int64 { get }
  /// Sleeps until `now` has reached `deadline`.
  ///
  /// - Throws: `CancellationError` if the task is cancelled, and nothing else.
  func sleep(until deadline: Int64) async throws
}

/// The machine's monotonic clock.
public struct SystemTime: TimeSource {
  public init() {}

  public var now: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }

  public func sleep(until deadline: Int64) async throws {
    let wait = deadline - now
    if wait > 0 { try await Task.sleep(for: .nanoseconds(wait)) }
  }
}
