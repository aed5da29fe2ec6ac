import Dataflow
import Dispatch
import Synchronization

/// Counts what has been handed over and not yet been dealt with, and holds up whoever hands over too much.
final class Backlog: Sendable {
  private struct State {
    var weight = 0
    var isLifted = false
    var waiting: [DispatchSemaphore] = []
  }
  private let limit: Int
  private let state = Mutex(State())

  /// - Parameter limit: the weight, in whatever unit, from which on there is no room; there is again at half of it.
  init(limit: Int) { self.limit = limit }

  var weight: Int { state.withLock { $0.weight } }

  /// Whether whoever can wait should.
  var isFull: Bool { state.withLock { !$0.isLifted && $0.weight >= limit } }

  /// Never waits.
  ///
  /// - Returns: the weight with it.
  @discardableResult
  func add(_ weight: Int) -> Int {
    state.withLock { state in
      state.weight += weight
      return state.weight
    }
  }

  func remove(_ weight: Int) {
    let freed = state.withLock { state in
      state.weight -= weight
      return state.weight <= limit / 2 ? Self.takeWaiting(&state) : []
    }
    for semaphore in freed { semaphore.signal() }
  }

  /// Returns once there is room, or nobody is to be held up any more.
  func waitForRoom() {
    let semaphore: DispatchSemaphore? = state.withLock { state in
      guard !state.isLifted, state.weight >= limit else { return nil }
      let semaphore = DispatchSemaphore(value: 0)
      state.waiting.append(semaphore)
      return semaphore
    }
    semaphore?.wait()
  }

  /// From now on nobody is held up.
  func lift() {
    let freed = state.withLock { state in
      state.isLifted = true
      return Self.takeWaiting(&state)
    }
    for semaphore in freed { semaphore.signal() }
  }

  private static func takeWaiting(_ state: inout State) -> [DispatchSemaphore] {
    defer { state.waiting = [] }
    return state.waiting
  }
}

extension PartEvent {
  /// Said by a node, as often as it likes, and on its own thread, which can be held up. Whatever else is said is bounded
  /// by these, or comes from threads that must not wait.
  var canWait: Bool {
    switch self {
    case .sessionBegan, .turnBegan, .turnAsked, .interrupt, .turnFailed, .played, .said, .progress, .show, .log, .print:
      true
    default: false
    }
  }

  /// About the bytes that it takes while it waits.
  var weight: Int {
    switch self {
    case .show(_, let text), .log(_, let text), .print(_, let text): 100 + text.utf8.count
    case .said(_, _, let pieces, _): pieces.reduce(100) { $0 + 20 + $1.text.utf8.count }
    case .trace(let entries): 100 + 150 * entries.count
    default: 100
    }
  }
}
