import Dataflow
import Synchronization

/// The sessions that a process knows.
final class SessionTable: Sendable {
  private let sessions = Mutex<[UInt64: Session]>([:])

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

  func remove(_ id: UInt64) { sessions.withLock { _ = $0.removeValue(forKey: id) } }
}
