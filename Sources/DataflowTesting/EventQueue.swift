import DequeModule
import Synchronization

/// Events on their way to a test, which takes them one at a time.
final class EventQueue: Sendable {
  private struct State {
    var events = Deque<HarnessEvent>()
    var isFinished = false
    var waiting: CheckedContinuation<HarnessEvent?, Never>?
  }
  private let state = Mutex(State())

  func yield(_ event: HarnessEvent) {
    let waiting = state.withLock { state in
      if state.waiting == nil { state.events.append(event) }
      return state.waiting.take()
    }
    waiting?.resume(returning: event)
  }

  func finish() {
    let waiting = state.withLock { state in
      state.isFinished = true
      return state.waiting.take()
    }
    waiting?.resume(returning: nil)
  }

  /// Nil when there will be no more.
  func next() async -> HarnessEvent? {
    await withCheckedContinuation { continuation in
      let result: HarnessEvent?? = state.withLock { state in
        if let event = state.events.popFirst() { return .some(event) }
        if state.isFinished { return .some(nil) }
        state.waiting = continuation
        return nil
      }
      if let result { continuation.resume(returning: result) }
    }
  }
}
