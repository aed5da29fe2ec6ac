import ZeroMQ

/// The keys of one process, for edges that leave the machine.
struct WireKeys: Sendable {
  /// This process's own.
  let own: CurveKeyPair
  /// Who may connect.
  let allowed: AllowList
  /// The public keys of parts and of the coordinator, by name.
  let peers: [String: CurvePublicKey]

  static let domain = "antiphon"

  /// Reads the keys of the process called `name` from the placement's folder.
  ///
  /// - Throws: `CurveKeyError` that names the file.
  init(_ security: PlannedSecurity, name: String, peers names: [String]) throws {
    own = try CurveKeyPair(secretKeyFile: "\(security.keys)/\(name).key")
    allowed = try AllowList(file: security.allow)
    var peers: [String: CurvePublicKey] = [:]
    for peer in names {
      // A public key file is an allow-list of one.
      let list = try AllowList(file: "\(security.keys)/\(peer).pub")
      guard let key = list.entries.first?.key else { throw MissingKey(file: "\(security.keys)/\(peer).pub") }
      peers[peer] = key
    }
    self.peers = peers
  }

  /// Encryption is for addresses that leave the machine; ipc and loopback need none, but tolerate it.
  static func isNeeded(for address: String) -> Bool { address.hasPrefix("tcp://") }
}

/// A public key file without a key.
struct MissingKey: Error, CustomStringConvertible {
  let file: String
  var description: String { "\(file) holds no public key; antiphon keys new makes a pair" }
}
