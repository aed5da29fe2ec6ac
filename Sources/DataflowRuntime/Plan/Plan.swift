public import Dataflow
public import GraphFile

/// A graph as it will run: every node with its kind and parameters, every edge with its type, every process with its
/// addresses.
public struct Plan: Sendable {
  /// The graph's: the stem of its file.
  public var name: String
  /// Identifies topology, parameters and policies; processes that run another graph are refused.
  public var hash: String
  /// In the order of the graph file; numbers of nodes are indices into this.
  public var nodes: [PlannedNode]
  /// In the order of the graph file; numbers of edges are indices into this.
  public var edges: [PlannedEdge]
  /// The processes; numbers of parts are indices into this.
  public var parts: [PlannedPart]
  /// What all processes must agree on.
  public var settings: RunSettings
  /// Where the processes of the run find its coordinator.
  public var coordinator = ""
  /// Keys for edges that leave the machine.
  public var security: PlannedSecurity?

  /// A plan whose processes all live where they are planned, without keys; ``Planner`` adds the rest.
  public init(
    name: String, hash: String, nodes: [PlannedNode], edges: [PlannedEdge], parts: [PlannedPart],
    settings: RunSettings
  ) {
    self.name = name
    self.hash = hash
    self.nodes = nodes
    self.edges = edges
    self.parts = parts
    self.settings = settings
  }

  /// The nodes that tell that what `node` began has come to its end: all downstream of it that are witnesses.
  func witnesses(downstreamOf node: Int) -> Set<Int> { downstream(of: node).filter(isWitness) }

  /// Whether a node feeds nobody, or another process. What a process says arrives in order: whoever hears that an end
  /// has left it has heard of every failure in it.
  func isWitness(_ node: Int) -> Bool {
    let fed = edges.filter { $0.from.node == node && !$0.isFeedback }.map(\.to.node)
    return fed.isEmpty || fed.contains { nodes[$0].part != nodes[node].part }
  }

  /// The node itself and all that it reaches over edges other than feedback.
  func downstream(of node: Int) -> Set<Int> {
    var reached: Set<Int> = [node]
    var open = [node]
    while let next = open.popLast() {
      for edge in edges where edge.from.node == next && !edge.isFeedback && reached.insert(edge.to.node).inserted {
        open.append(edge.to.node)
      }
    }
    return reached
  }

  /// Nodes without inputs, feedback aside.
  var sources: [Int] {
    nodes.indices.filter { node in !edges.contains { $0.to.node == node && !$0.isFeedback } }
  }
}

/// What every process of a run must agree on for the answer's bytes to be the same.
public struct RunSettings: Sendable, Hashable, Codable {
  /// Seeds every random number of the run.
  public var seed: UInt64
  /// Threads a computation may use, in each process.
  public var threads: Int
  /// Which kernels compute, for example `avx512, OpenBLAS 0.3.21 Zen, 2 threads`.
  public var kernels: String

  public init(seed: UInt64 = 0, threads: Int = 2, kernels: String = "") {
    self.seed = seed
    self.threads = threads
    self.kernels = kernels
  }
}

/// A node as it will run.
public struct PlannedNode: Sendable {
  /// Its name in the graph, with `/` behind each subgraph's.
  public var name: String
  /// Its kind in the catalogue, or `external`.
  public var kind: String
  /// Nil for a node in another language.
  public var type: (any Node.Type)?
  /// The values that the graph gives, not read yet.
  public var parameters: ParameterReader
  /// Ports and parameters, with these values.
  public var manifest: NodeManifest
  /// See ``Node/ending``.
  public var ending: Ending
  /// See ``Node/opensTurns``.
  public var opensTurns: Bool
  /// Index into ``Plan/parts``.
  public var part: Int
  /// The program, if it is one in another language.
  public var external: ExternalCommand?
}

/// A node in another language: a process that speaks the wire format.
public struct ExternalCommand: Sendable, Hashable {
  /// Program and arguments; no shell reads them.
  public var arguments: [String]
  /// The folder it runs in, from which relative paths in `arguments` count: that of the graph file.
  public var directory: String
  /// What it is told as JSON.
  public var parameters: [String: Dataflow.ParameterValue]
}

/// An edge as it will run.
public struct PlannedEdge: Sendable {
  /// A port of a node.
  public struct End: Sendable, Hashable {
    /// Index into ``Plan/nodes``.
    public var node: Int
    /// Index into the manifest's inputs or outputs.
    public var port: Int
  }
  /// `capture.audio -> voice-activity.audio`
  public var name: String
  /// The output.
  public var from: End
  /// The input.
  public var to: End
  /// What both ends say of the type, together.
  public var type: PortType
  /// ``type`` with what files on this machine add to it, which others of the run need not have.
  public var knownType: PortType
  /// Messages that its queue holds.
  public var depth: Int
  /// What happens when the queue is full.
  public var policy: EdgePolicy
  /// Whether it closes a cycle.
  public var isFeedback: Bool
  /// How messages cross it.
  public var transport: Transport
  /// Where the graph file says so.
  public var location: SourceLocation
  /// The sources whose sessions come on this edge, as indices into ``Plan/nodes``.
  var sources: Set<Int> = []
  /// Whether the stream on this edge is one of turns.
  var carriesTurns = false

  /// How messages cross the edge.
  public enum Transport: Sendable, Hashable {
    /// Handed over in the process.
    case direct
    /// Handed over in the process through a ZeroMQ inproc socket.
    case inproc
    /// Between processes, at this address, which the receiving one binds.
    case wire(address: String)
  }
}

/// A process of the run.
public struct PlannedPart: Sendable {
  /// Its name in the placement; of a program in another language, its node's.
  public var name: String
  /// Nil: on the machine of the coordinator, started by it. Any other is started by hand.
  public var host: String?
  /// For edges that come in from parts that are started by hand, or go to one.
  public var ports: ClosedRange<UInt16>?
  /// Variables added to the process's environment.
  public var environment: [String: String] = [:]
  /// How often it is started again.
  public var restarts = RestartPolicy()
  /// The process of a node in another language.
  public var isExternal = false
  var location: SourceLocation?

  /// A process on the coordinator's machine.
  public init(name: String, isExternal: Bool = false) {
    self.name = name
    self.isExternal = isExternal
  }
}

/// Where the keys of a run lie.
public struct PlannedSecurity: Sendable, Hashable {
  /// A folder with `NAME.key` and `NAME.pub` for each part and for `coordinator`.
  public var keys: String
  /// The file of public keys that may connect.
  public var allow: String
}

/// How often, and how soon, a process that died is started again.
public struct RestartPolicy: Sendable, Hashable {
  /// How many times in a run; 0 for never.
  public var limit = 5
  /// Seconds before the first restart; doubled each time, to at most 10.
  public var backoff = 0.2
  /// The standard policy.
  public init() {}
}
