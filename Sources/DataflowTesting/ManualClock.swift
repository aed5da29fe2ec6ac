public import Dataflow
import Synchronization

/// A clock that stands still until it is told to go on.
public final class ManualClock: TimeSource {
  private struct State {
    var now: Int64
    var sleepers: [UInt64: (deadline: Int64, continuation: CheckedContinuation<Void, any Error>)] = [:]
    var tickets: UInt64 = 0
  }
  private let state: Mutex<State>

  /// - Parameter now: nanoseconds.
  public init(now: Int64 = 0) { state = Mutex(State(now: now)) }

  public var now: Int64 { state.withLock { $0.now } }

  /// How many tasks are asleep.
  public var sleepers: Int { state.withLock { $0.sleepers.count } }

  public func sleep(until deadline: Int64) async throws {
    let ticket = state.withLock { state in
      state.tickets += 1
      return state.tickets
    }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        let isOver = state.withLock { state in
          if state.now >= deadline || Task.isCancelled { return true }
          state.sleepers[ticket] = (deadline, continuation)
          return false
        }
        if isOver { continuation.resume() }
      }
      try Task.checkCancellation()
    } onCancel: {
      state.withLock { $0.sleepers.removeValue(forKey: ticket) }?.continuation.resume(throwing: CancellationError())
    }
  }

  /// Moves time on, waking sleepers in the order of their deadlines.
  public func advance(by nanoseconds: Int64) {
    let target = now + nanoseconds
    while true {
      let sleeper = state.withLock { state -> CheckedContinuation<Void, any Error>? in
        guard
          let (ticket, next) = state.sleepers.min(by: { ($0.value.deadline, $0.key) < ($1.value.deadline, $1.key) }),
          next.deadline <= target
        else {
          state.now = max(state.now, target)
          return nil
        }
        state.now = max(state.now, next.deadline)
        state.sleepers[ticket] = nil
        return next.continuation
      }
      guard let sleeper else { return }
      sleeper.resume()
    }
  }
}
