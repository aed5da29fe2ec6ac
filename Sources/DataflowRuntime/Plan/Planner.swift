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

    public init(settings: RunSettings = RunSettings(), runDirectory: String? = nil, forcesInproc: Bool = false) {
      self.settings = settings
      self.runDirectory = runDirectory
      self.forcesInproc = forcesInproc
    }
  }

  private let graph: GraphDescription
  private let placement: Placement?
  private let catalog: NodeCatalog
  private let options: Options
  private var faults: [Diagnostic] = []

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
    assignAddresses(&plan)
    try stop()
    return plan
  }

  private func stop() throws(GraphFileError) {
    if faults.contains(where: { $0.severity == .error }) { throw GraphFileError(faults) }
  }

  // MARK: Nodes

  private mutating func node(_ described: NodeDescription, _ parts: [PartLayout]) -> PlannedNode? {
    let part = parts.firstIndex { $0.nodes.contains(described.id) } ?? 0
    let reader = Self.reader(of: described.with)
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

  /// A relative path counts from the file it was written in, or from the working directory for the command line.
  private static func reader(of parameters: ParameterMap) -> ParameterReader {
    let directories = parameters.entries.reduce(into: [String: String]()) { all, entry in
      let location = entry.value.location
      if location.line > 0 { all[entry.key.value] = (location.file as NSString).deletingLastPathComponent }
    }
    return ParameterReader(parameters.plain) { name, path in
      if path.hasPrefix("/") || path == "-" { return path }
      if path.hasPrefix("~") { return (path as NSString).expandingTildeInPath }
      guard let directory = directories[name], !directory.isEmpty else { return path }
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
    if let problem = output.type.mismatch(feeding: input.type) {
      faults.append(
        Diagnostic(
          at: described.location,
          "\(described.from) sends \(output.type), but \(described.to) takes \(input.type): \(problem)"))
      return nil
    }
    let sameProcess = nodes[from.node].part == nodes[to.node].part
    return PlannedEdge(
      name: "\(described.from) -> \(described.to)", from: from, to: to, type: output.type.merged(with: input.type),
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
        if let problem = edges[other].type.mismatch(feeding: edges[index].type) {
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

  // MARK: Places

  struct PartLayout {
    var part: PlannedPart
    var nodes: Set<String>
  }

  /// A part for each of the placement's, or one for all; every node in another language is a part of its own.
  private mutating func layOut() throws(GraphFileError) -> [PartLayout] {
    let external = graph.nodes.filter { $0.external != nil }
    var layouts: [PartLayout] = []
    if let placement {
      let placed = try placement.resolve(nodeIDs: graph.nodes.map(\.id))
      for part in placement.parts {
        var planned = PlannedPart(name: part.name.value)
        // The coordinator's own machine needs no name: what lives there is started by it.
        planned.host = part.host?.value == coordinatorHost ? nil : part.host?.value
        planned.ports = part.ports?.value
        planned.location = part.name.location
        for variable in part.environment { planned.environment[variable.name.value] = variable.value }
        if let limit = part.restart?.max { planned.restarts.limit = limit }
        if let backoff = part.restart?.backoff { planned.restarts.backoff = backoff }
        let nodes = Set(placed[part.name.value] ?? []).subtracting(external.map(\.id))
        // A part of nothing but one external node is that node's process.
        if !nodes.isEmpty { layouts.append(PartLayout(part: planned, nodes: nodes)) }
      }
    } else if external.count < graph.nodes.count {
      layouts.append(
        PartLayout(part: PlannedPart(name: "main"), nodes: Set(graph.nodes.map(\.id)).subtracting(external.map(\.id))))
    }
    for node in external {
      layouts.append(PartLayout(part: PlannedPart(name: node.id, isExternal: true), nodes: [node.id]))
    }
    return layouts
  }

  private mutating func assignAddresses(_ plan: inout Plan) {
    let directory = options.runDirectory ?? "RUN"
    plan.security = placement?.security.map {
      PlannedSecurity(keys: resolve($0.keys.value), allow: resolve($0.allow.value))
    }
    switch placement?.coordinator?.value {
    case .tcp(let host, let port)?: plan.coordinator = "tcp://\(host):\(port)"
    case .ipc(let path)?: plan.coordinator = "ipc://\(path)"
    case nil: plan.coordinator = "ipc://\(directory)/control"
    }
    var used: [Int: UInt16] = [:]
    for index in plan.edges.indices {
      guard case .wire = plan.edges[index].transport else { continue }
      let edge = plan.edges[index]
      let (sender, receiver) = (plan.nodes[edge.from.node].part, plan.nodes[edge.to.node].part)
      if plan.parts[sender].host == plan.parts[receiver].host {
        plan.edges[index].transport = .wire(address: "ipc://\(directory)/\(index)")
        continue
      }
      let part = plan.parts[receiver]
      guard let host = part.host ?? coordinatorHost, let ports = part.ports else {
        faults.append(
          Diagnostic(
            at: part.location ?? edge.location,
            "part \(part.name) gets \(edge.name) from another host: give it host and ports"
              + (coordinatorHost == nil ? ", and the placement a coordinator at tcp://HOST:PORT" : "")))
        continue
      }
      let offset = used[receiver, default: 0]
      guard Int(ports.lowerBound) + Int(offset) <= Int(ports.upperBound) else {
        faults.append(
          Diagnostic(at: part.location ?? edge.location, "part \(part.name) has more inbound edges than ports"))
        continue
      }
      used[receiver] = offset + 1
      plan.edges[index].transport = .wire(address: "tcp://\(host):\(ports.lowerBound + offset)")
      if !Placement.isLoopback(host), plan.security == nil {
        faults.append(
          Diagnostic(
            at: part.location ?? edge.location,
            "\(edge.name) leaves this machine at \(host): the placement must name its keys under security"))
      }
    }
  }

  private var coordinatorHost: String? {
    if case .tcp(let host, _)? = placement?.coordinator?.value { host } else { nil }
  }

  private func resolve(_ path: String) -> String {
    if path.hasPrefix("/") { return path }
    return ((placement?.directory ?? "") as NSString).appendingPathComponent(path)
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
