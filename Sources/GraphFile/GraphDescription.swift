/// A graph as its files and the command line's overrides describe it: subgraphs expanded, parameters substituted,
/// everything that can be checked without knowing the node kinds checked.
///
/// ```swift
/// let graph = try GraphDescription.load(
///   path: "Graphs/cascade.yaml", overrides: ["capture.path=me.wav"], swaps: ["speech=flite-speech"])
/// for node in graph.nodes { print(node.id, node.kind.value) }
/// ```
///
/// Kinds, ports, types and the names of nodes' parameters are checked against the catalogue by whoever plans the run;
/// every value keeps its ``SourceLocation`` for that.
public struct GraphDescription: Sendable {
  /// The file's path as given to ``load(path:overrides:swaps:)``.
  public var path: String
  /// The folder of the graph file, to which its relative paths refer; "." for the current one.
  public var directory: String
  /// The file's name without its ending.
  public var name: String
  public var description: String?
  /// The graph's own parameters with the values that hold for this run.
  public var parameters: [GraphParameter]
  /// In the order of the file; a subgraph's nodes stand where the subgraph does.
  public var nodes: [NodeDescription]
  public var edges: [EdgeDescription]
  /// The ports that the graph exports. A graph that exports inputs is a part of another one and cannot run alone.
  public var inputs: [ExportedPort]
  public var outputs: [ExportedPort]
  /// What is odd but not wrong.
  public var warnings: [Diagnostic]
}

/// A parameter that a graph declares, to be set on the command line or by the graph that uses it.
public struct GraphParameter: Sendable {
  public var name: Located<String>
  /// What it is for, as `help` says.
  public var help: String?
  /// The value that holds: the override, or else the default.
  public var value: ParameterValue
}

/// A port of a graph that the graph around it connects, and the ports of nodes that stand behind it.
public struct ExportedPort: Sendable {
  public var name: Located<String>
  /// One for an output; one or more for an input, which then feeds all of them.
  public var endpoints: [Endpoint]
}

/// A node of the expanded graph.
public struct NodeDescription: Sendable {
  /// Its id, with the ids of the subgraphs around it in front: `ears/encoder`.
  public var id: String
  /// Its kind in the catalogue, or `external`.
  public var kind: Located<String>
  /// Its parameters in the file's order, substituted and overridden.
  public var with: ParameterMap
  /// What an external node needs; nil for any other.
  public var external: ExternalNode?
  /// The kind that the graph file gives, if `--swap` put another in its place. Parameters in `with` that only the
  /// former kind knows are then no mistake of the author's.
  public var swappedFrom: Located<String>?
  /// The folder of the file that declares the node. Relative paths in `with` are left as they are written.
  public var directory: String
  /// Where the node's id stands.
  public var location: SourceLocation

  /// The kind of nodes that are processes of their own.
  public static let externalKind = "external"
}

/// A node that is a process of its own and speaks the wire format.
public struct ExternalNode: Sendable {
  /// The program and its arguments; no shell is involved.
  public var command: [Located<String>]
  public var inputs: [PortDeclaration]
  public var outputs: [PortDeclaration]
}

/// A port of an external node.
public struct PortDeclaration: Sendable {
  public var name: Located<String>
  /// A type expression such as `audio[rate=16000, channels=1]`, not yet parsed.
  public var type: Located<String>
}
