import Foundation
import GraphFile

/// A process as the placement lays it out.
struct PartLayout {
  var part: PlannedPart
  /// The ids of its nodes.
  var nodes: Set<String>
  /// Which of the placement's parts it comes from: those that come from one share its ports.
  var origin = 0
}

/// Which process each node lives in, and at which address each process is found.
extension Planner {
  /// A part for each of the placement's, or one for all; every node in another language is a part of its own, with the
  /// host, ports, environment and restarts of the placement's part that holds it.
  mutating func layOut() throws(GraphFileError) -> [PartLayout] {
    let external = graph.nodes.filter { $0.external != nil }.map(\.id)
    guard let placement else {
      let own = Set(graph.nodes.map(\.id)).subtracting(external)
      return (own.isEmpty ? [] : [PartLayout(part: PlannedPart(name: "main"), nodes: own)])
        + external.map { PartLayout(part: PlannedPart(name: $0, isExternal: true), nodes: [$0]) }
    }
    let placed = try placement.resolve(nodeIDs: graph.nodes.map(\.id))
    var layouts: [PartLayout] = []
    var programs: [PartLayout] = []
    for (origin, part) in placement.parts.enumerated() {
      var planned = PlannedPart(name: part.name.value)
      // The coordinator's own machine needs no name: what lives there is started by it.
      planned.host = part.host?.value == coordinatorHost ? nil : part.host?.value
      planned.ports = part.ports?.value
      planned.location = part.name.location
      for variable in part.environment { planned.environment[variable.name.value] = variable.value }
      if let limit = part.restart?.max { planned.restarts.limit = limit }
      if let backoff = part.restart?.backoff { planned.restarts.backoff = backoff }
      let nodes = placed[part.name.value] ?? []
      let own = Set(nodes).subtracting(external)
      // A part of nothing but external nodes is those nodes' processes.
      if !own.isEmpty { layouts.append(PartLayout(part: planned, nodes: own, origin: origin)) }
      for node in nodes where external.contains(node) {
        var program = planned
        (program.name, program.isExternal) = (node, true)
        programs.append(PartLayout(part: program, nodes: [node], origin: origin))
      }
    }
    for program in programs where layouts.contains(where: { $0.part.name == program.part.name }) {
      faults.append(
        Diagnostic(
          at: program.part.location ?? .argument(program.part.name),
          "node \(program.part.name) is a program in another language, and so a process of its own with that name: "
            + "call the part something else"))
    }
    return layouts + programs
  }

  /// Whether the process that is to be only one part can be it.
  mutating func checkPart(_ plan: Plan) {
    guard let name = options.part else { return }
    let place = SourceLocation.argument("--part \(name)")
    guard let placement else {
      faults.append(Diagnostic(at: place, "a part of what? Name the placement with --place FILE"))
      return
    }
    guard let part = plan.parts.first(where: { $0.name == name }) else {
      let names = plan.parts.map(\.name)
      faults.append(
        Diagnostic(
          at: place, "the placement has no part '\(name)'; it has \(names.joined(separator: ", "))",
          suggestion: nearest(name, in: names)))
      return
    }
    if part.isExternal {
      faults.append(Diagnostic(at: place, "this is a program in another language; antiphon plan shows its command"))
    } else if options.runDirectory == nil, part.host == nil {
      let hint =
        placement.coordinator == nil
        ? "to start it by hand, give it host and ports, and the placement coordinator: tcp://HOST:PORT"
        : "to start it by hand, give it a host that is not the coordinator's"
      faults.append(
        Diagnostic(
          at: part.location ?? place,
          "part \(name) is started by the coordinator: run the graph without --part; \(hint)"))
    }
  }

  mutating func assignAddresses(_ plan: inout Plan, _ layouts: [PartLayout]) {
    let directory = options.runDirectory ?? "RUN"
    plan.security = placement?.security.map {
      PlannedSecurity(keys: resolve($0.keys.value), allow: resolve($0.allow.value))
    }
    plan.coordinator = placement?.coordinator?.value.description ?? "ipc://\(directory)/control"
    var used: [Int: UInt16] = [:]
    for index in plan.edges.indices {
      guard case .wire = plan.edges[index].transport else { continue }
      let edge = plan.edges[index]
      let (sender, receiver) = (plan.nodes[edge.from.node].part, plan.nodes[edge.to.node].part)
      // Only what the coordinator starts knows the run's folder.
      if plan.parts[sender].host == nil, plan.parts[receiver].host == nil {
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
      let offset = used[layouts[receiver].origin, default: 0]
      guard Int(ports.lowerBound) + Int(offset) <= Int(ports.upperBound) else {
        faults.append(
          Diagnostic(at: part.location ?? edge.location, "part \(part.name) has more inbound edges than ports"))
        continue
      }
      used[layouts[receiver].origin] = offset + 1
      let address = Placement.Address.tcp(host: host, port: ports.lowerBound + offset)
      plan.edges[index].transport = .wire(address: "\(address)")
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
