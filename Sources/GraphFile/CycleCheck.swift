/// Finds cycles that no feedback edge declares, and feedback edges that close no cycle.
///
/// A cycle of ordinary edges deadlocks as soon as its queues are full, so it has to be declared where it is closed.
struct CycleCheck {
  private let graph: GraphDescription
  private let index: [String: Int]

  init(_ graph: GraphDescription) {
    self.graph = graph
    index = Dictionary(graph.nodes.enumerated().map { ($1.id, $0) }) { first, _ in first }
  }

  func run(_ log: DiagnosticLog) {
    let forward = Adjacency(nodes: graph.nodes.count, edges: arcs { !$0.isFeedback })
    for component in forward.components() {
      guard let cycle = forward.shortestCycle(in: component) else { continue }
      report(cycle, log)
    }
    // With faulty edges left out a feedback edge may seem to close nothing; and a part's may be closed outside.
    guard !log.hasErrors, graph.inputs.isEmpty else { return }
    let component = Adjacency(nodes: graph.nodes.count, edges: arcs { _ in true }).componentOfNode()
    for edge in graph.edges where edge.isFeedback {
      guard let from = index[edge.from.node], let to = index[edge.to.node] else { continue }
      if component[from] != component[to] {
        log.error(
          "the feedback edge \(edge) closes no cycle: no path leads from \(edge.to.node) to \(edge.from.node)",
          at: edge.location)
      }
    }
  }

  private func arcs(_ isIncluded: (EdgeDescription) -> Bool) -> [Adjacency.Arc] {
    graph.edges.enumerated().compactMap { number, edge in
      guard isIncluded(edge), let from = index[edge.from.node], let to = index[edge.to.node] else { return nil }
      return Adjacency.Arc(from: from, to: to, edge: number)
    }
  }

  private func report(_ cycle: [Adjacency.Arc], _ log: DiagnosticLog) {
    guard let first = cycle.first, let last = cycle.last else { return }
    let closing = graph.edges[last.edge]
    if cycle.count == 1 {
      return log.error(
        "the edge \(closing) leads a node to itself; declare that with 'feedback: true'", at: closing.location)
    }
    // Long cycles are shown by their ends.
    var names = cycle.map { graph.nodes[$0.from].id } + [graph.nodes[first.from].id]
    if names.count > 12 { names.replaceSubrange(6..<(names.count - 5), with: ["..."]) }
    log.error(
      "these edges form a cycle: \(names.joined(separator: " -> ")); declare the one that closes it with"
        + " 'feedback: true'", at: closing.location)
  }
}

/// A directed graph over numbered nodes.
struct Adjacency {
  struct Arc {
    let from: Int
    let to: Int
    /// The caller's number of the edge.
    let edge: Int
  }

  private var arcs: [[Arc]]

  init(nodes: Int, edges: [Arc]) {
    arcs = Array(repeating: [], count: nodes)
    for edge in edges { arcs[edge.from].append(edge) }
  }

  /// The strongly connected components, each with its nodes in ascending order (Tarjan's algorithm without recursion).
  func components() -> [[Int]] {
    let component = componentOfNode()
    var members: [Int: [Int]] = [:]
    for node in arcs.indices { members[component[node], default: []].append(node) }
    return members.values.sorted { ($0.first ?? 0) < ($1.first ?? 0) }
  }

  /// For every node the number of its strongly connected component.
  func componentOfNode() -> [Int] {
    var component = [Int](repeating: -1, count: arcs.count)
    var order = [Int](repeating: -1, count: arcs.count)
    var low = [Int](repeating: 0, count: arcs.count)
    var open: [Int] = []
    var visits: [(node: Int, next: Int)] = []
    var time = 0
    var found = 0
    for root in arcs.indices where order[root] < 0 {
      visits.append((root, 0))
      while let (node, next) = visits.last {
        if next == 0 {
          (order[node], low[node]) = (time, time)
          time += 1
          open.append(node)
        }
        if next < arcs[node].count {
          visits[visits.count - 1].next += 1
          let target = arcs[node][next].to
          if order[target] < 0 {
            visits.append((target, 0))
          } else if component[target] < 0 {
            low[node] = min(low[node], order[target])
          }
          continue
        }
        visits.removeLast()
        if let parent = visits.last { low[parent.node] = min(low[parent.node], low[node]) }
        guard low[node] == order[node] else { continue }
        while let member = open.popLast() {
          component[member] = found
          if member == node { break }
        }
        found += 1
      }
    }
    return component
  }

  /// The shortest cycle through the component's first node; nil if the component is a node without an edge to itself.
  func shortestCycle(in component: [Int]) -> [Arc]? {
    guard let start = component.first else { return nil }
    let members = Set(component)
    var arrival: [Int: Arc] = [:]
    var queue = [start]
    var head = 0
    while head < queue.count {
      let node = queue[head]
      head += 1
      for arc in arcs[node] where members.contains(arc.to) {
        if arc.to == start {
          var path = [arc]
          while let last = path.last, last.from != start, let previous = arrival[last.from] { path.append(previous) }
          return path.reversed()
        }
        if arrival[arc.to] == nil {
          arrival[arc.to] = arc
          queue.append(arc.to)
        }
      }
    }
    return nil
  }
}
