/// The frames of one message, in order. Its room is reused from message to message.
///
/// ```swift
/// var message = Multipart()
/// while true {
///   try router.receive(into: &message, limit: 8)
///   let peer = message.takeFirst()
///   ...
/// }
/// ```
// Sendable because it owns its frames, which are, and its memory, which belongs to no thread.
public struct Multipart: ~Copyable, @unchecked Sendable {
  /// The number of frames.
  public private(set) var count = 0
  /// How many frames of the message received last were dropped because they were beyond the limit.
  public internal(set) var excess = 0

  private var frames: UnsafeMutablePointer<Frame>
  private var capacity: Int

  /// Makes an empty message with room for `capacity` frames; it grows as needed.
  public init(capacity: Int = 4) {
    self.capacity = max(capacity, 1)
    frames = .allocate(capacity: self.capacity)
  }

  deinit {
    frames.deinitialize(count: count)
    frames.deallocate()
  }

  /// Whether there are no frames.
  public var isEmpty: Bool { count == 0 }

  /// The frame at a position from 0 to `count - 1`; any other is a programming error and stops the program.
  public subscript(position: Int) -> Frame {
    _read {
      precondition(position >= 0 && position < count, "no frame \(position) in a message of \(count)")
      yield frames[position]
    }
    _modify {
      precondition(position >= 0 && position < count, "no frame \(position) in a message of \(count)")
      yield &frames[position]
    }
  }

  /// Adds a frame at the end.
  public mutating func append(_ frame: consuming Frame) {
    if count == capacity { grow() }
    (frames + count).initialize(to: frame)
    count += 1
  }

  /// Takes the first frame out; `nil` if there is none.
  public mutating func takeFirst() -> Frame? { take(at: 0) }

  /// Takes the last frame out; `nil` if there is none.
  public mutating func takeLast() -> Frame? { take(at: count - 1) }

  /// Takes a frame out and closes the gap; `nil` if there is no such position.
  public mutating func take(at position: Int) -> Frame? {
    guard position >= 0, position < count else { return nil }
    let frame = (frames + position).move()
    (frames + position).moveInitialize(from: frames + position + 1, count: count - position - 1)
    count -= 1
    return frame
  }

  /// Frees all frames and keeps the room.
  public mutating func removeAll() {
    frames.deinitialize(count: count)
    count = 0
    excess = 0
  }

  mutating func removeFirst(_ removed: Int) {
    frames.deinitialize(count: removed)
    frames.moveInitialize(from: frames + removed, count: count - removed)
    count -= removed
  }

  private mutating func grow() {
    let larger = UnsafeMutablePointer<Frame>.allocate(capacity: capacity * 2)
    larger.moveInitialize(from: frames, count: count)
    frames.deallocate()
    frames = larger
    capacity *= 2
  }
}
