/// Turns a graph file, the subgraphs it uses and the command line's overrides into one flat graph.
final class GraphExpansion {
  /// The ports of an expanded subgraph, by name.
  private struct Instance {
    var inputs: [String: [Endpoint]] = [:]
    var outputs: [String: [Endpoint]] = [:]
    var declaredInputs: [Located<String>] = []
    var declaredOutputs: [Located<String>] = []
    /// The subgraph could not be read: whatever is connected to it is right.
    var isFaulty = false
  }

  private let log: DiagnosticLog
  private let overrides: Overrides
  private let substitution: Substitution
  private var sources: [String: GraphSource?] = [:]
  /// The files being expanded, outermost first.
  private var stack: [(canonical: String, path: String)] = []
  private var ids: [String] = []
  private var isTooLarge = false

  private var nodes: [NodeDescription] = []
  private var edges: [EdgeDescription] = []

  init(overrides: Overrides, log: DiagnosticLog) {
    self.overrides = overrides
    self.log = log
    substitution = Substitution(log: log)
  }

  /// - Parameter text: the root file's text, if it is not to be read from `path`.
  /// - Returns: the flat graph as far as it could be made; nil if the root file could not be read.
  func expand(path: String, text: String?) -> GraphDescription? {
    if let text {
      let tree = YAMLReader.read(Array(text.utf8), file: path, log: log)
      sources[Files.canonical(path)] = .some(tree.flatMap { GraphSourceReader.read($0, path: path, log: log) })
    }
    guard let root = source(path, from: nil) else { return nil }
    stack = [(Files.canonical(path), path)]
    let parameters = rootParameters(root)
    let scope = Dictionary(parameters.map { ($0.name.value, $0.value) }) { first, _ in first }
    let instance = expand(root, prefix: "", scope: scope)
    overrides.logUnused(nodes: ids)
    logDuplicates()
    return GraphDescription(
      path: path, directory: Files.directory(of: path), name: Files.stem(of: path), description: root.description,
      parameters: parameters, nodes: nodes, edges: edges,
      inputs: instance.declaredInputs.map { ExportedPort(name: $0, endpoints: instance.inputs[$0.value] ?? []) },
      outputs: instance.declaredOutputs.map { ExportedPort(name: $0, endpoints: instance.outputs[$0.value] ?? []) },
      warnings: [])
  }

  private func source(_ path: String, from location: SourceLocation?) -> GraphSource? {
    let canonical = Files.canonical(path)
    if let known = sources[canonical] { return known }
    let source = Files.read(path, from: location, log: log).flatMap {
      GraphSourceReader.read($0, path: path, log: log)
    }
    sources[canonical] = .some(source)
    return source
  }

  private func rootParameters(_ root: GraphSource) -> [GraphParameter] {
    let settings = overrides.use(node: nil)
    for entry in settings.entries where !root.parameters.contains(where: { $0.name == entry.key }) {
      log.error(
        "the graph has no parameter '\(entry.key.value)'; a node's is set with NODE.\(entry.key.value)=VALUE",
        at: entry.key.location, suggestion: nearest(entry.key.value, in: root.parameters.map(\.name.value)))
    }
    return root.parameters.map { parameter in
      let name = parameter.name.value
      let value = settings[name] ?? parameter.defaultValue
      if value == nil {
        let message = "the parameter '\(name)' has no default; set it with --set \(name)=VALUE"
        log.error(message, at: parameter.name.location)
      }
      return GraphParameter(
        name: parameter.name, help: parameter.help,
        value: value ?? ParameterValue(.string(""), at: parameter.name.location))
    }
  }

  // MARK: Nodes

  private func expand(_ source: GraphSource, prefix: String, scope: Substitution.Scope) -> Instance {
    var children: [String: Instance] = [:]
    var faulty: Set<String> = []
    for node in source.nodes {
      let id = prefix + node.id.value
      guard admit(id, at: node.id.location) else {
        return Instance(isFaulty: true)
      }
      var with = substitution.resolve(node.with, in: scope)
      for entry in overrides.use(node: id).entries { with.set(entry.value, for: entry.key) }
      let (body, path, former) = swapped(node, id: id, in: source)
      switch body {
      case .faulty: faulty.insert(node.id.value)
      case .kind(let kind):
        append(node, id: id, kind: kind, with: with, external: nil, swappedFrom: former, in: source)
      case .external(let kind, let external):
        let resolved = resolve(external, in: scope)
        append(node, id: id, kind: kind, with: with, external: resolved, swappedFrom: former, in: source)
      case .subgraph(let reference):
        let child = expandChild(path, reference.location, id: id, node: node, with: with, isSwapped: former != nil)
        children[node.id.value] = child
      }
    }
    return connect(source, prefix: prefix, children: children, faulty: faulty)
  }

  private func append(
    _ node: GraphSource.Node, id: String, kind: Located<String>, with: ParameterMap, external: ExternalNode?,
    swappedFrom: Located<String>?, in source: GraphSource
  ) {
    nodes.append(
      NodeDescription(
        id: id, kind: kind, with: with, external: external, swappedFrom: swappedFrom,
        directory: Files.directory(of: source.path), location: node.id.location))
  }

  /// Counts a node or subgraph against the limit.
  private func admit(_ id: String, at location: SourceLocation) -> Bool {
    guard !isTooLarge, !substitution.isExhausted else { return false }
    guard ids.count < Limits.nodes, edges.count < Limits.edges else {
      isTooLarge = true
      log.error("with its subgraphs the graph has more than \(Limits.nodes) nodes", at: location)
      return false
    }
    ids.append(id)
    return true
  }

  /// The node's body after `--swap`, the path of its subgraph, and the kind it had before.
  private func swapped(
    _ node: GraphSource.Node, id: String, in source: GraphSource
  ) -> (GraphSource.Body, path: String, former: Located<String>?) {
    func path(_ reference: String) -> String { Files.join(Files.directory(of: source.path), reference) }
    guard let swap = overrides.useSwap(node: id) else {
      if case .subgraph(let reference) = node.body { return (node.body, path(reference.value), nil) }
      return (node.body, "", nil)
    }
    var former = Located("", at: node.id.location)
    switch node.body {
    case .kind(let kind), .external(let kind, _), .subgraph(let kind): former = kind
    case .faulty: break
    }
    // On the command line a path is relative to the current folder, as shells complete it.
    if swap.value.hasSuffix(".yaml") || swap.value.hasSuffix(".yml") {
      return (.subgraph(swap), Files.join(".", swap.value), former)
    }
    if swap.value == NodeDescription.externalKind {
      log.error(
        "a node cannot be swapped for an external one this way; put that in a subgraph and swap in its file",
        at: swap.location)
      return (.faulty, "", nil)
    }
    guard Names.isID(swap.value) else {
      log.error("'\(swap.value)' is neither a kind nor a graph file (.yaml)", at: swap.location)
      return (.faulty, "", nil)
    }
    return (.kind(swap), "", former)
  }

  private func resolve(_ external: ExternalNode, in scope: Substitution.Scope) -> ExternalNode {
    func ports(_ declarations: [PortDeclaration]) -> [PortDeclaration] {
      declarations.map { PortDeclaration(name: $0.name, type: substitution.resolve($0.type, in: scope)) }
    }
    return ExternalNode(
      command: external.command.map { substitution.resolve($0, in: scope) }, inputs: ports(external.inputs),
      outputs: ports(external.outputs))
  }

  // MARK: Subgraphs

  private func expandChild(
    _ path: String, _ location: SourceLocation, id: String, node: GraphSource.Node, with: ParameterMap, isSwapped: Bool
  ) -> Instance {
    let canonical = Files.canonical(path)
    if let start = stack.firstIndex(where: { $0.canonical == canonical }) {
      let chain = stack[start...].map(\.path) + [path]
      log.error("the graph contains itself: \(chain.joined(separator: " -> "))", at: location)
      return Instance(isFaulty: true)
    }
    guard stack.count <= Limits.subgraphDepth else {
      log.error("subgraphs are nested more than \(Limits.subgraphDepth) deep", at: location)
      return Instance(isFaulty: true)
    }
    guard let child = source(path, from: location) else { return Instance(isFaulty: true) }
    let scope = arguments(of: child, from: with, node: node, isSwapped: isSwapped)
    stack.append((canonical, path))
    defer { stack.removeLast() }
    return expand(child, prefix: id + "/", scope: scope)
  }

  private func arguments(
    of child: GraphSource, from with: ParameterMap, node: GraphSource.Node, isSwapped: Bool
  ) -> Substitution.Scope {
    let names = child.parameters.map(\.name.value)
    let known = Set(names)
    for entry in with.entries where !known.contains(entry.key.value) {
      if isSwapped {
        let message = "'\(entry.key.value)' is left out: '\(child.path)' has no such parameter"
        log.warning(message, at: entry.key.location)
      } else {
        log.error(
          "the graph '\(child.path)' has no parameter '\(entry.key.value)'", at: entry.key.location,
          suggestion: nearest(entry.key.value, in: names))
      }
    }
    var scope: Substitution.Scope = [:]
    for parameter in child.parameters {
      let name = parameter.name.value
      if let value = with[name] ?? parameter.defaultValue {
        scope[name] = value
      } else {
        log.error(
          "the graph '\(child.path)' needs the parameter '\(name)'; give it under 'with'", at: node.id.location)
        scope[name] = ParameterValue(.string(""), at: node.id.location)
      }
    }
    return scope
  }

  // MARK: Edges

  /// Edges that differ in their file may be one when exported ports lead to the same port.
  private func logDuplicates() {
    var first: [[Endpoint]: SourceLocation] = [:]
    for edge in edges {
      guard let other = first.updateValue(edge.location, forKey: [edge.from, edge.to]) else { continue }
      log.error("a second edge from \(edge.from) to \(edge.to); the first is at \(other)", at: edge.location)
    }
  }

  private func connect(
    _ source: GraphSource, prefix: String, children: [String: Instance], faulty: Set<String>
  ) -> Instance {
    var used: Set<Endpoint> = []

    /// The ports of nodes behind a port as the file names it.
    func resolve(_ end: Endpoint, isInput: Bool) -> [Endpoint] {
      used.insert(end)
      guard let child = children[end.node] else {
        if faulty.contains(end.node) { return [] }
        return [Endpoint(node: prefix + end.node, port: end.port, at: end.location)]
      }
      if child.isFaulty { return [] }
      let ports = isInput ? child.inputs : child.outputs
      if let inner = ports[end.port] {
        return inner.map { Endpoint(node: $0.node, port: $0.port, at: end.location) }
      }
      let direction = isInput ? "input" : "output"
      let isOther = (isInput ? child.outputs : child.inputs)[end.port] != nil
      let hint = isOther ? "; that is an \(isInput ? "output" : "input")" : ""
      log.error(
        "the subgraph '\(end.node)' exports no \(direction) '\(end.port)'\(hint)", at: end.location,
        suggestion: nearest(end.port, in: ports.keys.sorted()))
      return []
    }

    for edge in source.edges {
      for from in resolve(edge.from, isInput: false) {
        for to in resolve(edge.to, isInput: true) {
          guard edges.count < Limits.edges else { continue }
          var flat = edge
          (flat.from, flat.to) = (from, to)
          edges.append(flat)
        }
      }
    }
    var instance = Instance(
      declaredInputs: source.inputs.map(\.name), declaredOutputs: source.outputs.map(\.name))
    for port in source.inputs {
      instance.inputs[port.name.value] = port.endpoints.flatMap { resolve($0, isInput: true) }
    }
    for port in source.outputs {
      instance.outputs[port.name.value] = port.endpoints.flatMap { resolve($0, isInput: false) }
    }
    logUnconnected(source, children, used)
    return instance
  }

  private func logUnconnected(_ source: GraphSource, _ children: [String: Instance], _ used: Set<Endpoint>) {
    for node in source.nodes {
      guard let child = children[node.id.value], !child.isFaulty else { continue }
      func isUnused(_ port: Located<String>) -> Bool {
        !used.contains(Endpoint(node: node.id.value, port: port.value, at: port.location))
      }
      for port in child.declaredInputs where isUnused(port) {
        log.error("nothing is connected to the input '\(port.value)' of '\(node.id.value)'", at: node.id.location)
      }
      // What a part offers need not all be wanted; if none of it is, something has been forgotten.
      if child.declaredOutputs.allSatisfy(isUnused) {
        for port in child.declaredOutputs {
          log.warning("nothing reads the output '\(port.value)' of '\(node.id.value)'", at: node.id.location)
        }
      }
    }
  }
}
