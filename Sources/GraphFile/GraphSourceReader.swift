/// Reads one graph file's tree and checks all that the file alone tells.
package struct GraphSourceReader {
  package static let keys = ["antiphon", "description", "parameters", "nodes", "edges", "inputs", "outputs"]
  package static let parameterKeys = ["default", "help"]
  package static let nodeKeys = ["kind", "graph", "with", "command", "inputs", "outputs"]
  package static let edgeKeys = ["from", "to", "depth", "policy", "feedback", "transport"]
  static let depths = 1...65536

  private let log: DiagnosticLog
  private var source: GraphSource
  private var nodeIDs: [String] = []
  private var knownNodes: Set<String> = []
  private var knownParameters: Set<String> = []
  private var usedParameters: Set<String> = []
  private var hasFaultyReferences = false

  static func read(_ root: SourceNode, path: String, log: DiagnosticLog) -> GraphSource? {
    guard let fields = Fields(root, what: "a graph", keys: keys, log: log) else { return nil }
    var reader = GraphSourceReader(log: log, source: GraphSource(path: path))
    reader.read(fields)
    return reader.source
  }

  private init(log: DiagnosticLog, source: GraphSource) {
    self.log = log
    self.source = source
  }

  private mutating func read(_ fields: Fields) {
    FormatVersion.check(fields, log)
    source.description = fields.string("description")?.value
    source.parameters = fields.entries("parameters", of: "names to defaults").compactMap(parameter)
    let nodes = fields.entries("nodes", of: "ids to nodes")
    nodeIDs = nodes.map(\.key.value)
    knownNodes = Set(nodeIDs)
    knownParameters = Set(source.parameters.map(\.name.value))
    for entry in nodes { source.nodes.append(node(entry)) }
    if nodes.isEmpty, fields["nodes"].map(Self.isMapping) ?? true {
      log.error("the graph has no nodes", at: fields.keyLocation("nodes") ?? fields.location)
    }
    readEdges(fields)
    source.inputs = fields.entries("inputs", of: "port names to 'node.port'").compactMap { export($0, isInput: true) }
    source.outputs = fields.entries("outputs", of: "port names to 'node.port'").compactMap {
      export($0, isInput: false)
    }
    // A parameter that seems unused may be the one that a mistyped reference means.
    for parameter in source.parameters where !hasFaultyReferences && !usedParameters.contains(parameter.name.value) {
      log.error(
        "the parameter '\(parameter.name.value)' is not used; write ${\(parameter.name.value)} where it belongs",
        at: parameter.name.location)
    }
  }

  private static func isMapping(_ node: SourceNode) -> Bool {
    if case .mapping = node.content { true } else { false }
  }

  // MARK: Parameters

  private func parameter(_ entry: SourceNode.Entry) -> GraphSource.Parameter? {
    guard Names.isWord(entry.key.value) else {
      log.error("'\(entry.key.value)' is no parameter's name: \(Names.wordRule)", at: entry.key.location)
      return nil
    }
    var parameter = GraphSource.Parameter(name: entry.key, defaultValue: nil)
    if case .mapping = entry.value.content {
      guard
        let fields = Fields(
          entry.value, what: "a parameter in its long form", keys: Self.parameterKeys, log: log)
      else { return nil }
      parameter.help = fields.string("help")?.value
      if fields.keyLocation("default") != nil {
        let null = ParameterValue(.null, at: fields.location)
        parameter.defaultValue = fields["default"]?.value(log) ?? null
      }
    } else {
      parameter.defaultValue = entry.value.value(log)
    }
    if let value = parameter.defaultValue {
      Template.forEachString(in: value) { text, location in
        guard text.contains("${") else { return }
        log.error("a default cannot refer to other parameters", at: location)
      }
    }
    return parameter
  }

  // MARK: Nodes

  private mutating func node(_ entry: SourceNode.Entry) -> GraphSource.Node {
    var node = GraphSource.Node(id: entry.key, body: .faulty, with: ParameterMap())
    if !Names.isID(entry.key.value) {
      log.error("'\(entry.key.value)' is no node id: \(Names.idRule)", at: entry.key.location)
    }
    guard let fields = Fields(entry.value, what: "a node", keys: Self.nodeKeys, log: log) else { return node }
    node.with = with(fields)
    node.body = body(fields, id: entry.key)
    return node
  }

  private mutating func body(_ fields: Fields, id: Located<String>) -> GraphSource.Body {
    if let second = fields.keyLocation("graph"), fields.keyLocation("kind") != nil {
      log.error("a node has either a kind or a graph, not both", at: second)
      return .faulty
    }
    if fields.keyLocation("graph") != nil {
      rejectExternalKeys(fields)
      guard let path = fields.string("graph") else { return missing("graph", fields) }
      return .subgraph(path)
    }
    guard fields.keyLocation("kind") != nil else {
      log.error("the node '\(id.value)' has neither a kind nor a graph", at: id.location)
      return .faulty
    }
    guard let kind = fields.string("kind") else { return missing("kind", fields) }
    guard Names.isID(kind.value) else {
      log.error("'\(kind.value)' is no kind's name: \(Names.idRule)", at: kind.location)
      return .faulty
    }
    guard kind.value == NodeDescription.externalKind else {
      rejectExternalKeys(fields)
      return .kind(kind)
    }
    return external(fields, kind: kind)
  }

  private func missing(_ key: String, _ fields: Fields) -> GraphSource.Body {
    if fields[key] == nil, let location = fields.keyLocation(key) { log.error("'\(key)' has no value", at: location) }
    return .faulty
  }

  private func rejectExternalKeys(_ fields: Fields) {
    for key in ["command", "inputs", "outputs"] {
      if let location = fields.keyLocation(key) {
        log.error("'\(key)' belongs to nodes of kind 'external' only", at: location)
      }
    }
  }

  private mutating func external(_ fields: Fields, kind: Located<String>) -> GraphSource.Body {
    let command = fields.items("command", of: "the program and its arguments").compactMap {
      Fields.string($0, what: "an argument", log)
    }
    if command.isEmpty, fields["command"].map({ if case .sequence = $0.content { true } else { false } }) ?? true {
      log.error(
        "an external node needs a command, such as [python3, -m, my_node]",
        at: fields.keyLocation("command") ?? kind.location)
    }
    let node = ExternalNode(command: command, inputs: ports(fields, "inputs"), outputs: ports(fields, "outputs"))
    if node.inputs.isEmpty, node.outputs.isEmpty, fields["inputs"] == nil, fields["outputs"] == nil {
      log.error("an external node needs inputs or outputs, such as outputs: { text: text }", at: kind.location)
    }
    let inputs = Set(node.inputs.map(\.name))
    for port in node.outputs where inputs.contains(port.name) {
      log.error("the port '\(port.name.value)' is an input and an output", at: port.name.location)
    }
    for text in command + (node.inputs + node.outputs).map(\.type) { noteReferences(in: text.value, at: text.location) }
    return .external(kind, node)
  }

  private func ports(_ fields: Fields, _ key: String) -> [PortDeclaration] {
    fields.entries(key, of: "port names to types").compactMap { entry in
      guard Names.isWord(entry.key.value) else {
        log.error("'\(entry.key.value)' is no port's name: \(Names.wordRule)", at: entry.key.location)
        return nil
      }
      return Fields.string(entry.value, what: "a port's type", log).map {
        PortDeclaration(name: entry.key, type: $0)
      }
    }
  }

  private mutating func with(_ fields: Fields) -> ParameterMap {
    var map = ParameterMap()
    for entry in fields.entries("with", of: "parameters") {
      guard Names.isWord(entry.key.value) else {
        log.error("'\(entry.key.value)' is no parameter's name: \(Names.wordRule)", at: entry.key.location)
        continue
      }
      let value = entry.value.value(log)
      Template.forEachString(in: value) { noteReferences(in: $0, at: $1) }
      map.set(value, for: entry.key)
    }
    return map
  }

  private mutating func noteReferences(in text: String, at location: SourceLocation) {
    switch Template.parse(text) {
    case .failure(let fault):
      hasFaultyReferences = true
      log.error(fault.message, at: location)
    case .success(let template):
      for name in template.names {
        usedParameters.insert(name)
        if !knownParameters.contains(name) {
          hasFaultyReferences = true
          log.error(
            "the graph has no parameter '\(name)'", at: location,
            suggestion: nearest(name, in: source.parameters.map(\.name.value)))
        }
      }
    }
  }

  // MARK: Edges and exported ports

  private mutating func readEdges(_ fields: Fields) {
    var first: [[Endpoint]: SourceLocation] = [:]
    for item in fields.items("edges", of: "edges") {
      guard let edge = edge(item) else { continue }
      if let other = first.updateValue(edge.location, forKey: [edge.from, edge.to]) {
        let message = "a second edge from \(edge.from) to \(edge.to); the first is in line \(other.line)"
        log.error(message, at: edge.location)
      } else {
        source.edges.append(edge)
      }
    }
  }

  private func edge(_ item: SourceNode) -> EdgeDescription? {
    switch item.content {
    case .mapping: return longEdge(item)
    case .scalar(let text, _):
      return EdgeText.parse(Located(text, at: item.location), log).flatMap { ends in
        let known = [ends.from, ends.to].map(isKnown)
        return known.contains(false) ? nil : .plain(from: ends.from, to: ends.to, at: item.location)
      }
    case .sequence:
      log.error("an edge is written 'node.port -> node.port' or { from: node.port, to: node.port }", at: item.location)
      return nil
    }
  }

  private func longEdge(_ item: SourceNode) -> EdgeDescription? {
    guard let fields = Fields(item, what: "an edge", keys: Self.edgeKeys, log: log) else { return nil }
    let from = endpoint(fields, "from")
    let to = endpoint(fields, "to")
    let depth = fields.integer("depth", in: Self.depths)
    let policy: Located<EdgePolicy>? = fields.choice("policy")
    let transport: Located<EdgeTransport>? = fields.choice("transport")
    let feedback = fields.bool("feedback")
    guard let from, let to else { return nil }
    var edge = EdgeDescription.plain(from: from, to: to, at: item.location)
    edge.depth = depth
    edge.policy = policy ?? edge.policy
    edge.transport = transport ?? edge.transport
    edge.isFeedback = feedback?.value ?? false
    if edge.policy.value == .latest, let depth, depth.value != 1 {
      log.error("an edge of policy 'latest' keeps one message; leave out its depth", at: depth.location)
    }
    return edge
  }

  private func endpoint(_ fields: Fields, _ key: String) -> Endpoint? {
    guard fields[key] != nil else {
      log.error("the edge has no '\(key)'", at: fields.keyLocation(key) ?? fields.location)
      return nil
    }
    guard let text = fields.string(key), let end = EdgeText.endpoint(text, log), isKnown(end) else { return nil }
    return end
  }

  private func isKnown(_ end: Endpoint) -> Bool {
    if knownNodes.contains(end.node) { return true }
    log.error("there is no node '\(end.node)'", at: end.location, suggestion: nearest(end.node, in: nodeIDs))
    return false
  }

  private func export(_ entry: SourceNode.Entry, isInput: Bool) -> ExportedPort? {
    guard Names.isWord(entry.key.value) else {
      log.error("'\(entry.key.value)' is no port's name: \(Names.wordRule)", at: entry.key.location)
      return nil
    }
    var nodes = [entry.value]
    if isInput, case .sequence(let items) = entry.value.content { nodes = items }
    let ends = nodes.compactMap { Fields.string($0, what: "an exported port", log) }
      .compactMap { EdgeText.endpoint($0, log) }.filter(isKnown)
    var seen: Set<Endpoint> = []
    for end in ends where !seen.insert(end).inserted {
      log.error("the port '\(entry.key.value)' leads to \(end) twice", at: end.location)
    }
    if nodes.isEmpty { log.error("the port '\(entry.key.value)' leads nowhere", at: entry.value.location) }
    return ExportedPort(name: entry.key, endpoints: ends)
  }
}

extension EdgeDescription {
  static func plain(from: Endpoint, to: Endpoint, at location: SourceLocation) -> EdgeDescription {
    EdgeDescription(
      from: from, to: to, depth: nil, policy: Located(.block, at: location), isFeedback: false,
      transport: Located(.direct, at: location), location: location)
  }
}
