import Dataflow

/// What a process tells the coordinator.
enum PartEvent: Sendable, Equatable, Codable {
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
  /// All of the turn (epoch 0: of the session) has come to an end in a node that feeds nobody.
  case reached(session: UInt64, epoch: UInt32, node: Int)
  case interrupt(session: UInt64, reason: String)
  case turnFailed(session: UInt64, epoch: UInt32, node: Int, reason: String)
  /// Nothing of the turns up to this one is computed any more in this node.
  case acknowledged(session: UInt64, epoch: UInt32, node: Int)
  case played(session: UInt64, epoch: UInt32, time: Int64)
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
enum PartCommand: Sendable, Equatable, Codable {
  /// All are ready: go. Sessions that began before this process did, by node, are over.
  case start(begun: [Int: [String]])
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
struct Joining: Codable, Equatable, Sendable {
  var part: String
  /// Of the graph that it has read; nil for a node in another language, which reads none.
  var graph: String?
  var settings: RunSettings?
  /// Distinguishes the process from the one before and after it.
  var incarnation: UInt64
  var process: Int32
  /// Its monotonic clock, in nanoseconds.
  var clock: Int64
}

/// What the coordinator answers.
struct Acceptance: Codable, Equatable, Sendable {
  /// Why the process may not take part; nil if it may.
  var refusal: String?
  /// By which the processes of the run know each other.
  var token = ""
  /// Whether the process is to keep a trace.
  var isTraced = false
  /// All that a node in another language must know; nil for parts that have read the graph.
  var assignment: Assignment?
}

/// A node in another language, as its process is told.
struct Assignment: Codable, Equatable, Sendable {
  struct Edge: Codable, Equatable, Sendable {
    var edge: Int
    var name: String
    var port: String
    var type: String
    var schema: UInt64
    var address: String
    var depth: Int
    var policy: String
    var isFeedback: Bool
  }
  var node: Int
  var name: String
  var graph: String
  var seed: UInt64
  /// The parameters, as JSON.
  var parameters: String
  var inputs: [Edge]
  var outputs: [Edge]
}
