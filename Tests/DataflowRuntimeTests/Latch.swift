import Dispatch
import Synchronization

/// Opened once; tasks wait for it without a thread, threads with theirs.
final class Latch: Sendable {
  private let state = Mutex<(isOpen: Bool, waiting: [CheckedContinuation<Void, Never>])>((false, []))
  private let semaphore = DispatchSemaphore(value: 0)

  func open() {
    let waiting = state.withLock { state in
      state.isOpen = true
      defer { state.waiting = [] }
      return state.waiting
    }
    semaphore.signal()
    for continuation in waiting { continuation.resume() }
  }

  var isOpen: Bool { state.withLock { $0.isOpen } }

  func wait() async {
    await withCheckedContinuation { continuation in
      let isOpen = state.withLock { state in
        if !state.isOpen { state.waiting.append(continuation) }
        return state.isOpen
      }
      if isOpen { continuation.resume() }
    }
  }

  /// Blocks the thread, as a node does that computes; at most a minute, so that a test that fails ends.
  func block() {
    if semaphore.wait(timeout: .now() + 60) == .success { semaphore.signal() }
  }
}
