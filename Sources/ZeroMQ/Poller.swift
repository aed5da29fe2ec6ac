internal import CZeroMQ

/// Waits for sockets and file descriptors.
///
/// ```swift
/// var poller = Poller()
/// let incoming = poller.add(socket, for: .readable)
/// let woken = poller.add(wakeup)
/// while try poller.wait(timeout: .seconds(1)) >= 0 {
///   if poller.events(at: woken).contains(.readable) { wakeup.drain() }
///   if poller.events(at: incoming).contains(.readable) { ... }
/// }
/// ```
///
/// **Lifetime.** A poller remembers a socket's handle, it does not keep the socket open. Remove a socket before it
/// closes, or do not wait again afterwards; use the poller on the thread that owns its sockets. Waiting allocates
/// nothing in Swift; libzmq allocates above 16 items.
public struct Poller: ~Copyable {
  /// What to wait for, and what came.
  public struct Events: OptionSet, Sendable, Hashable {
    public let rawValue: Int16
    public init(rawValue: Int16) { self.rawValue = rawValue }

    /// A message, or bytes, can be received without waiting.
    public static let readable = Events(rawValue: 1)
    /// A message, or bytes, can be sent without waiting.
    public static let writable = Events(rawValue: 2)
    /// The file descriptor failed or was closed by its peer; never reported for sockets.
    public static let failed = Events(rawValue: 4)
  }

  /// An item's place in its poller; the places of removed items are used again.
  public struct Slot: Hashable, Sendable {
    let index: Int
  }

  private var items: [zmq_pollitem_t] = []
  private var free: [Int] = []

  /// Makes a poller of nothing.
  public init() {}

  /// The number of items, removed ones not counted.
  public var count: Int { items.count - free.count }

  /// Adds a socket.
  public mutating func add(_ socket: borrowing Socket, for events: Events) -> Slot {
    insert(zmq_pollitem_t(socket: socket.handle, fd: -1, events: events.rawValue, revents: 0))
  }

  /// Adds a file descriptor.
  public mutating func add(fileDescriptor: Int32, for events: Events) -> Slot {
    insert(zmq_pollitem_t(socket: nil, fd: fileDescriptor, events: events.rawValue, revents: 0))
  }

  /// Adds a wake-up, which is readable once signalled and until drained.
  public mutating func add(_ wakeup: Wakeup) -> Slot {
    add(fileDescriptor: wakeup.fileDescriptor, for: .readable)
  }

  /// Adds the events of a monitored socket; `nil` if the socket is not monitored.
  public mutating func add(monitorOf socket: borrowing Socket) -> Slot? {
    guard let monitor = socket.monitor else { return nil }
    return insert(zmq_pollitem_t(socket: monitor, fd: -1, events: Events.readable.rawValue, revents: 0))
  }

  /// Changes what an item is waited for; nothing at all is allowed, and mutes it.
  public mutating func setEvents(_ events: Events, at slot: Slot) {
    guard items.indices.contains(slot.index) else { return }
    items[slot.index].events = events.rawValue
  }

  /// Removes an item. Removing one twice does nothing.
  public mutating func remove(_ slot: Slot) {
    guard items.indices.contains(slot.index), !free.contains(slot.index) else { return }
    items[slot.index] = zmq_pollitem_t(socket: nil, fd: -1, events: 0, revents: 0)
    free.append(slot.index)
  }

  /// Waits until an item is ready.
  ///
  /// - Parameter timeout: The longest wait; zero looks only, `nil` waits for ever.
  /// - Returns: How many items are ready; zero if the time passed.
  /// - Throws: `ZeroMQError` of code `terminated` when the context shuts down.
  public mutating func wait(timeout: Duration? = nil) throws(ZeroMQError) -> Int {
    let milliseconds = timeout.map { Int(max($0, .zero).milliseconds) } ?? -1
    var remaining = milliseconds
    let start = milliseconds > 0 ? ContinuousClock.now : nil
    while true {
      let ready = items.withUnsafeMutableBufferPointer { zmq_poll($0.baseAddress, Int32($0.count), remaining) }
      if ready >= 0 { return Int(ready) }
      let number = zmq_errno()
      guard number == EINTR else { throw ZeroMQError(errno: number, operation: "poll") }
      if let start { remaining = max(0, milliseconds - Int((ContinuousClock.now - start).milliseconds)) }
    }
  }

  /// What came at an item in the last wait.
  public func events(at slot: Slot) -> Events {
    items.indices.contains(slot.index) ? Events(rawValue: items[slot.index].revents) : []
  }

  private mutating func insert(_ item: zmq_pollitem_t) -> Slot {
    if let index = free.popLast() {
      items[index] = item
      return Slot(index: index)
    }
    items.append(item)
    return Slot(index: items.count - 1)
  }
}
