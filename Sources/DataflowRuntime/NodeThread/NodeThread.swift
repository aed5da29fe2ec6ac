import DequeModule
import Foundation
import Synchronization

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A thread of a node's own that runs the node's task and nothing else, so that a node may compute as long as it likes.
///
/// @unchecked: the semaphore is a C object that is made for use by several threads.
final class NodeThread: TaskExecutor, @unchecked Sendable {
  private struct Queue {
    var jobs = Deque<UnownedJob>()
    var isFinished = false
  }
  private let queue = Mutex(Queue())
  private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

  init(name: String) {
    sem_init(semaphore, 0, 0)
    let thread = Thread { self.run() }
    // The kernel keeps 15 characters.
    thread.name = String(name.suffix(15))
    // Inference keeps its activations on the heap; libraries that nodes call may not.
    thread.stackSize = 8 << 20
    thread.start()
  }

  deinit {
    sem_destroy(semaphore)
    semaphore.deallocate()
  }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    queue.withLock { $0.jobs.append(job) }
    sem_post(semaphore)
  }

  /// Lets the thread end once it has run what is enqueued.
  func finish() {
    queue.withLock { $0.isFinished = true }
    sem_post(semaphore)
  }

  private func run() {
    let executor = asUnownedTaskExecutor()
    while true {
      while sem_wait(semaphore) != 0 {}
      let (job, isFinished) = queue.withLock { ($0.jobs.popFirst(), $0.isFinished) }
      if let job {
        job.runSynchronously(on: executor)
      } else if isFinished {
        return
      }
    }
  }
}
