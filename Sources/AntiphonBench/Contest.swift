import Foundation
import Synchronization

/// What crosses an edge, and how.
struct Course: Codable, Hashable {
  enum Carrier: String, CaseIterable, Codable {
    case direct, inproc, ipc, tcp, curve

    var title: String { self == .curve ? "tcp+CURVE" : rawValue }
    var crossesSockets: Bool { self == .ipc || self == .tcp || self == .curve }
  }
  var carrier: Carrier
  /// Bytes of payload.
  var size: Int

  /// Messages that an edge holds, and raw ZeroMQ's high-water mark: the same, and not too much memory.
  var depth: Int { max(8, min(4096, (32 << 20) / size)) }
}

/// How fast it went.
struct Pace {
  /// Messages a second.
  var rate: Double
  /// Nanoseconds of processor time that a message cost, in all threads together. It tells more than the rate where
  /// others use the machine too.
  var cost: Double
}

/// Nanoseconds of processor time that this process has used.
func processorTime() -> Int64 {
  var time = timespec()
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// How long messages took one way, as half of the way there and back.
struct Delays {
  var times: [Int64] = []

  func quantile(_ fraction: Double) -> Double {
    let sorted = times.sorted()
    return sorted.isEmpty ? .nan : Double(sorted[Int((Double(sorted.count - 1) * fraction).rounded())]) / 2
  }
}

/// Counts messages from the first to the last.
struct RateCounter {
  /// The first ones find caches and buffers cold.
  private let warmUp: Int
  private var count = 0
  private var start: Int64 = 0
  private var used: Int64 = 0

  init(course: Course) { warmUp = min(course.depth, 256) }

  /// - Parameter now: read only when it matters.
  mutating func note(_ now: @autoclosure () -> Int64) {
    count += 1
    if count == warmUp { (start, used) = (now(), processorTime()) }
  }

  func pace(at end: Int64) -> Pace {
    let counted = Double(max(0, count - warmUp))
    return Pace(
      rate: counted * 1e9 / Double(max(1, end - start)), cost: Double(processorTime() - used) / max(1, counted))
  }
}

/// Takes a result from the thread that has it to the one that waits for it.
final class Box<Value: Sendable>: Sendable {
  private let value = Mutex<Value?>(nil)
  private let semaphore = DispatchSemaphore(value: 0)

  func put(_ new: Value) {
    value.withLock { $0 = new }
    semaphore.signal()
  }

  /// - Returns: nil if none came in time.
  func take(seconds: Int = 60) -> Value? {
    guard semaphore.wait(timeout: .now() + .seconds(seconds)) == .success else { return nil }
    return value.withLock { $0 }
  }

  var current: Value? { value.withLock { $0 } }
}

/// A measurement that did not come to an end.
struct BenchError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
