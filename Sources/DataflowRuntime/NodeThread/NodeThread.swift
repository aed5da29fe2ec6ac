import Dataflow
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
/// While the node waits for a message its thread has nothing else to do. It therefore waits in place (``wait(_:)``)
/// instead of suspending the task, which saves two trips through the queue; only when other jobs want the thread, such
/// as the node's child tasks, is the task suspended.
///
/// @unchecked: the semaphore is a C object that is made for use by several threads.
package final class NodeThread: TaskExecutor, @unchecked Sendable {
  private struct Queue {
    var jobs = Deque<UnownedJob>()
    var isFinished = false
  }
  private let queue = Mutex(Queue())
  /// Jobs in the queue.
  private let waitingJobs = Atomic<Int>(0)
  /// Signalled whenever there may be something to do: a job, the end, or the end of a pause. Nobody counts on the count.
  private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
  /// The last pause that was ended.
  private let ended = Atomic<UInt64>(0)
  /// Whether the thread sleeps, or is about to, and must be signalled.
  private let isAsleep = Atomic<Bool>(false)
  /// Pauses so far, and how they went; the thread's own.
  private var pauses: UInt64 = 0
  private var patience = Patience()

  /// The time that the run goes by, if it is simulated.
  private let simulation: SimulatedTime?

  init(name: String, clock: any TimeSource) {
    simulation = clock as? SimulatedTime
    sem_init(semaphore, 0, 0)
    // Inference keeps its activations on the heap; libraries that nodes call may not.
    startThread(named: String(name.suffix(15)), stackSize: 8 << 20) { self.run() }
  }

  deinit {
    sem_destroy(semaphore)
    semaphore.deallocate()
  }

  package func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    queue.withLock { $0.jobs.append(job) }
    waitingJobs.add(1, ordering: .sequentiallyConsistent)
    signal()
  }

  /// Lets the thread end once it has run what is enqueued.
  func finish() {
    queue.withLock { $0.isFinished = true }
    sem_post(semaphore)
  }

  private func run() {
    becomeCurrent()
    let executor = asUnownedTaskExecutor()
    while true {
      let (job, isFinished) = queue.withLock { ($0.jobs.popFirst(), $0.isFinished) }
      if let job {
        waitingJobs.subtract(1, ordering: .sequentiallyConsistent)
        job.runSynchronously(on: executor)
      } else if isFinished {
        return
      } else {
        sleep { !isWanted }
      }
    }
  }

  // MARK: Waiting in place

  /// A pause of a node's thread, which any thread may end.
  package struct Pause: Sendable, Equatable {
    fileprivate let thread: NodeThread
    fileprivate let number: UInt64

    var simulation: SimulatedTime? { thread.simulation }

    func end() {
      // An end that comes late must not undo the next pause's.
      thread.ended.max(number, ordering: .sequentiallyConsistent)
      thread.signal()
    }

    fileprivate var isOver: Bool { thread.ended.load(ordering: .sequentiallyConsistent) >= number }

    package static func == (a: Pause, b: Pause) -> Bool { a.thread === b.thread && a.number == b.number }
  }

  /// A pause of the thread that runs the caller; nil if that is no node's, or if other jobs wait for it.
  static func nextPause() -> Pause? {
    guard let thread = current, !thread.isWanted else { return nil }
    thread.pauses += 1
    return Pause(thread: thread, number: thread.pauses)
  }

  /// Waits on the caller's thread until its pause is ended, or a job wants the thread.
  ///
  /// - Returns: whether it was ended.
  static func wait(_ pause: Pause) -> Bool {
    let thread = pause.thread
    for _ in 0..<thread.patience.looks {
      if pause.isOver {
        thread.patience.looked()
        return true
      }
      if thread.isWanted { return false }
    }
    let start = SystemTime().now
    while !pause.isOver {
      if thread.isWanted { return false }
      thread.sleep { !pause.isOver && !thread.isWanted }
    }
    thread.patience.slept(SystemTime().now - start)
    return true
  }

  private var isWanted: Bool { waitingJobs.load(ordering: .sequentiallyConsistent) > 0 }

  /// Sleeps until signalled, unless `isIdle`, asked once the others know that they must signal, finds something to do.
  /// It may also return for no reason.
  private func sleep(while isIdle: () -> Bool) {
    isAsleep.store(true, ordering: .sequentiallyConsistent)
    if isIdle() { while sem_wait(semaphore) != 0 {} }
    isAsleep.store(false, ordering: .sequentiallyConsistent)
  }

  private func signal() {
    if isAsleep.exchange(false, ordering: .sequentiallyConsistent) { sem_post(semaphore) }
  }

  // MARK: The thread's own

  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key, nil)
    return key
  }()

  /// The node's thread that runs the caller.
  private static var current: NodeThread? {
    pthread_getspecific(key).map { Unmanaged<NodeThread>.fromOpaque($0).takeUnretainedValue() }
  }

  /// The simulated time that the caller's thread goes by.
  static var simulation: SimulatedTime? { current?.simulation }

  /// Makes this the thread's ``current``; `run` keeps it alive.
  private func becomeCurrent() { pthread_setspecific(Self.key, Unmanaged.passUnretained(self).toOpaque()) }
}

/// Whether it pays to look for the end of a pause for a while before going to sleep: only where looking has been of use
/// lately, so that a graph with little to do burns no processor time, and none is taken from a machine that has none to
/// spare.
struct Patience {
  private var trust = 0
  /// Short sleeps since it was last tried.
  private var shortSleeps = 0

  /// How often to look: some fifty microseconds, which is what it may take to wake the thread at the other end.
  var looks: Int { trust > 0 ? 40_000 : 0 }

  /// The pause ended while it was looked for.
  mutating func looked() { trust = min(trust + 1, 16) }

  /// The thread had to sleep, whether it had looked before or not.
  mutating func slept(_ nanoseconds: Int64) {
    trust = max(trust - 4, 0)
    guard nanoseconds < 100_000 else {
      shortSleeps = 0
      return
    }
    shortSleeps += 1
    if shortSleeps == 64 { (trust, shortSleeps) = (max(trust, 1), 0) }
  }
}
