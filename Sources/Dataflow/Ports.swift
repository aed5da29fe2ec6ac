/// The ports of a kind of node, declared by one initializer that is read twice: once to describe them (names, types,
/// help) and once to connect them.
public protocol PortSet: Sendable {
  /// What ports and their types may depend on.
  associatedtype Parameters: NodeParameters = NoParameters
  /// Declares the ports, in the order in which they are numbered.
  ///
  /// - Throws: `ParameterError` if the parameters allow of no ports.
  init(_ bind: inout PortBinder, _ parameters: Parameters) throws
}

/// What `antiphon nodes KIND` shows of a port.
public struct PortDescription: Hashable, Sendable {
  /// Its name in graph files.
  public let name: String
  /// The type that processes agree on.
  public let type: PortType
  /// What files on this machine add to the type; nil if the type is all there is to know.
  public let found: FoundType?
  /// Whether the graph may leave the port unconnected. Outputs always may: what they send is then discarded.
  public let isOptional: Bool
  /// One sentence for the catalogue.
  public let help: String

  public init(name: String, type: PortType, found: FoundType? = nil, isOptional: Bool, help: String) {
    self.name = name
    self.type = type
    self.found = found
    self.isOptional = isOptional
    self.help = help
  }
}

extension PortDescription {
  /// The type with all that is known here.
  public var knownType: PortType {
    if case .known(let more)? = found { type.merged(with: more) } else { type }
  }
}

/// What a node finds out about a port's type from files such as a model's, when a graph is checked.
///
/// It is compared with the other end's and shown, but is no part of what processes agree on: another machine of the run
/// may not have the file.
public enum FoundType: Hashable, Sendable {
  case known(PortType)
  /// Particulars stay open.
  case unknown(because: String)
}

/// Hands a node its ports.
public struct PortBinder {
  package private(set) var inputs: [PortDescription] = []
  package private(set) var outputs: [PortDescription] = []
  private let connection: (any PortConnection)?

  /// - Parameter connection: nil to describe the ports only.
  package init(connecting connection: (any PortConnection)? = nil) { self.connection = connection }

  /// Declares an input.
  ///
  /// - Parameters:
  ///   - type: the type with its particulars; what is left open agrees with anything.
  ///   - found: reads what files on this machine add to the type; called only to describe the port.
  ///   - optional: whether the graph may leave the port unconnected.
  ///   - help: what comes in, for `antiphon nodes`.
  public mutating func input<Value: Message>(
    _ name: String, _: Value.Type = Value.self, type: PortType? = nil, found: @autoclosure () -> FoundType? = nil,
    optional: Bool = false, help: String
  ) -> Input<Value> {
    inputs.append(
      PortDescription(
        name: name, type: type ?? PortType(Value.typeName), found: connection == nil ? found() : nil,
        isOptional: optional, help: help))
    return Input(port: inputs.count - 1, inbox: connection?.inbox)
  }

  /// Declares an output; the parameters are those of ``input(_:_:type:found:optional:help:)``.
  public mutating func output<Value: Message>(
    _ name: String, _: Value.Type = Value.self, type: PortType? = nil, found: @autoclosure () -> FoundType? = nil,
    help: String
  ) -> Output<Value> {
    outputs.append(
      PortDescription(
        name: name, type: type ?? PortType(Value.typeName), found: connection == nil ? found() : nil,
        isOptional: true, help: help))
    return Output(outlet: connection?.outlet(outputs.count - 1))
  }
}

extension PortBinder {
  /// An input whose type is only known at run time; the returned inbox gets its messages as arrivals on the port.
  package mutating func untypedInput(_ name: String, type: PortType) -> (port: Int, inbox: (any Inbox)?) {
    inputs.append(PortDescription(name: name, type: type, isOptional: true, help: ""))
    return (inputs.count - 1, connection?.inbox)
  }

  /// An output whose type is only known at run time.
  package mutating func untypedOutput(_ name: String, type: PortType) -> (any Outlet)? {
    outputs.append(PortDescription(name: name, type: type, isOptional: true, help: ""))
    return connection?.outlet(outputs.count - 1)
  }
}

/// The runtime's side of a node's ports.
package protocol PortConnection {
  var inbox: any Inbox { get }
  func outlet(_ port: Int) -> any Outlet
}

/// Where a node's inputs get their messages: one waiting place for all of them.
@usableFromInline package protocol Inbox: AnyObject, Sendable {
  /// The same as ``next(on:)`` without suspending the task: it may wait on the node's own thread as long as nobody else
  /// has use for it.
  func take(on ports: UInt64) throws -> Taken
  /// The oldest arrival on the ports whose bits are set, or nil once all of them are closed and drained.
  func next(on ports: UInt64) async throws -> Arrival?
  /// The same as ``take(on:)``, but for waiting: where nothing has come, the node goes on with what it took before.
  func poll(on ports: UInt64) throws -> Taken
  /// Values that have come behind the one that the node has just taken, up to so many, as far as it has been given them
  /// in advance.
  func takeMore(on ports: UInt64, most: Int) -> [Parcel]
  /// Whether an edge leads to the port.
  func isConnected(_ port: Int) -> Bool
  /// A value is not what its type says; nothing that came behind it on its edge will be taken.
  func refuse(_ value: WrittenValue, because error: MessageCodingError)
}

extension Inbox {
  package func takeMore(on ports: UInt64, most: Int) -> [Parcel] { [] }

  /// The next arrival on some ports. It waits on the node's thread if it can, and suspends only if it must.
  ///
  /// - Parameter inPlace: false for an actor, which others may be waiting for.
  @inlinable
  nonisolated(nonsending)
    package func arrival(on ports: UInt64, inPlace: Bool) async throws -> Arrival?
  {
    if inPlace {
      switch try take(on: ports) {
      case .arrival(let arrival): return arrival
      case .ended: return nil
      case .nothing: break
      }
    }
    return try await next(on: ports)
  }
}

/// What an inbox has.
@usableFromInline package enum Taken: Sendable {
  case arrival(Arrival)
  case ended
  /// Nothing now: suspend.
  case nothing
}

@usableFromInline package enum Arrival: Sendable {
  case envelope(Envelope, port: Int)
  case written(WrittenValue, port: Int)
  /// The session's turns up to this one were interrupted.
  case cut(Turn)

  @usableFromInline var port: Int? {
    switch self {
    case .envelope(_, let port), .written(_, let port): port
    case .cut: nil
    }
  }
}

/// Where an output's messages go.
@usableFromInline package protocol Outlet: AnyObject, Sendable {
  var isConnected: Bool { get }
  /// Sends without suspending the task: it may wait for room on the node's own thread as long as nobody else has use for
  /// it.
  ///
  /// - Parameter inPlace: whether it may wait at all.
  /// - Returns: what is left to be sent by ``finish(_:)``; nil if nothing is.
  func send(_ value: any Message, turn: Turn, time: Int64, trace: UInt64?, inPlace: Bool) throws -> Unsent?
  func finish(_ unsent: Unsent) async throws
  /// Sends the first of so many values of a turn, as far as that costs less together and none has to wait.
  ///
  /// - Returns: how many have been sent.
  func sendSome(_ count: Int, turn: Turn, time: Int64, trace: UInt64?, _ value: (Int) -> any Message) throws -> Int
}

extension Outlet {
  package func sendSome(
    _ count: Int, turn: Turn, time: Int64, trace: UInt64?, _ value: (Int) -> any Message
  ) throws -> Int { 0 }

  package func send(_ value: any Message, turn: Turn, time: Int64, trace: UInt64?) async throws {
    if let unsent = try send(value, turn: turn, time: time, trace: trace, inPlace: true) { try await finish(unsent) }
  }
}

/// A message that has not gone to all of an outlet's edges yet.
@usableFromInline package struct Unsent: Sendable {
  package let envelope: Envelope
  /// The edge whose turn it is.
  package let edge: Int

  package init(_ envelope: Envelope, edge: Int) { (self.envelope, self.edge) = (envelope, edge) }
}

/// Messages of one type coming in.
///
/// Iterating hands over the values in the order of their arrival. Marks in the stream (a turn or a session ends) are
/// passed on to the node's outputs behind what the node sent for them; a node that wants to see them iterates
/// ``events``.
public struct Input<Value: Message>: Sendable {
  @usableFromInline package let port: Int
  @usableFromInline package let inbox: (any Inbox)?

  package init(port: Int, inbox: (any Inbox)?) {
    self.port = port
    self.inbox = inbox
  }

  /// Whether anything can come in.
  public var isConnected: Bool { inbox?.isConnected(port) ?? false }

  /// Values and marks.
  public var events: InputEvents<Value> { InputEvents(input: self) }

  /// Values, several at once, for a node that does little for each: what has come already, and never none.
  ///
  /// All of them have been taken: a turn that is interrupted while the node is at work on them takes none of them back,
  /// and their latency is their share of the time that all took. Where several edges lead to the node, or the edge's
  /// policy drops values, there is one at a time.
  ///
  /// - Parameter most: how many at once; at least 1.
  public func batches(of most: Int = 256) -> InputBatches<Value> { InputBatches(input: self, most: Swift.max(1, most)) }
}

/// What an input can tell a node.
public enum InputEvent<Value: Message>: Sendable {
  /// A value.
  case message(Received<Value>)
  /// The session starts. The node's outputs have been told already.
  case sessionBegan(Session)
  /// The turn is complete on this input; what the node sends for it now still belongs to it.
  case turnEnded(Turn)
  /// The turn was interrupted, and all of the session's before it: forget them. It may come without any message before.
  case turnCut(Turn)
  /// The session is complete on this input.
  case sessionEnded(Session)
}

extension Input: AsyncSequence {
  public struct AsyncIterator: AsyncIteratorProtocol {
    @usableFromInline let input: Input

    @inlinable
    public mutating func next() async throws -> Received<Value>? {
      try await next(isolation: nil)
    }

    @inlinable
    public mutating func next(isolation actor: isolated (any Actor)?) async throws -> Received<Value>? {
      while let arrival = try await input.inbox?.arrival(on: 1 << UInt64(input.port), inPlace: actor == nil) {
        if case .message(let message) = try input.event(arrival) { return message }
      }
      return nil
    }
  }

  public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(input: self) }

  /// - Returns: nil if the arrival is not what it should be, and has been refused.
  @inlinable
  func event(_ arrival: consuming Arrival) throws -> InputEvent<Value>? {
    switch arrival {
    case .cut(let turn): return .turnCut(turn)
    case .written(let written, _):
      do throws(MessageCodingError) {
        return .message(try written.read(as: Value.self))
      } catch {
        inbox?.refuse(written, because: error)
        return nil
      }
    case .envelope(let envelope, _):
      switch envelope.content {
      case .value(let value):
        guard let value = value as? Value else { throw WrongMessageType(found: value.type, expected: Value.typeName) }
        return .message(Received(value, turn: envelope.turn, stamp: envelope.stamp))
      case .turnEnded: return .turnEnded(envelope.turn)
      case .sessionBegan: return .sessionBegan(envelope.turn.session)
      case .sessionEnded: return .sessionEnded(envelope.turn.session)
      }
    }
  }
}

/// A message of another type than the port's; the runtime checks before it delivers, so this means a fault of its own.
public struct WrongMessageType: Error, Sendable, CustomStringConvertible {
  /// The message's type.
  public let found: PortType
  /// The name of the port's.
  public let expected: String

  public init(found: PortType, expected: String) { (self.found, self.expected) = (found, expected) }

  public var description: String { "a message of type \(found) came to a port of type \(expected)" }
}

/// Values and marks of an input.
public struct InputEvents<Value: Message>: AsyncSequence, Sendable {
  let input: Input<Value>

  public struct AsyncIterator: AsyncIteratorProtocol {
    @usableFromInline let input: Input<Value>
    @usableFromInline var isOver = false

    /// Whether ``waiting()`` has found that nothing more will come.
    public var isAtEnd: Bool { isOver }

    @inlinable
    public mutating func next() async throws -> InputEvent<Value>? {
      try await next(isolation: nil)
    }

    @inlinable
    public mutating func next(isolation actor: isolated (any Actor)?) async throws -> InputEvent<Value>? {
      while let arrival = try await input.inbox?.arrival(on: 1 << UInt64(input.port), inPlace: actor == nil) {
        if let event = try input.event(arrival) { return event }
      }
      return nil
    }

    /// What came next, if it has come already; see ``Arrivals/AsyncIterator/waiting()``.
    @inlinable
    public mutating func waiting() throws -> InputEvent<Value>? {
      while let taken = try input.inbox?.poll(on: 1 << UInt64(input.port)) {
        switch taken {
        case .arrival(let arrival): if let event = try input.event(arrival) { return event }
        case .ended:
          isOver = true
          return nil
        case .nothing: return nil
        }
      }
      return nil
    }
  }

  public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(input: input) }
}

/// Values of an input, several at once; ``Input/batches(of:)`` makes it.
public struct InputBatches<Value: Message>: AsyncSequence, Sendable {
  let input: Input<Value>
  let most: Int

  public struct AsyncIterator: AsyncIteratorProtocol {
    @usableFromInline let input: Input<Value>
    @usableFromInline let most: Int

    @inlinable
    public mutating func next() async throws -> [Received<Value>]? {
      try await next(isolation: nil)
    }

    @inlinable
    public mutating func next(isolation actor: isolated (any Actor)?) async throws -> [Received<Value>]? {
      guard let inbox = input.inbox else { return nil }
      while let arrival = try await inbox.arrival(on: 1 << UInt64(input.port), inPlace: actor == nil) {
        guard case .message(let first)? = try input.event(arrival) else { continue }
        return try batch(first, inbox.takeMore(on: 1 << UInt64(input.port), most: most - 1))
      }
      return nil
    }

    @inlinable
    func batch(_ first: Received<Value>, _ others: [Parcel]) throws -> [Received<Value>] {
      var found = [first]
      found.reserveCapacity(others.reduce(1) { $0 + $1.values })
      for parcel in others {
        switch parcel {
        case .envelope(let envelope):
          if case .message(let message)? = try input.event(.envelope(envelope, port: input.port)) {
            found.append(message)
          }
        case .run(var run):
          while run.count > 0 {
            guard case .message(let message)? = try input.event(.written(run.removeFirst(), port: input.port)) else {
              // Nothing behind a value that was refused is taken.
              return found
            }
            found.append(message)
          }
        }
      }
      return found
    }
  }

  public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(input: input, most: most) }
}

/// Messages of one type going out.
public struct Output<Value: Message>: Sendable {
  @usableFromInline package let outlet: (any Outlet)?

  package init(outlet: (any Outlet)?) { self.outlet = outlet }

  /// Whether anybody listens; work for an output that nobody reads can be left out.
  public var isConnected: Bool { outlet?.isConnected ?? false }

  /// Sends a value made from `message`: same turn, same trace, and its time unless another is given.
  ///
  /// Waits while an edge with policy `block` is full. What belongs to an interrupted turn is dropped silently.
  ///
  /// - Throws: `CancellationError` when the run stops; an error of the edge with policy `fail` when it is full.
  @inlinable
  public func send(
    _ value: Value, following message: Received<some Message>, time: Int64? = nil,
    isolation actor: isolated (any Actor)? = #isolation
  ) async throws {
    try await send(value, turn: message.turn, time: time ?? message.stamp.time, trace: message.stamp.trace)
  }

  /// Sends a value of a turn.
  ///
  /// - Parameters:
  ///   - time: presentation time in nanoseconds since the session began.
  ///   - trace: the trace it continues; nil starts one.
  @inlinable
  public func send(
    _ value: Value, turn: Turn, time: Int64 = 0, trace: UInt64? = nil,
    isolation actor: isolated (any Actor)? = #isolation
  ) async throws {
    guard let outlet else { return }
    // An actor is not kept waiting: others may want it.
    if let unsent = try outlet.send(value, turn: turn, time: time, trace: trace, inPlace: actor == nil) {
      try await outlet.finish(unsent)
    }
  }

  /// Sends values of a turn, with one time and as pieces of one trace: as if one after the other, but in an edge to
  /// another process that costs less.
  ///
  /// - Parameters:
  ///   - time: presentation time in nanoseconds since the session began.
  ///   - trace: the trace that they continue; nil starts one for each.
  @inlinable
  public func send(
    contentsOf values: [Value], turn: Turn, time: Int64 = 0, trace: UInt64? = nil,
    isolation actor: isolated (any Actor)? = #isolation
  ) async throws {
    guard let outlet else { return }
    var first = 0
    while first < values.count {
      first += try outlet.sendSome(values.count - first, turn: turn, time: time, trace: trace) { values[first + $0] }
      if first < values.count {
        try await send(values[first], turn: turn, time: time, trace: trace)
        first += 1
      }
    }
  }
}
