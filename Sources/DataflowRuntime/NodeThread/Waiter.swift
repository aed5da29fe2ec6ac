/// Whoever waits for a message or for room: a suspended task, or a node's thread that waits in place.
package enum Waiter: Sendable {
  case task(UnsafeContinuation<Void, Never>)
  case thread(NodeThread.Pause)

  func resume() {
    switch self {
    case .task(let continuation): continuation.resume()
    case .thread(let pause): pause.end()
    }
  }

  func isThread(in pause: NodeThread.Pause) -> Bool {
    if case .thread(let own) = self { own == pause } else { false }
  }

  /// Waits on the caller's thread until whoever was given the waiter resumes it.
  ///
  /// - Parameters:
  ///   - register: leaves the waiter where it will be found; returns false if there is nothing to wait for any more.
  ///   - withdraw: takes it away again; returns false if it has been found.
  /// - Returns: false if the thread is no node's, or is wanted for something else: suspend.
  static func waitInPlace(register: (Waiter) -> Bool, withdraw: (NodeThread.Pause) -> Bool) -> Bool {
    guard let pause = NodeThread.nextPause() else { return false }
    return !register(.thread(pause)) || NodeThread.wait(pause) || !withdraw(pause)
  }

  /// Suspends the task until whoever was given the waiter resumes it.
  static func suspend(register: (Waiter) -> Bool) async {
    await withUnsafeContinuation { continuation in
      if !register(.task(continuation)) { continuation.resume() }
    }
  }
}
