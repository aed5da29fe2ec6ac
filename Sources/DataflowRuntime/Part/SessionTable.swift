import Dataflow
import Synchronization

/// The sessions that a process knows.
final class SessionTable: Sendable {
  private let sessions = Mutex<[UInt64: Session]>([:])
  private let removed = Atomic<Int>(0)

  func session(_ id: UInt64) -> Session? { sessions.withLock { $0[id] } }

  func session(_ id: UInt64, named name: String) -> Session {
    sessions.withLock { sessions in
      if let known = sessions[id] { return known }
      let session = Session(id: id, name: name)
      sessions[id] = session
      return session
    }
  }

  var count: Int { sessions.withLock { $0.count } }

  /// How often a session was removed; what was looked up holds as long as this does.
  var removals: Int { removed.load(ordering: .acquiring) }

  func remove(_ id: UInt64) {
    sessions.withLock { _ = $0.removeValue(forKey: id) }
    removed.add(1, ordering: .releasing)
  }
}
