import Dispatch
import Foundation

/// Starts a thread that debuggers and `top -H` show by its name.
///
/// A thread can only name itself, and Foundation lets it only once `Thread.start()` has come back, which a quick thread may
/// not wait for; so the body begins after that.
///
/// - Parameters:
///   - name: the kernel keeps 15 characters.
///   - stackSize: in bytes; the system's usual size by default.
func startThread(named name: String, stackSize: Int? = nil, _ body: @escaping @Sendable () -> Void) {
  let isStarted = DispatchSemaphore(value: 0)
  let thread = Thread {
    isStarted.wait()
    Thread.current.name = name
    body()
  }
  if let stackSize { thread.stackSize = stackSize }
  thread.start()
  isStarted.signal()
}
