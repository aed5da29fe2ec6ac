/// One end of an edge: a port of a node. Equality looks at the names alone.
public struct Endpoint: Sendable {
  /// The node's id.
  public var node: String
  public var port: String
  public var location: SourceLocation

  public init(node: String, port: String, at location: SourceLocation) {
    self.node = node
    self.port = port
    self.location = location
  }
}

extension Endpoint: Hashable {
  public static func == (a: Self, b: Self) -> Bool { a.node == b.node && a.port == b.port }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(node)
    hasher.combine(port)
  }
}

extension Endpoint: CustomStringConvertible {
  /// `node.port`, as in a graph file.
  public var description: String { "\(node).\(port)" }
}

/// What an edge does when its queue is full.
public enum EdgePolicy: String, CaseIterable, Hashable, Sendable {
  /// The sender waits. Nothing is lost.
  case block
  /// The oldest queued message makes room; the loss is counted.
  case dropOldest = "drop-oldest"
  /// Only the newest message is kept; the loss is counted.
  case latest
  /// The node that sends fails, and its failure names the edge.
  case fail
}

/// How an edge carries envelopes between two nodes of one process. Across processes the placement decides.
public enum EdgeTransport: String, CaseIterable, Hashable, Sendable {
  /// Straight into the target's mailbox.
  case direct
  /// By reference over a ZeroMQ inproc socket.
  case inproc
}

/// A connection from one node's output to another's input, after subgraphs are expanded.
public struct EdgeDescription: Sendable {
  public var from: Endpoint
  public var to: Endpoint
  /// Messages that the queue holds; nil where the graph does not say, and the runtime's standard of 16 holds.
  public var depth: Located<Int>?
  public var policy: Located<EdgePolicy>
  /// Declared to close a cycle; `depth` is then its initial credit.
  public var isFeedback: Bool
  public var transport: Located<EdgeTransport>
  /// Where the graph file declares the edge.
  public var location: SourceLocation
}

extension EdgeDescription: CustomStringConvertible {
  /// `a.out -> b.in`.
  public var description: String { "\(from) -> \(to)" }
}
