/// What came in on one of several inputs.
public struct AnyArrival: Sendable {
  @usableFromInline let arrival: Arrival

  @usableFromInline init(_ arrival: Arrival) { self.arrival = arrival }

  /// The session's turns up to this one were interrupted. It comes once, and for all inputs.
  public var cut: Turn? { if case .cut(let turn) = arrival { turn } else { nil } }
}

extension Input {
  /// What an arrival is to this input; nil if it came in on another one, or is a value that had to be refused. To an interruption the first input that is asked
  /// says yes.
  ///
  /// - Throws: ``WrongMessageType``, which means a fault of the runtime's own.
  public func event(of arrival: AnyArrival) throws -> InputEvent<Value>? {
    if let origin = arrival.arrival.port, origin != port { return nil }
    return try event(arrival.arrival)
  }
}

/// Waits on any number of inputs at once and hands over what came first.
///
/// ```swift
/// for try await arrival in arrivals(on: ports.speech, ports.image, ports.text) {
///   if let cut = arrival.cut { ... }
///   else if case .message(let speech)? = try ports.speech.event(of: arrival) { ... }
/// }
/// ```
public func arrivals<each Value: Message>(on inputs: repeat Input<each Value>) -> Arrivals {
  var ports: UInt64 = 0
  var inbox: (any Inbox)?
  for input in repeat each inputs {
    ports |= 1 << UInt64(input.port)
    inbox = input.inbox
  }
  return Arrivals(ports: ports, inbox: inbox)
}

/// Several inputs as one sequence; ``arrivals(on:)`` makes it.
public struct Arrivals: AsyncSequence, Sendable {
  @usableFromInline let ports: UInt64
  @usableFromInline let inbox: (any Inbox)?

  public struct AsyncIterator: AsyncIteratorProtocol {
    @usableFromInline let inputs: Arrivals

    @inlinable
    public mutating func next() async throws -> AnyArrival? {
      try await next(isolation: nil)
    }

    @inlinable
    public mutating func next(isolation actor: isolated (any Actor)?) async throws -> AnyArrival? {
      try await inputs.inbox?.arrival(on: inputs.ports, inPlace: actor == nil).map(AnyArrival.init)
    }

    /// What came next, if it has come already: a node that has work to go on with takes what is there, and waits for
    /// nothing.
    @inlinable
    public mutating func waiting() throws -> AnyArrival? {
      guard case .arrival(let arrival)? = try inputs.inbox?.poll(on: inputs.ports) else { return nil }
      return AnyArrival(arrival)
    }
  }

  public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(inputs: self) }
}
