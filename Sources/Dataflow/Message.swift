/// What travels on an edge: a value of one of the types that ports name.
///
/// Within a process the value itself is handed over. Between processes it is written as *fields*, a short
/// little-endian record that the type defines, and *buffers*, the large arrays, which are not copied
/// (`docs/wire-format.md`).
public protocol Message: Sendable {
  /// The type's name in graph files and on the wire, for example `audio`.
  static var typeName: String { get }

  /// This value's type with all its particulars, for example `audio[channels=1, rate=16000]`.
  var type: PortType { get }

  /// Writes the value for the wire.
  func encode(into encoder: inout MessageEncoder)

  /// Reads a value from the wire, checking all it reads.
  init(from decoder: inout MessageDecoder) throws(MessageCodingError)
}

/// A message, or a mark in the stream, with all that the runtime knows of it.
///
/// A reference: from node to node in a process nothing else is handed over.
public final class Envelope: Sendable {
  public enum Content: Sendable {
    case value(any Message)
    /// All of the turn has been sent on this edge.
    case turnEnded
    /// A session starts; nothing of it came before.
    case sessionBegan
    /// All of the session has been sent on this edge.
    case sessionEnded
  }

  public let content: Content
  public let turn: Turn
  public let stamp: Stamp
  /// Whether it is a message, not a mark.
  public let isValue: Bool

  public init(_ content: Content, turn: Turn, stamp: Stamp = Stamp()) {
    self.content = content
    self.turn = turn
    self.stamp = stamp
    isValue = if case .value = content { true } else { false }
  }
}

/// When and out of what a message was made.
public struct Stamp: Sendable, Hashable {
  /// Presentation time: nanoseconds since the session began, in the time of the session's source.
  public var time: Int64
  /// Follows a piece of work through all nodes; a message made from another inherits it.
  public var trace: UInt64
  /// Counts the messages of one output, from 0.
  public var sequence: UInt64

  public init(time: Int64 = 0, trace: UInt64 = 0, sequence: UInt64 = 0) {
    self.time = time
    self.trace = trace
    self.sequence = sequence
  }
}

/// A value as an input hands it to a node.
public struct Received<Value: Message>: Sendable {
  public let value: Value
  public let turn: Turn
  public let stamp: Stamp

  @inlinable
  public init(_ value: Value, turn: Turn, stamp: Stamp) {
    self.value = value
    self.turn = turn
    self.stamp = stamp
  }

  public var session: Session { turn.session }
}
