import Dispatch

/// Tells an observer what happens, one event after the other, on a queue of its own: neither a connection nor a node's
/// thread waits for whoever reads the results.
final class Announcer: Sendable {
  private let observe: @Sendable (RunEvent) -> Void
  private let queue = DispatchQueue(label: "antiphon.observer", qos: .userInitiated)
  private let backlog: Backlog

  /// Of a run that is being stopped, texts beyond this many bytes are dropped if nobody reads them.
  private static let lastLimit = 64 << 20

  /// - Parameter limit: bytes, about, that may wait for the observer before nodes are held up.
  init(limit: Int = 1 << 20, observe: @escaping @Sendable (RunEvent) -> Void) {
    backlog = Backlog(limit: limit)
    self.observe = observe
  }

  /// Whether so much waits that nothing more should be taken from nodes.
  var isCongested: Bool { backlog.isFull }
  var isIdle: Bool { backlog.weight == 0 }

  /// Never waits.
  func tell(_ event: RunEvent) {
    let weight = event.weight
    if backlog.add(weight) > Self.lastLimit, !backlog.isFull, event.isText { return backlog.remove(weight) }
    queue.async { [observe, backlog] in
      observe(event)
      backlog.remove(weight)
    }
  }

  /// Holds up a node's thread while too much waits.
  func waitForRoom() { backlog.waitForRoom() }

  /// The run is being stopped: nobody is held up any more.
  func lift() { backlog.lift() }
}

extension RunEvent {
  fileprivate var isText: Bool {
    switch self {
    case .show, .log, .print, .progress: true
    default: false
    }
  }

  fileprivate var weight: Int {
    switch self {
    case .show(_, let text), .log(_, let text), .print(_, let text): 100 + text.utf8.count
    default: 100
    }
  }
}
