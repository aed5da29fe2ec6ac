/// Whoever waits for a message or for room: a suspended task, or a node's thread that waits in place.
package enum Waiter: Sendable {
  case task(UnsafeContinuation<Void, Never>, SimulatedTime?)
  case thread(NodeThread.Pause)

  func resume() {
    switch self {
    case .task(let continuation, let simulation):
      simulation?.busy()
      continuation.resume()
    case .thread(let pause):
      pause.simulation?.busy()
      pause.end()
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
    guard register(.thread(pause)) else { return true }
    pause.simulation?.idle()
    if NodeThread.wait(pause) || !withdraw(pause) { return true }
    pause.simulation?.busy()
    return false
  }

  /// Suspends the task until whoever was given the waiter resumes it.
  static func suspend(register: (Waiter) -> Bool) async {
    let simulation = NodeThread.simulation
    await withUnsafeContinuation { continuation in
      register(.task(continuation, simulation)) ? simulation?.idle() : continuation.resume()
    }
  }
}
