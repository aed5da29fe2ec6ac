import Foundation
import Synchronization
import ZeroMQ

/// A thread that owns the sockets of a context, and can be woken and ended from outside.
final class SocketThread: Sendable {
  let context: Context
  let wakeup: Wakeup
  private let stopping = Atomic<Bool>(false)
  private let finished = Atomic<Bool>(true)

  init() throws {
    context = try Context(ioThreads: 1)
    wakeup = try Wakeup()
  }

  var isStopping: Bool { stopping.load(ordering: .acquiring) }

  /// - Parameter body: makes and uses the sockets, and returns soon after ``isStopping``.
  func start(named name: String, _ body: @escaping @Sendable () -> Void) {
    finished.store(false, ordering: .releasing)
    startThread(named: String(name.prefix(15))) {
      body()
      self.finished.store(true, ordering: .releasing)
    }
  }

  /// Lets the thread end, and hands what is still to be sent to the network for as long as the sockets linger.
  func close() async {
    stopping.store(true, ordering: .releasing)
    wakeup.signal()
    while !finished.load(ordering: .acquiring) { try? await Task.sleep(for: .milliseconds(1)) }
    context.close()
  }
}
