import Foundation
import Synchronization
import ZeroMQ

/// A context whose sockets give up after a while, so that a fault fails a test rather than hanging it.
func makeSocket(_ kind: Socket.Kind, in context: Context) throws -> Socket {
  var socket = try Socket(kind, in: context)
  try socket.set(.receiveTimeout, to: .seconds(30))
  try socket.set(.sendTimeout, to: .seconds(30))
  return socket
}

/// The carriers that every exchange must work over.
enum Carrier: CaseIterable, CustomStringConvertible {
  case inproc, ipc, tcp

  var description: String { "\(self.endpoint.prefix { $0 != ":" })" }

  /// An endpoint of the carrier that no other test uses.
  var endpoint: String {
    switch self {
    case .inproc: "inproc://\(UUID().uuidString)"
    case .ipc: "ipc://\(NSTemporaryDirectory())/zmq-\(UUID().uuidString.prefix(13))"
    case .tcp: "tcp://127.0.0.1:*"
    }
  }
}

/// Bytes that count how often they were freed.
final class CountedBytes: Sendable {
  let bytes: [UInt8]
  private let freed: Counter
  // The array is constant, so its storage stays in place while this object lives.
  var view: UnsafeRawBufferPointer { bytes.withUnsafeBytes { $0 } }

  init(_ bytes: [UInt8], freed: Counter) {
    self.bytes = bytes
    self.freed = freed
  }

  deinit { freed.increment() }
}

final class Counter: Sendable {
  private let count = Atomic(0)
  var value: Int { count.load(ordering: .acquiring) }
  func increment() { count.wrappingAdd(1, ordering: .acquiringAndReleasing) }
}

/// Runs `body` on a thread of its own; `wait` returns what it returned.
final class Background<Value: Sendable>: Sendable {
  private let result = Mutex<Value?>(nil)
  private let done = DispatchSemaphore(value: 0)

  init(_ body: @escaping @Sendable () -> Value) {
    let thread = Thread { [self] in
      let value = body()
      result.withLock { $0 = value }
      done.signal()
    }
    thread.start()
  }

  /// What the thread returned; `nil` if it is stuck.
  func wait() -> Value? {
    _ = done.wait(timeout: .now() + 60)
    return result.withLock { $0 }
  }
}

/// A folder that is removed with this object.
final class TemporaryFolder {
  let path: String

  init() throws {
    path = "\(NSTemporaryDirectory())/zmq-keys-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { "\(path)/\(name)" }

  func mode(of name: String) throws -> Int {
    let attributes = try FileManager.default.attributesOfItem(atPath: file(name))
    return (attributes[.posixPermissions] as? NSNumber)?.intValue ?? -1
  }
}

extension Socket {
  /// Whether there is nothing to receive.
  mutating func isQuiet() throws -> Bool {
    guard let frame = try tryReceive() else { return true }
    _ = consume frame
    return false
  }

  /// Receives a frame and reads it as text.
  mutating func receiveText() throws -> String { try receive().text() }

  /// Receives a frame and copies its bytes.
  mutating func receiveBytes() throws -> [UInt8] { try receive().bytes() }

  /// Waits for an event that `matches`; `nil` if it does not come.
  mutating func awaitEvent(where matches: (SocketEvent) -> Bool) throws -> SocketEvent? {
    var poller = Poller()
    guard poller.add(monitorOf: self) != nil else { return nil }
    while try poller.wait(timeout: .seconds(30)) > 0 {
      if let event = try nextEvent(), matches(event) { return event }
    }
    return nil
  }
}

extension Multipart {
  /// The frames read as texts.
  var texts: [String] { (0..<count).map { self[$0].text() } }
  /// The frames' sizes in bytes.
  var sizes: [Int] { (0..<count).map { self[$0].count } }
}
