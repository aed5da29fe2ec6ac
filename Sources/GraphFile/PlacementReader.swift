/// Reads a placement file's tree and checks all that it tells without the graph.
package struct PlacementReader {
  package static let keys = ["antiphon", "description", "coordinator", "security", "parts"]
  package static let securityKeys = ["keys", "allow"]
  package static let partKeys = ["host", "ports", "nodes", "environment", "restart"]
  package static let restartKeys = ["max", "backoff"]

  let path: String
  let log: DiagnosticLog

  func read(_ root: SourceNode) -> Placement? {
    guard let fields = Fields(root, what: "a placement", keys: Self.keys, log: log) else { return nil }
    FormatVersion.check(fields, log)
    _ = fields.string("description")
    let placement = Placement(
      path: path, directory: Files.directory(of: path),
      coordinator: fields.string("coordinator").flatMap(address),
      security: fields["security"].flatMap(security), parts: parts(fields))
    let patterns = placement.parts.reduce(0) { $0 + $1.nodes.count }
    guard placement.parts.count <= Limits.parts, patterns <= Limits.patterns else {
      log.error(
        "the placement has more than \(Limits.parts) parts or \(Limits.patterns) node ids and patterns",
        at: fields.keyLocation("parts") ?? fields.location)
      return nil
    }
    checkPorts(placement)
    checkReach(placement, fields)
    checkRest(placement)
    return placement
  }

  private func parts(_ fields: Fields) -> [Placement.Part] {
    let entries = fields.entries("parts", of: "names to parts")
    if entries.isEmpty {
      log.error("the placement has no parts", at: fields.keyLocation("parts") ?? fields.location)
    }
    return entries.compactMap { entry in
      if !Names.isID(entry.key.value) {
        log.error("'\(entry.key.value)' is no part's name: \(Names.idRule)", at: entry.key.location)
      }
      return part(entry)
    }
  }

  private func part(_ entry: SourceNode.Entry) -> Placement.Part? {
    guard let fields = Fields(entry.value, what: "a part", keys: Self.partKeys, log: log) else { return nil }
    let host = fields.string("host").flatMap(self.host)
    let ports = fields["ports"].flatMap(self.ports)
    if let host, fields["ports"] == nil {
      log.error("a part with a host needs tcp ports, such as ports: 6100-6199", at: host.location)
    }
    if fields["host"] == nil, let place = fields.keyLocation("ports") {
      log.error("ports belong to a part with a host; without one edges run over ipc", at: place)
    }
    let nodes = fields.items("nodes", of: "node ids and patterns").compactMap(pattern)
    if fields["nodes"] == nil || isEmptyList(fields["nodes"]) {
      log.error("the part '\(entry.key.value)' has no nodes", at: fields.keyLocation("nodes") ?? entry.key.location)
    }
    return Placement.Part(
      name: entry.key, host: host, ports: ports, nodes: nodes, environment: environment(fields),
      restart: fields["restart"].flatMap(restart))
  }

  private func isEmptyList(_ node: SourceNode?) -> Bool {
    if case .sequence(let items)? = node?.content { items.isEmpty } else { false }
  }

  // MARK: Values

  private func pattern(_ node: SourceNode) -> Located<String>? {
    guard let text = Fields.string(node, what: "a node id or pattern", log) else { return nil }
    let sample = text.value.split(separator: "*", omittingEmptySubsequences: false).joined(separator: "a")
    guard sample.split(separator: "/", omittingEmptySubsequences: false).allSatisfy({ Names.isID("a" + $0) }) else {
      log.error("'\(text.value)' is neither a node id nor a pattern such as 'ears/*'", at: text.location)
      return nil
    }
    return text
  }

  private func host(_ text: Located<String>) -> Located<String>? {
    if Self.isHost(text.value) { return text }
    log.error("'\(text.value)' is no host; write its name or address, without a scheme or port", at: text.location)
    return nil
  }

  private static func isHost(_ text: String) -> Bool {
    let isIPv6 = text.contains(":")
    return !text.isEmpty && text.utf8.count <= 253
      && text.unicodeScalars.allSatisfy { scalar in
        switch scalar {
        case "a"..."z", "A"..."Z", "0"..."9", "-", ".": true
        case ":", "%": isIPv6
        default: false
        }
      } && (!isIPv6 || text.split(separator: ":").count <= 8 && text.filter { $0 == ":" }.count >= 2)
  }

  private func ports(_ node: SourceNode) -> Located<ClosedRange<UInt16>>? {
    guard case .scalar(let text, _) = node.content else {
      log.error("ports are a range such as 6100-6199, not \(node.typeName)", at: node.location)
      return nil
    }
    let numbers = text.split(separator: "-", omittingEmptySubsequences: false).map {
      UInt16($0.drop { $0 == " " }.prefix { $0 != " " })
    }
    guard numbers.count <= 2, let first = numbers.first ?? nil, let last = numbers.last ?? nil, first > 0,
      first <= last
    else {
      log.error("'\(text)' is no range of ports; write FIRST-LAST with 1 <= FIRST <= LAST <= 65535", at: node.location)
      return nil
    }
    return Located(first...last, at: node.location)
  }

  private func address(_ text: Located<String>) -> Located<Placement.Address>? {
    if text.value.hasPrefix("ipc://"), text.value.utf8.count > 6 {
      let path = String(text.value.dropFirst(6))
      // The name of a socket is stored in 108 bytes with a final zero.
      guard path.utf8.count <= 107 else {
        log.error("the socket's path is longer than 107 bytes, which the system cannot bind", at: text.location)
        return nil
      }
      return Located(.ipc(path: path), at: text.location)
    }
    if text.value.hasPrefix("tcp://") {
      let rest = text.value.dropFirst(6)
      if let colon = rest.lastIndex(of: ":"), let port = UInt16(rest[rest.index(after: colon)...]), port > 0 {
        var host = rest[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        if Self.isHost(String(host)) { return Located(.tcp(host: String(host), port: port), at: text.location) }
      }
    }
    log.error("'\(text.value)' is no address; write tcp://HOST:PORT or ipc://PATH", at: text.location)
    return nil
  }

  private func security(_ node: SourceNode) -> Placement.Security? {
    guard let fields = Fields(node, what: "the security section", keys: Self.securityKeys, log: log) else { return nil }
    for key in Self.securityKeys where fields[key] == nil {
      log.error("the security section has no '\(key)'", at: fields.location)
    }
    guard let keys = fields.string("keys"), let allow = fields.string("allow") else { return nil }
    return Placement.Security(keys: keys, allow: allow)
  }

  private func environment(_ fields: Fields) -> [(name: Located<String>, value: String)] {
    fields.entries("environment", of: "variables to values").compactMap { entry in
      let name = entry.key.value
      guard !name.isEmpty, !name.utf8.contains(where: { $0 == UInt8(ascii: "=") || $0 == 0 }) else {
        log.error("'\(name)' is no variable's name", at: entry.key.location)
        return nil
      }
      // A number needs no quotes: what the file says is what the process gets.
      guard case .scalar(let text, _) = entry.value.content, !text.utf8.contains(0) else {
        log.error("a variable's value is a string, not \(entry.value.typeName)", at: entry.value.location)
        return nil
      }
      return (entry.key, text)
    }
  }

  private func restart(_ node: SourceNode) -> Placement.Restart? {
    guard let fields = Fields(node, what: "the restart section", keys: Self.restartKeys, log: log) else { return nil }
    var restart = Placement.Restart(max: fields.integer("max", in: 0...1000)?.value)
    if let node = fields["backoff"] {
      switch node.value(log).content {
      case .int(let seconds) where seconds > 0 && seconds <= 3600: restart.backoff = Double(seconds)
      case .double(let seconds) where seconds > 0 && seconds <= 3600: restart.backoff = seconds
      default: log.error("'backoff' is a number of seconds above 0, up to 3600", at: node.location)
      }
    }
    return restart
  }

  // MARK: Checks across parts

  private func checkPorts(_ placement: Placement) {
    for (index, part) in placement.parts.enumerated() {
      guard let host = part.host?.value, let ports = part.ports else { continue }
      for other in placement.parts[..<index] where other.host?.value == host {
        if let taken = other.ports, taken.value.overlaps(ports.value) {
          log.error(
            "the ports overlap with those of '\(other.name.value)' (line \(taken.location.line)) on the same host",
            at: ports.location)
        }
      }
      if case .tcp(host, let port)? = placement.coordinator?.value, ports.value.contains(port) {
        log.error("the coordinator's port \(port) is one of these", at: ports.location)
      }
    }
  }

  /// Addresses that leave the machine need security, and who is started by hand a coordinator that it can reach.
  private func checkReach(_ placement: Placement, _ fields: Fields) {
    let remote = placement.parts.compactMap(\.host).first { !Placement.isLoopback($0.value) }
    var exposed = remote
    var isReachable = false
    if case .tcp(let host, _)? = placement.coordinator?.value {
      isReachable = !Placement.isLoopback(host)
      if isReachable, let place = placement.coordinator?.location { exposed = Located(host, at: place) }
    }
    if let exposed, fields["security"] == nil {
      log.error(
        "'\(exposed.value)' is not loopback, and what leaves the machine must be encrypted; add"
          + " security: { keys: FOLDER, allow: FILE }", at: exposed.location)
    }
    if let remote, !isReachable, fields["coordinator"] == nil || placement.coordinator != nil {
      log.error(
        "the part on '\(remote.value)' cannot reach the coordinator; add coordinator: tcp://HOST:PORT with an address"
          + " of this machine", at: placement.coordinator?.location ?? remote.location)
    } else if let host = placement.parts.lazy.compactMap(\.host).first, fields["coordinator"] == nil {
      log.error(
        "the part on '\(host.value)' is started by hand and cannot find the coordinator; add coordinator:"
          + " tcp://HOST:PORT", at: host.location)
    }
  }

  private func checkRest(_ placement: Placement) {
    let rests = placement.parts.flatMap { part in part.nodes.filter { $0.value == "*" } }
    for second in rests.dropFirst() {
      log.error(
        "only one part can take what is left; the first \"*\" is in line \(rests[0].location.line)",
        at: second.location)
    }
  }
}
