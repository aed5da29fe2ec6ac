import Dataflow
import Dispatch
import Synchronization

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Time that stands still while anybody computes, and is then charged for what they computed: a run of hours takes as long
/// as its computations, and in it every message comes as late as it would on a machine that had a core for each node.
///
/// For a run in one process. Each node's processor time counts, as its own thread measures it; so the machine's other
/// work does not. A node's charge is due before the next thing that it sends, takes or says, and others act meanwhile.
/// Once every node waits, time goes on to the moment for which the first of them waits.
package final class SimulatedTime: TimeSource {
  private struct State {
    var now: Int64 = 0
    /// Nodes that compute, or have been woken to.
    var active: Int
    var sleepers: [UInt64: Sleeper] = [:]
    var tickets: UInt64 = 0
  }
  private struct Sleeper {
    let deadline: Int64
    let wake: @Sendable (_ isCancelled: Bool) -> Void
  }
  private let state: Mutex<State>
  /// What a second of computation costs.
  fileprivate let cost: Double

  /// - Parameters:
  ///   - nodes: how many nodes the run has: time begins when all have started.
  ///   - cost: seconds for each that a node computes; 0 if nothing is to take time.
  package init(nodes: Int, cost: Double = 1) {
    state = Mutex(State(active: nodes))
    self.cost = cost
  }

  package var now: Int64 { state.withLock { $0.now } }

  package func sleep(until deadline: Int64) async throws {
    let ticket = state.withLock { state in
      state.tickets += 1
      return state.tickets
    }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        let isOver = state.withLock { state in
          if state.now >= deadline || Task.isCancelled { return true }
          state.sleepers[ticket] = Sleeper(deadline: deadline) { isCancelled in
            isCancelled ? continuation.resume(throwing: CancellationError()) : continuation.resume()
          }
          return false
        }
        isOver ? continuation.resume() : idle()
      }
      try Task.checkCancellation()
    } onCancel: {
      let sleeper = state.withLock { state in
        let sleeper = state.sleepers.removeValue(forKey: ticket)
        if sleeper != nil { state.active += 1 }
        return sleeper
      }
      sleeper?.wake(true)
    }
  }

  /// A node has been given something to do.
  func busy() { state.withLock { $0.active += 1 } }

  /// A node waits.
  func idle() {
    let first = state.withLock { state -> Sleeper? in
      state.active -= 1
      guard state.active == 0,
        let (ticket, first) = state.sleepers.min(by: { ($0.value.deadline, $0.key) < ($1.value.deadline, $1.key) })
      else { return nil }
      state.sleepers[ticket] = nil
      state.now = max(state.now, first.deadline)
      state.active += 1
      return first
    }
    first?.wake(false)
  }

  /// Lets time pass for the calling thread, as it does for one that computes.
  fileprivate func spend(_ time: Int64, until isPaid: DispatchSemaphore) {
    let mustWait = state.withLock { state in
      let deadline = state.now + time
      // Nobody else has anything to do until then.
      if state.active == 1, state.sleepers.allSatisfy({ $0.value.deadline > deadline }) {
        state.now = deadline
        return false
      }
      state.tickets += 1
      state.sleepers[state.tickets] = Sleeper(deadline: deadline) { _ in isPaid.signal() }
      return true
    }
    guard mustWait else { return }
    idle()
    isPaid.wait()
  }
}

/// What a node computes in simulated time, measured on its thread; nobody else calls this.
///
/// @unchecked: only the node's own thread uses it.
final class Computation: @unchecked Sendable {
  private let time: SimulatedTime
  private let isPaid = DispatchSemaphore(value: 0)
  /// The thread's processor time up to which all is on the bill.
  private var mark: Int64?
  private var debt: Int64 = 0

  /// Nanoseconds that are put on the bill before it is paid.
  private static let least: Int64 = 20_000

  init?(_ clock: any TimeSource) {
    guard let time = clock as? SimulatedTime else { return nil }
    self.time = time
  }

  /// The node comes back from waiting, which costs nothing.
  func goOn() { mark = Self.used }

  /// Lets as much time pass as the node has computed since it last paid.
  func pay() {
    let used = Self.used
    debt += Int64(Double(used - (mark ?? used)) * time.cost)
    mark = used
    guard debt >= Self.least else { return }
    time.spend(debt, until: isPaid)
    debt = 0
    goOn()
  }

  /// The node has ended.
  func end() { time.idle() }

  private static var used: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }
}
