import Dataflow
import Foundation
public import GraphFile

/// Turns a graph file and a placement into a plan: finds every kind, reads every parameter, checks every port and type.
public struct Planner {
  /// What the command line or a test decides, besides the files.
  public struct Options: Sendable {
    public var settings: RunSettings
    /// Where ipc sockets lie; nil for a plan that is only shown.
    public var runDirectory: String?
    /// Carries edges within a process over ZeroMQ inproc sockets, whatever the graph says.
    public var forcesInproc = false
    /// The part that this process is to be, if it is only one of several.
    public var part: String?

    public init(
      settings: RunSettings = RunSettings(), runDirectory: String? = nil, forcesInproc: Bool = false,
      part: String? = nil
    ) {
      self.settings = settings
      self.runDirectory = runDirectory
      self.forcesInproc = forcesInproc
      self.part = part
    }
  }

  let graph: GraphDescription
  let placement: Placement?
  let options: Options
  var faults: [Diagnostic] = []
  private let catalog: NodeCatalog

  /// - Throws: `GraphFileError` with every fault, and nothing else.
  public static func plan(
    _ graph: GraphDescription, placement: Placement? = nil, catalog: NodeCatalog, options: Options = Options()
  ) throws(GraphFileError) -> Plan {
    var planner = Planner(graph, placement, catalog, options)
    return try planner.plan()
  }

  private init(_ graph: GraphDescription, _ placement: Placement?, _ catalog: NodeCatalog, _ options: Options) {
    (self.graph, self.placement, self.catalog, self.options) = (graph, placement, catalog, options)
  }

  private mutating func plan() throws(GraphFileError) -> Plan {
    if !graph.inputs.isEmpty {
      let start = SourceLocation(file: graph.path, line: 1, column: 1)
      throw GraphFileError([
        Diagnostic(at: start, "this graph has inputs: it is a part of other graphs and cannot run by itself")
      ])
    }
    let parts = try layOut()
    let nodes = graph.nodes.compactMap { node($0, parts) }
    try stop()
    var edges = graph.edges.compactMap { edge($0, nodes) }
    try stop()
    checkConnections(nodes, edges)
    resolveTypes(nodes, &edges)
    try stop()
    var plan = Plan(
      name: graph.name, hash: graph.hash, nodes: nodes, edges: edges, parts: parts.map(\.part),
      settings: options.settings)
    trace(&plan)
    assignAddresses(&plan, parts)
    checkPart(plan)
    try stop()
    return plan
  }

  private func stop() throws(GraphFileError) {
    if faults.contains(where: { $0.severity == .error }) { throw GraphFileError(faults) }
  }

  // MARK: Nodes

  private mutating func node(_ described: NodeDescription, _ parts: [PartLayout]) -> PlannedNode? {
    let part = parts.firstIndex { $0.nodes.contains(described.id) } ?? 0
    let reader = Self.reader(of: described.with, in: described.directory)
    if let external = described.external { return self.external(described, external, reader, part) }
    guard let type = catalog.node(described.kind.value) else {
      faults.append(
        Diagnostic(
          at: described.kind.location, "no node is of kind '\(described.kind.value)'; antiphon nodes lists them",
          suggestion: nearest(described.kind.value, in: catalog.nodes.map { $0.kind })))
      return nil
    }
    let (manifest, errors) = type.manifest(reading: reader)
    for error in errors {
      let location = described.with.entry(error.parameter)?.value.location ?? described.location
      faults.append(Diagnostic(at: location, "node \(described.id), parameter \(error)"))
    }
    let known = manifest.parameters.map(\.name)
    for entry in described.with.entries where !known.contains(entry.key.value) {
      faults.append(
        Diagnostic(
          described.swappedFrom == nil ? .error : .warning, at: entry.key.location,
          "node \(described.id): \(described.kind.value) has no parameter '\(entry.key.value)'",
          suggestion: nearest(entry.key.value, in: known)))
    }
    if manifest.inputs.count > 63 || manifest.outputs.count > 63 {
      faults.append(Diagnostic(at: described.location, "node \(described.id) has more than 63 ports"))
    }
    return PlannedNode(
      name: described.id, kind: described.kind.value, type: type, parameters: reader, manifest: manifest,
      ending: type.ending, opensTurns: type.opensTurns, part: part, external: nil)
  }

  private mutating func external(
    _ described: NodeDescription, _ external: ExternalNode, _ reader: ParameterReader, _ part: Int
  ) -> PlannedNode? {
    func ports(_ declared: [PortDeclaration]) -> [PortDescription] {
      declared.compactMap { port in
        guard let type = parse(port.type) else { return nil }
        return PortDescription(name: port.name.value, type: type, isOptional: true, help: "")
      }
    }
    for entry in described.with.entries {
      for value in entry.value.notFinite {
        faults.append(
          Diagnostic(
            at: value.location,
            "node \(described.id), parameter \(entry.key.value): \(value) is no number that a program in another "
              + "language can be given"))
      }
    }
    let manifest = NodeManifest(
      kind: NodeDescription.externalKind, summary: "A node in another language.", parameters: [],
      inputs: ports(external.inputs), outputs: ports(external.outputs))
    return PlannedNode(
      name: described.id, kind: NodeDescription.externalKind, type: nil, parameters: reader, manifest: manifest,
      ending: .following, opensTurns: false, part: part,
      external: ExternalCommand(
        arguments: external.command.map(\.value), directory: described.directory,
        parameters: described.with.plain))
  }

  private mutating func parse(_ text: Located<String>) -> PortType? {
    do {
      let type = try PortType(parsing: text.value)
      if catalog.message(type.name) != nil { return type }
      faults.append(
        Diagnostic(
          at: text.location, "no message type is called '\(type.name)'",
          suggestion: nearest(type.name, in: catalog.messages.map { $0.typeName })))
    } catch {
      faults.append(Diagnostic(at: text.location, "\(error)"))
    }
    return nil
  }

  /// A relative path counts from the file it was written in, or from the working directory for the command line; what
  /// nobody wrote, a default, from the file that declares the node.
  private static func reader(of parameters: ParameterMap, in folder: String) -> ParameterReader {
    let directories = parameters.entries.reduce(into: [String: String]()) { all, entry in
      let location = entry.value.location
      all[entry.key.value] = location.line > 0 ? (location.file as NSString).deletingLastPathComponent : ""
    }
    return ParameterReader(parameters.plain) { name, path in
      if path.hasPrefix("/") || path == "-" { return path }
      if path.hasPrefix("~") { return (path as NSString).expandingTildeInPath }
      let directory = directories[name] ?? folder
      if directory.isEmpty { return path }
      return ((directory as NSString).appendingPathComponent(path) as NSString).standardizingPath
    }
  }

  // MARK: Edges

  private mutating func edge(_ described: EdgeDescription, _ nodes: [PlannedNode]) -> PlannedEdge? {
    func port(_ end: GraphFile.Endpoint, _ what: String, _ ports: (NodeManifest) -> [PortDescription])
      -> (PlannedEdge.End, PortDescription)?
    {
      guard let node = nodes.firstIndex(where: { $0.name == end.node }) else { return nil }
      let known = ports(nodes[node].manifest)
      guard let port = known.firstIndex(where: { $0.name == end.port }) else {
        let names = known.map(\.name)
        let offer = names.isEmpty ? "it has none" : "it has \(names.joined(separator: ", "))"
        faults.append(
          Diagnostic(
            at: end.location, "node \(end.node) (\(nodes[node].kind)) has no \(what) '\(end.port)'; \(offer)",
            suggestion: nearest(end.port, in: names)))
        return nil
      }
      return (PlannedEdge.End(node: node, port: port), known[port])
    }
    guard let (from, output) = port(described.from, "output", \.outputs),
      let (to, input) = port(described.to, "input", \.inputs)
    else { return nil }
    if let problem = output.knownType.mismatch(feeding: input.knownType) {
      faults.append(
        Diagnostic(
          at: described.location,
          "\(described.from) sends \(output.knownType), but \(described.to) takes \(input.knownType): \(problem)"))
      return nil
    }
    let sameProcess = nodes[from.node].part == nodes[to.node].part
    return PlannedEdge(
      name: "\(described.from) -> \(described.to)", from: from, to: to, type: output.type.merged(with: input.type),
      knownType: output.knownType.merged(with: input.knownType),
      depth: described.depth?.value ?? Self.standardDepth, policy: described.policy.value,
      isFeedback: described.isFeedback,
      transport: !sameProcess
        ? .wire(address: "") : options.forcesInproc || described.transport.value == .inproc ? .inproc : .direct,
      location: described.location)
  }

  /// Messages that an edge holds unless the graph says otherwise.
  static let standardDepth = 16

  private mutating func checkConnections(_ nodes: [PlannedNode], _ edges: [PlannedEdge]) {
    for (index, node) in nodes.enumerated() {
      let described = graph.nodes.first { $0.id == node.name }
      for (port, input) in node.manifest.inputs.enumerated() where !input.isOptional {
        if !edges.contains(where: { $0.to == .init(node: index, port: port) }) {
          faults.append(
            Diagnostic(
              at: described?.location ?? .argument(node.name),
              "node \(node.name): input '\(input.name)' (\(input.type)) is not connected"))
        }
      }
      if edges.count(where: { $0.to.node == index }) > 63 {
        faults.append(
          Diagnostic(at: described?.location ?? .argument(node.name), "more than 63 edges lead to node \(node.name)"))
      }
    }
  }

  /// What an output leaves open, its inputs may settle, and they must agree.
  private mutating func resolveTypes(_ nodes: [PlannedNode], _ edges: inout [PlannedEdge]) {
    for index in edges.indices {
      for other in edges.indices where other < index && edges[other].from == edges[index].from {
        if let problem = edges[other].knownType.mismatch(feeding: edges[index].knownType) {
          faults.append(
            Diagnostic(
              at: edges[index].location,
              "\(edges[index].name) and \(edges[other].name) want different types of one output: \(problem)"))
        }
      }
    }
    for index in edges.indices {
      for other in edges.indices where edges[other].from == edges[index].from {
        edges[index].type = edges[index].type.merged(with: edges[other].type)
        edges[index].knownType = edges[index].knownType.merged(with: edges[other].knownType)
      }
    }
  }

  /// Where sessions and turns come from, for every edge.
  private mutating func trace(_ plan: inout Plan) {
    for source in plan.sources {
      let reached = plan.downstream(of: source)
      for edge in plan.edges.indices where reached.contains(plan.edges[edge].from.node) {
        plan.edges[edge].sources.insert(source)
      }
    }
    for (opener, node) in plan.nodes.enumerated() where node.opensTurns {
      let reached = plan.downstream(of: opener)
      for other in reached where other != opener && plan.nodes[other].opensTurns {
        let location = graph.nodes.first { $0.id == plan.nodes[other].name }?.location ?? .argument("")
        faults.append(
          Diagnostic(
            at: location,
            "node \(plan.nodes[other].name) opens turns, but its input is one of turns already: \(node.name) opens them"
          ))
      }
      for edge in plan.edges.indices where reached.contains(plan.edges[edge].from.node) {
        plan.edges[edge].carriesTurns = true
      }
    }
  }
}

extension ParameterMap {
  /// The values without their locations.
  var plain: [String: Dataflow.ParameterValue] {
    entries.reduce(into: [:]) { $0[$1.key.value] = $1.value.plain }
  }
}

extension GraphFile.ParameterValue {
  var plain: Dataflow.ParameterValue {
    switch content {
    case .null: .null
    case .bool(let value): .bool(value)
    case .int(let value): .int(value)
    case .double(let value): .double(value)
    case .string(let value): .string(value)
    case .list(let values): .list(values.map(\.plain))
    case .map(let values): .map(values.plain)
    }
  }
}

extension GraphFile.ParameterValue {
  /// The numbers within that are infinite, or none at all.
  fileprivate var notFinite: [Self] {
    switch content {
    case .double(let value): value.isFinite ? [] : [self]
    case .list(let values): values.flatMap(\.notFinite)
    case .map(let values): values.entries.flatMap(\.value.notFinite)
    case .null, .bool, .int, .string: []
    }
  }
}
