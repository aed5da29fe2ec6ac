public import Dataflow

/// The kinds of node that graphs may name, and the message types that may travel.
public struct NodeCatalog: Sendable {
  public let nodes: [any Node.Type]
  public let messages: [any Message.Type]

  public init(nodes: [any Node.Type], messages: [any Message.Type]) {
    self.nodes = nodes
    self.messages = messages
  }

  public func node(_ kind: String) -> (any Node.Type)? { nodes.first { $0.kind == kind } }
  public func message(_ name: String) -> (any Message.Type)? { messages.first { $0.typeName == name } }

  /// What a kind of node offers with default parameters; with faults if it has parameters that must be given.
  public func manifest(of kind: String) -> NodeManifest? { node(kind)?.manifest().manifest }
}
