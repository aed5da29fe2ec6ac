/// A placement overlay: in which process, on which host, each node of a graph runs.
///
/// ```swift
/// let placement = try Placement.load(path: "Graphs/placements/two-hosts.yaml")
/// let nodesOfPart = try placement.resolve(nodeIDs: graph.nodes.map(\.id))
/// ```
public struct Placement: Sendable {
  /// The file's path as given to ``load(path:)``.
  public var path: String
  /// The folder of the file, to which its relative paths refer.
  public var directory: String
  /// Where the parts find the coordinator; nil means ipc in the run's private folder.
  public var coordinator: Located<Address>?
  public var security: Security?
  /// In the order of the file.
  public var parts: [Part]

  /// An endpoint of ZeroMQ.
  public enum Address: Hashable, Sendable {
    case tcp(host: String, port: UInt16)
    case ipc(path: String)
  }

  /// CURVE keys, which every address beyond loopback needs. Paths are as written, relative to ``directory``.
  public struct Security: Sendable {
    /// The folder with this side's keys.
    public var keys: Located<String>
    /// The file of public keys that may connect.
    public var allow: Located<String>
  }

  /// One process.
  public struct Part: Sendable {
    public var name: Located<String>
    /// The host's name or address; nil: the machine where the run is started, reached over ipc.
    public var host: Located<String>?
    /// The tcp ports that its inbound edges may listen on; nil exactly if `host` is.
    public var ports: Located<ClosedRange<UInt16>>?
    /// Node ids and patterns; `*` alone takes what no other part names.
    public var nodes: [Located<String>]
    /// Variables added to the process's environment.
    public var environment: [(name: Located<String>, value: String)]
    /// nil: the runtime's own policy.
    public var restart: Restart?
  }

  /// What happens when the process dies.
  public struct Restart: Hashable, Sendable {
    /// How often it is started again before the run fails; nil where the file does not say.
    public var max: Int?
    /// Seconds before the first restart, doubled with each further one; nil where the file does not say.
    public var backoff: Double?
  }
}

extension Placement.Address: CustomStringConvertible {
  /// As ZeroMQ writes it; an IPv6 host stands in brackets.
  public var description: String {
    switch self {
    case .tcp(let host, let port): host.contains(":") ? "tcp://[\(host)]:\(port)" : "tcp://\(host):\(port)"
    case .ipc(let path): "ipc://\(path)"
    }
  }
}

extension Placement {
  /// Whether messages to this host stay on the machine.
  public static func isLoopback(_ host: String) -> Bool {
    if host == "localhost" || host == "::1" { return true }
    let bytes = host.split(separator: ".", omittingEmptySubsequences: false)
    return bytes.count == 4 && bytes[0] == "127" && bytes.allSatisfy { UInt8($0) != nil }
  }

  /// Reads and checks a placement file.
  /// - Throws: ``GraphFileError`` with every fault that can be found without the graph, and nothing else.
  public static func load(path: String) throws(GraphFileError) -> Placement {
    let log = DiagnosticLog()
    return try finish(Files.read(path, from: nil, log: log), path: path, log: log)
  }

  /// Reads a placement from a text, as ``load(path:)`` reads a file.
  /// - Parameters:
  ///   - text: a placement file's text.
  ///   - path: what the file is called in diagnostics, and where its relative paths start; it need not exist.
  /// - Throws: ``GraphFileError`` with every fault that can be found without the graph, and nothing else.
  public static func parse(_ text: String, path: String = "placement.yaml") throws(GraphFileError) -> Placement {
    let log = DiagnosticLog()
    return try finish(YAMLReader.read(Array(text.utf8), file: path, log: log), path: path, log: log)
  }

  private static func finish(
    _ tree: SourceNode?, path: String, log: DiagnosticLog
  ) throws(GraphFileError) -> Placement {
    let placement = tree.flatMap { PlacementReader(path: path, log: log).read($0) }
    try log.throwIfErrors()
    guard let placement else {
      throw GraphFileError([Diagnostic(at: .argument(path), "the file could not be read")])
    }
    return placement
  }

  /// Which nodes each part runs.
  ///
  /// A pattern's `*` stands for any characters, `/` among them. The pattern `*` alone takes the nodes that no other
  /// part names.
  ///
  /// - Parameter nodeIDs: the graph's nodes.
  /// - Returns: for every part its nodes, in the order of `nodeIDs`.
  /// - Throws: ``GraphFileError`` if a pattern matches no node, or a node belongs to two parts or to none.
  public func resolve(nodeIDs: [String]) throws(GraphFileError) -> [String: [String]] {
    let log = DiagnosticLog()
    var owner: [String: Located<String>] = [:]
    var rest: Part?
    for part in parts {
      for pattern in part.nodes {
        if pattern.value == "*" {
          rest = part
          continue
        }
        var matches = nodeIDs.filter { NamePattern.matches($0, pattern.value) }
        // A subgraph's id stands for its nodes, also where --swap put one in a node's place.
        if matches.isEmpty { matches = nodeIDs.filter { $0.hasPrefix("\(pattern.value)/") } }
        if matches.isEmpty {
          let isPattern = pattern.value.contains("*")
          log.error(
            isPattern ? "no node matches '\(pattern.value)'" : "the graph has no node '\(pattern.value)'",
            at: pattern.location, suggestion: nearest(pattern.value, in: nodeIDs))
        }
        for id in matches {
          if let other = owner[id], other != part.name {
            let names = "'\(other.value)' and '\(part.name.value)'"
            log.error("the node '\(id)' is in two parts, \(names)", at: pattern.location)
          } else {
            owner[id] = part.name
          }
        }
      }
    }
    let homeless = nodeIDs.filter { owner[$0] == nil }
    if let rest {
      for id in homeless { owner[id] = rest.name }
    } else if !homeless.isEmpty {
      let names = homeless.prefix(5).map { "'\($0)'" } + (homeless.count > 5 ? ["\(homeless.count - 5) more"] : [])
      log.error(
        "\(listed(names)) \(homeless.count == 1 ? "is" : "are") in no part; the pattern \"*\" takes what is left",
        at: parts.first?.name.location ?? .argument(path))
    }
    try log.throwIfErrors()
    var result = Dictionary(parts.map { ($0.name.value, [String]()) }) { first, _ in first }
    for id in nodeIDs { if let part = owner[id] { result[part.value, default: []].append(id) } }
    for part in parts where result[part.name.value]?.isEmpty ?? true {
      log.error("no node is left for the part '\(part.name.value)'", at: part.name.location)
    }
    try log.throwIfErrors()
    return result
  }
}

/// Patterns over node ids.
enum NamePattern {
  /// Whether `name` is `pattern` with any characters in place of every `*`. Takes time in proportion to both lengths.
  static func matches(_ name: String, _ pattern: String) -> Bool {
    let (name, pattern) = (Array(name.utf8), Array(pattern.utf8))
    var (i, j) = (0, 0)
    var star: (name: Int, pattern: Int)?
    while i < name.count {
      if j < pattern.count, pattern[j] == UInt8(ascii: "*") {
        star = (i, j)
        j += 1
      } else if j < pattern.count, pattern[j] == name[i] {
        (i, j) = (i + 1, j + 1)
      } else if let last = star {
        star = (last.name + 1, last.pattern)
        (i, j) = (last.name + 1, last.pattern + 1)
      } else {
        return false
      }
    }
    return pattern[j...].allSatisfy { $0 == UInt8(ascii: "*") }
  }
}
