/// One stage of a graph.
///
/// A node is created on a thread of its own and lives there until ``run(_:)`` returns, so it need not be Sendable, may
/// compute for as long as it likes, and starves nobody.
///
/// ```swift
/// /// Passes speech on and drops silence.
/// public struct VoiceGateNode: Node {
///   public static let kind = "voice-gate"
///   public static let summary = "Passes speech on and drops silence."
///   ...
///   public mutating func run(_ ports: Ports) async throws {
///     for try await chunk in ports.audio where chunk.value.rms > threshold {
///       try await ports.speech.send(chunk.value, following: chunk)
///     }
///   }
/// }
/// ```
public protocol Node: SendableMetatype {
  associatedtype Parameters: NodeParameters = NoParameters
  associatedtype Ports: PortSet where Ports.Parameters == Parameters

  /// The name of this kind of node in graph files.
  static var kind: String { get }
  /// One sentence for the catalogue.
  static var summary: String { get }
  /// Who ends turns and sessions on the outputs.
  static var ending: Ending { get }
  /// Whether the node opens turns with ``NodeContext/beginTurn(in:)``. Downstream of it the stream is one of turns.
  static var opensTurns: Bool { get }
  /// The system libraries that this kind of node calls, for `antiphon doctor`.
  static var libraries: [Library] { get }
  /// Whether a node with these parameters goes by the clock, so that what it does depends on how fast the machine is.
  static func goesByTheClock(_ parameters: Parameters) -> Bool

  /// Loads what the node needs. The graph is ready when every node's initializer has returned.
  init(_ parameters: Parameters, _ context: NodeContext) throws

  /// Does the node's work. Returning means that the node is done for good: its outputs are closed. A node without inputs
  /// returns when it has nothing more to say, any other when its inputs end.
  ///
  /// - Throws: anything but ``TurnCut`` and `CancellationError` is a failure of the node.
  mutating func run(_ ports: Ports) async throws
}

extension Node {
  public static var ending: Ending { .following }
  public static var opensTurns: Bool { false }
  public static var libraries: [Library] { [] }
  public static func goesByTheClock(_ parameters: Parameters) -> Bool { false }
}

/// A library of the system, as this process has it.
public struct Library: Hashable, Sendable {
  /// For example `libsndfile`.
  public let name: String
  /// What the library says of itself.
  public let version: String

  public init(_ name: String, version: String) {
    self.name = name
    self.version = version
  }
}

/// Who ends turns and sessions on a node's outputs.
public enum Ending: Sendable {
  /// The runtime does: the mark is passed on when it has come in on every input (feedback aside) and the node asks for
  /// what comes next.
  case following
  /// The node does, with ``NodeContext/endTurn(_:)`` and ``NodeContext/endSession(_:)``, because what it makes of a turn
  /// outlasts what came in for it.
  case explicit
}

/// What a node may ask of the runtime, besides its ports.
public struct NodeContext: Sendable {
  /// The node's name in the graph.
  public let name: String
  /// Time, real or virtual. Whatever waits or measures does it by this clock.
  public let clock: any TimeSource
  /// The run's seed, mixed with the node's name. The same run gives the same numbers.
  public let seed: UInt64
  /// How many threads a computation may use.
  public let threads: Int
  private let services: any NodeServices

  package init(name: String, clock: any TimeSource, seed: UInt64, threads: Int, services: any NodeServices) {
    self.name = name
    self.clock = clock
    self.seed = seed
    self.threads = threads
    self.services = services
  }

  /// Whether the run is being stopped: leave loops that wait for nothing.
  public var isStopping: Bool { services.isStopping }

  /// Starts a session on all outputs; for sources.
  ///
  /// - Returns: nil if the session was over before this process started, as it may be after a restart: go on to the next.
  public func beginSession(named name: String) -> Session? { services.beginSession(named: name) }

  /// Opens the session's next turn. Every turn that is opened comes to exactly one end.
  public func beginTurn(in session: Session) -> Turn { services.beginTurn(in: session) }

  /// Ends the turn on all outputs, for nodes whose ``Node/ending`` is explicit.
  public func endTurn(_ turn: Turn) { services.endTurn(turn) }

  /// Ends the session on all outputs, for sources and nodes whose ``Node/ending`` is explicit.
  public func endSession(_ session: Session) { services.endSession(session) }

  /// Interrupts the session: everything up to its latest turn falls silent, in every process.
  public func interrupt(_ session: Session, because reason: String) {
    services.interrupt(session, through: nil, because: reason)
  }

  /// Interrupts the turn and all of the session's before it; turns that have been opened since go on.
  public func interrupt(_ turn: Turn, because reason: String) {
    services.interrupt(turn.session, through: turn.epoch, because: reason)
  }

  /// The turn failed in this node, and only the turn: the run goes on.
  public func fail(_ turn: Turn, because reason: String) { services.fail(turn, because: reason) }

  /// How much of the turn has been played so far, for nodes that play.
  ///
  /// - Parameter time: nanoseconds of the turn's audio that have left the device.
  public func played(_ time: Int64, of turn: Turn) { services.played(time, of: turn) }

  /// What the turn's audio says, and by when, for nodes that know how text and sound go together: after an interruption
  /// the turn's record holds what had been heard.
  ///
  /// - Parameters:
  ///   - pieces: in order; joined as they are they make the text.
  ///   - replacing: whether they take the place of what was told before, as when a guess becomes knowledge.
  public func said(_ pieces: [SaidText], of turn: Turn, replacing: Bool = false) {
    services.said(pieces, of: turn, replacing: replacing)
  }

  /// Shows the user how a long piece of work is getting on.
  ///
  /// - Parameter fraction: 0 to 1.
  public func progress(_ what: String, _ fraction: Double) { services.progress(what, fraction) }

  /// Shows the user a text that grows, all of it so far.
  public func show(_ text: String) { services.show(text) }

  /// How many messages wait at the nodes of this process, edge by edge in the graph's order.
  public var queues: [QueueDepth] { services.queues }

  /// A line on standard error.
  public func log(_ text: String) { services.log(text) }

  /// A result for the user, on standard output. Results of one session stand in the order of their turns.
  public func print(_ text: String) { services.print(text) }
}

/// A piece of what a turn's audio says.
public struct SaidText: Hashable, Sendable, Codable {
  public var text: String
  /// When the piece will have been heard: nanoseconds of the turn's audio.
  public var end: Int64

  public init(_ text: String, end: Int64) { (self.text, self.end) = (text, end) }
}

/// How many messages wait in an edge's queue.
public struct QueueDepth: Hashable, Sendable {
  /// For example `capture.audio -> speaker.audio`.
  public let edge: String
  public let waiting: Int

  public init(edge: String, waiting: Int) { (self.edge, self.waiting) = (edge, waiting) }
}

/// The runtime's side of ``NodeContext``.
package protocol NodeServices: Sendable {
  var isStopping: Bool { get }
  var queues: [QueueDepth] { get }
  func beginSession(named name: String) -> Session?
  func beginTurn(in session: Session) -> Turn
  func endTurn(_ turn: Turn)
  func endSession(_ session: Session)
  func interrupt(_ session: Session, through epoch: UInt32?, because reason: String)
  func fail(_ turn: Turn, because reason: String)
  func played(_ time: Int64, of turn: Turn)
  func said(_ pieces: [SaidText], of turn: Turn, replacing: Bool)
  func progress(_ what: String, _ fraction: Double)
  func show(_ text: String)
  func log(_ text: String)
  func print(_ text: String)
}

/// What the catalogue knows of a kind of node, with given parameters.
public struct NodeManifest: Sendable {
  public let kind: String
  public let summary: String
  public let parameters: [ParameterDescription]
  public let inputs: [PortDescription]
  public let outputs: [PortDescription]
  /// See ``Node/goesByTheClock(_:)``.
  public let goesByTheClock: Bool

  public init(
    kind: String, summary: String, parameters: [ParameterDescription], inputs: [PortDescription],
    outputs: [PortDescription], goesByTheClock: Bool = false
  ) {
    self.kind = kind
    self.summary = summary
    self.parameters = parameters
    self.inputs = inputs
    self.outputs = outputs
    self.goesByTheClock = goesByTheClock
  }
}

extension Node {
  /// Reads the parameters and describes the node they make.
  ///
  /// - Returns: the manifest, and every fault of the parameters.
  package static func manifest(
    reading reader: ParameterReader = ParameterReader()
  ) -> (manifest: NodeManifest, errors: [ParameterError]) {
    var reader = reader
    let parameters = Parameters(&reader)
    var errors = reader.errors
    var binder = PortBinder()
    do {
      _ = try Ports(&binder, parameters)
    } catch let error as ParameterError {
      errors.append(error)
    } catch {
      errors.append(ParameterError("ports", "\(error)"))
    }
    let manifest = NodeManifest(
      kind: kind, summary: summary, parameters: reader.descriptions, inputs: binder.inputs, outputs: binder.outputs,
      goesByTheClock: goesByTheClock(parameters))
    return (manifest, errors)
  }
}
