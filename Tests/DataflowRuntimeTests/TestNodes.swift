import Dataflow
import DataflowRuntime
import DataflowTesting
import Foundation
import GraphFile
import Messages
import Synchronization

/// What a scripted node does: a test's closure, run in the node's place.
typealias Script = @Sendable (NodeContext, ScriptPorts) async throws -> Void

struct ScriptPorts: PortSet {
  let input: Input<Text>
  let side: Input<Text>
  let output: Output<Text>
  let aside: Output<Text>

  init(_ bind: inout PortBinder, _ parameters: ScriptParameters) {
    input = bind.input("in", optional: true, help: "")
    side = bind.input("side", optional: true, help: "")
    output = bind.output("out", help: "")
    aside = bind.output("aside", help: "")
  }
}

struct ScriptParameters: NodeParameters {
  let id: Int
  init(_ read: inout ParameterReader) { id = read("id", default: 0, help: "Which script.") }
}

/// The scripts of tests under way, which nodes find by number.
enum Scripts {
  private static let all = Mutex<(scripts: [Int: Script], loads: [Int: @Sendable () throws -> Void])>(([:], [:]))

  /// - Parameter load: what the node's initializer does.
  static func add(load: (@Sendable () throws -> Void)? = nil, _ script: @escaping Script) -> [String: Any] {
    all.withLock { all in
      let id = all.scripts.count + 1
      all.scripts[id] = script
      all.loads[id] = load
      return ["id": id]
    }
  }

  static func load(_ id: Int) throws { try all.withLock { $0.loads[id] }?() }
  static subscript(_ id: Int) -> Script? { all.withLock { $0.scripts[id] } }
}

/// Passes marks on as the runtime does by itself.
struct ScriptNode: Node {
  static let kind = "script"
  static let summary = "Does what a test says."
  typealias Ports = ScriptPorts
  private let id: Int
  private let context: NodeContext
  init(_ parameters: ScriptParameters, _ context: NodeContext) throws {
    (id, self.context) = (parameters.id, context)
    try Scripts.load(id)
  }
  func run(_ ports: ScriptPorts) async throws { try await Scripts[id]?(context, ports) }
}

/// Opens turns and ends them.
struct ScriptOpenerNode: Node {
  static let kind = "script-opener"
  static let summary = "Does what a test says, and opens turns."
  static let ending = Ending.explicit
  static let opensTurns = true
  typealias Ports = ScriptPorts
  private var node: ScriptNode
  init(_ parameters: ScriptParameters, _ context: NodeContext) throws { node = try ScriptNode(parameters, context) }
  func run(_ ports: ScriptPorts) async throws { try await node.run(ports) }
}

/// Ends turns and sessions itself.
struct ScriptExplicitNode: Node {
  static let kind = "script-explicit"
  static let summary = "Does what a test says, and ends turns."
  static let ending = Ending.explicit
  typealias Ports = ScriptPorts
  private var node: ScriptNode
  init(_ parameters: ScriptParameters, _ context: NodeContext) throws { node = try ScriptNode(parameters, context) }
  func run(_ ports: ScriptPorts) async throws { try await node.run(ports) }
}

extension NodeCatalog {
  static let scripts = NodeCatalog(
    nodes: [ScriptNode.self, ScriptOpenerNode.self, ScriptExplicitNode.self], messages: MessageTypes.all)
}

/// A node of a test's graph.
struct Scripted {
  var kind = ScriptNode.kind
  var load: (@Sendable () throws -> Void)?
  var script: Script

  static func opener(_ script: @escaping Script) -> Scripted { Scripted(kind: ScriptOpenerNode.kind, script: script) }
  static func explicit(_ script: @escaping Script) -> Scripted {
    Scripted(kind: ScriptExplicitNode.kind, script: script)
  }
  static func node(_ script: @escaping Script) -> Scripted { Scripted(script: script) }
  /// Passes on what comes in.
  static let relay = node { _, ports in
    for try await text in ports.input { try await ports.output.send(text.value, following: text) }
  }
  /// Prints every value, and the end of every turn and session.
  static let printer = node { context, ports in
    for try await event in ports.input.events {
      switch event {
      case .message(let text): context.print("\(text.turn):\(text.value.string)")
      case .turnEnded(let turn): context.print("\(turn) ended")
      case .sessionEnded(let session): context.print("\(session.name) over")
      case .sessionBegan, .turnCut: break
      }
    }
  }

  /// The graph as a file would have it.
  static func graph(_ nodes: [String: Scripted], _ edges: [Any]) -> [String: Any] {
    [
      "antiphon": 1, "edges": edges,
      "nodes": nodes.mapValues {
        ["kind": $0.kind, "with": Scripts.add(load: $0.load, $0.script)] as [String: Any]
      },
    ]
  }

  /// The plan of a graph of nodes that do nothing.
  static func plan(_ nodes: [String: String], _ edges: [Any]) throws -> Plan {
    let graph: [String: Any] = ["antiphon": 1, "nodes": nodes.mapValues { ["kind": $0] }, "edges": edges]
    let text = String(decoding: try JSONSerialization.data(withJSONObject: graph, options: .sortedKeys), as: UTF8.self)
    return try Planner.plan(try GraphDescription.parse(text), catalog: .scripts)
  }
}

extension Plan {
  func node(_ name: String) -> Int { nodes.firstIndex { $0.name == name } ?? -1 }
}
