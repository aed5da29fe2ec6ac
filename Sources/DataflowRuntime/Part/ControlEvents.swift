package import Dataflow

/// What a process tells the coordinator.
package enum PartEvent: Sendable, Equatable, Codable {
  case nodeReady(node: Int)
  case nodeEnded(node: Int)
  /// The node failed, and with it the run.
  case nodeFailed(node: Int, reason: String)
  case sessionBegan(session: UInt64, name: String, node: Int)
  case turnBegan(session: UInt64, epoch: UInt32, node: Int)
  /// The edge's receiver has agreed to take what this process sends on it.
  case edgeReady(edge: Int)
  /// Messages on the edge were lost, or the peer does not keep to the rules: what was under way cannot be completed.
  case edgeBroken(edge: Int, reason: String)
  /// The question is complete: whatever comes after is the answer.
  case turnAsked(session: UInt64, epoch: UInt32)
  /// All of the turn (epoch 0: of the session) has come to an end in a node that feeds nobody, or has left the process.
  case reached(session: UInt64, epoch: UInt32, node: Int)
  /// Turns up to this epoch are to fall silent; without one, all that there are.
  case interrupt(session: UInt64, epoch: UInt32?, reason: String)
  case turnFailed(session: UInt64, epoch: UInt32, node: Int, reason: String)
  /// Nothing of the turns up to this one is computed any more in this node.
  case acknowledged(session: UInt64, epoch: UInt32, node: Int)
  case played(session: UInt64, epoch: UInt32, time: Int64)
  /// What the turn's audio says and by when, after or in place of what was told before.
  case said(session: UInt64, epoch: UInt32, pieces: [SaidText], replacing: Bool)
  case progress(node: Int, what: String, fraction: Double)
  /// A text that grows: all of it so far.
  case show(node: Int, text: String)
  case log(node: Int, text: String)
  case print(node: Int, text: String)
  case trace([TraceEntry])
  case report(PartReport)
  /// All nodes of the process have ended and all that they sent has left it.
  case finished(PartReport)
}

/// What the coordinator tells a process.
package enum PartCommand: Sendable, Equatable, Codable {
  /// All are ready: go. `begun` are the sessions that began before this process did, by node, in their order: they do
  /// not begin again. Those of them that are still open somewhere are in `open`, to be ended.
  case start(begun: [Int: [String]], open: [UInt64])
  /// The session's turns up to this epoch were interrupted.
  case fence(session: UInt64, name: String, epoch: UInt32)
  case closeSession(session: UInt64)
  /// The process of that part was started anew: greet it.
  case peerRestarted(part: Int)
  case report
  /// The run is over: stop what still runs.
  case stop
  /// Every process has finished: end.
  case release
}

/// Where a process's events go; may be called from any thread.
protocol ControlChannel: Sendable {
  func post(_ event: PartEvent)
}

/// A process that wants to take part in a run says who it is.
package struct Joining: Codable, Equatable, Sendable {
  package var part: String
  /// Of the graph that it has read; nil for a node in another language, which reads none.
  package var graph: String?
  package var settings: RunSettings?
  /// Distinguishes the process from the one before and after it.
  package var incarnation: UInt64
  package var process: Int32
  /// Its monotonic clock, in nanoseconds.
  package var clock: Int64

  package init(
    part: String, graph: String?, settings: RunSettings?, incarnation: UInt64, process: Int32, clock: Int64
  ) {
    self.part = part
    self.graph = graph
    self.settings = settings
    self.incarnation = incarnation
    self.process = process
    self.clock = clock
  }
}

/// What the coordinator answers.
package struct Acceptance: Codable, Equatable, Sendable {
  /// Why the process may not take part; nil if it may.
  package var refusal: String?
  /// By which the processes of the run know each other.
  package var token = ""
  /// Whether the process is to keep a trace.
  package var isTraced = false
  /// All that a node in another language must know; nil for parts that have read the graph.
  package var assignment: Assignment?

  package init() {}
}

/// A node in another language, as its process is told.
package struct Assignment: Codable, Equatable, Sendable {
  package struct Edge: Codable, Equatable, Sendable {
    /// By which greetings and data name the edge.
    package var edge: Int
    package var name: String
    /// The node's end of it.
    package var port: String
    package var type: String
    package var schema: UInt64
    package var address: String
    package var depth: Int
    package var policy: String
    package var isFeedback: Bool
    /// Whether turns are marked on the edge.
    package var carriesTurns: Bool
    /// The nodes whose sessions come on the edge.
    package var sources: [Int]
    /// The part at the other end.
    package var peer: Int
    package var peerName: String

    package init(
      edge: Int, name: String, port: String, type: String, schema: UInt64, address: String, depth: Int, policy: String,
      isFeedback: Bool, carriesTurns: Bool, sources: [Int], peer: Int, peerName: String
    ) {
      self.edge = edge
      self.name = name
      self.port = port
      self.type = type
      self.schema = schema
      self.address = address
      self.depth = depth
      self.policy = policy
      self.isFeedback = isFeedback
      self.carriesTurns = carriesTurns
      self.sources = sources
      self.peer = peer
      self.peerName = peerName
    }
  }
  package var node: Int
  package var name: String
  package var graph: String
  package var seed: UInt64
  /// How many threads a computation may use.
  package var threads: Int
  /// The parameters, as JSON.
  package var parameters: String
  package var inputs: [Edge]
  package var outputs: [Edge]

  package init(
    node: Int, name: String, graph: String, seed: UInt64, threads: Int, parameters: String, inputs: [Edge],
    outputs: [Edge]
  ) {
    self.node = node
    self.name = name
    self.graph = graph
    self.seed = seed
    self.threads = threads
    self.parameters = parameters
    self.inputs = inputs
    self.outputs = outputs
  }
}
