/// The queue of an edge with policy `fail` was full.
public struct EdgeFull: Error, Sendable, CustomStringConvertible {
  public let edge: String
  public let depth: Int
  public var description: String {
    "edge \(edge) is full (depth \(depth)) and its policy is fail; raise its depth or choose another policy"
  }
}

/// The loss and load of one edge.
public struct EdgeStatistics: Sendable, Hashable, Codable {
  /// Values that came into the queue.
  public var delivered = 0
  /// Values that the policy dropped because the queue was full.
  public var dropped = 0
  /// Values dropped because their turn had been interrupted.
  public var stale = 0
  /// The most values that waited at once.
  public var deepest = 0
  /// Nanoseconds that values waited in the queue, all together.
  public var waited: Int64 = 0

  /// Adds what the edge's other end has counted.
  mutating func add(_ other: EdgeStatistics) {
    delivered += other.delivered
    dropped += other.dropped
    stale += other.stale
    deepest = max(deepest, other.deepest)
    waited += other.waited
  }
}
