internal import CZeroMQ
internal import Synchronization

/// Decides which CURVE clients may connect to a context's servers: those whose public keys are on a list.
///
/// ```swift
/// let authenticator = try Authenticator(context: context, allowing: AllowList(file: "clients"))
/// var server = try Socket(.router, in: context)
/// try server.secureAsServer(keys: keys, domain: "antiphon", authenticator: authenticator)
/// try server.bind("tcp://*:5555")
/// ```
///
/// It answers ZAP 1.0 requests (ZeroMQ RFC 27) on a thread of its own, for every socket of the context that has a ZAP
/// domain. Clients without CURVE are refused, whatever they claim to be. It goes on with the list last given until the
/// context shuts down, also when this object is let go, so that no server is ever left without it.
public final class Authenticator: Sendable {
  /// A client that was refused.
  public struct Refusal: Sendable, Equatable {
    /// The IP address it came from.
    public let address: String
    /// The domain of the server that it wanted.
    public let domain: String
    /// The key it proved to have; `nil` if it did not use CURVE.
    public let key: CurvePublicKey?
    /// Why it was refused.
    public let reason: String
  }

  /// What was decided so far.
  public struct Counts: Sendable, Equatable {
    /// Clients let in.
    public internal(set) var accepted = 0
    /// Clients turned away.
    public internal(set) var refused = 0
    /// Requests that were none; they come from code in this process, never from a peer.
    public internal(set) var malformed = 0
    /// The latest refusals, oldest first, 32 at most.
    public internal(set) var lastRefusals: [Refusal] = []
  }

  private let policy: Policy

  /// Starts to decide. A context has one authenticator.
  ///
  /// - Parameters:
  ///   - context: The context whose servers it guards; not kept alive.
  ///   - list: The clients to accept.
  /// - Throws: `ZeroMQError`: `addressInUse` if the context has an authenticator already.
  public init(context: Context, allowing list: AllowList) throws(ZeroMQError) {
    let policy = Policy(list)
    self.policy = policy
    var socket = try Socket(.router, in: context, keepingContext: false)
    try socket.bind("inproc://zeromq.zap.01")
    let handover = Mutex<Socket?>(socket)
    try startThread(named: "zmq-auth", Desk(policy: policy, socket: handover))
  }

  /// Replaces the list. Clients already connected stay connected.
  public func allow(_ list: AllowList) { policy.allow(list) }

  /// What was decided so far.
  public var counts: Counts { policy.counts.withLock { $0 } }

  /// The name that the list gives a client.
  ///
  /// - Parameter userID: ``Frame/userID`` of a frame.
  public func name(of userID: String) -> String? {
    (try? CurvePublicKey(z85: userID)).flatMap { policy.name(of: $0) }
  }
}

extension Socket {
  /// Makes the socket accept only encrypted connections of the clients that an authenticator allows. Call it before
  /// ``bind(_:)``.
  ///
  /// - Parameters:
  ///   - keys: The server's own keys.
  ///   - domain: What ``Authenticator/Refusal`` calls this server; 1 to 255 bytes.
  ///   - authenticator: The one of the socket's context.
  /// - Throws: `ZeroMQError` if the domain is empty or too long, or libzmq has no CURVE.
  public mutating func secureAsServer(
    keys: CurveKeyPair, domain: String, authenticator: Authenticator
  ) throws(ZeroMQError) {
    guard !domain.isEmpty else {
      throw ZeroMQError(.invalidArgument, operation: "set zapDomain", message: "a ZAP domain cannot be empty")
    }
    try set(.zapDomain, to: domain)
    // Without this, libzmq lets everybody in while no authenticator answers, such as during shutdown. The option's
    // name is still a draft in libzmq's headers, though every 4.3 library has it; an older one refuses the number.
    let enforceDomain: Int32 = 93
    try setRaw(enforceDomain, "zapEnforceDomain", Int32(1))
    try setRaw(ZMQ_CURVE_SERVER, "curveServer", Int32(1))
    try setRaw(ZMQ_CURVE_SECRETKEY, "curveSecretKey", bytes: keys.secretKey.key.bytes)
  }

  /// Makes the socket's connections encrypted, and only to a server that has the secret key of `serverKey`. Call it
  /// before ``connect(_:)``.
  ///
  /// - Parameters:
  ///   - keys: The client's own keys, which the server must allow.
  ///   - serverKey: The server's public key.
  /// - Throws: `ZeroMQError` if libzmq has no CURVE.
  public mutating func secureAsClient(keys: CurveKeyPair, serverKey: CurvePublicKey) throws(ZeroMQError) {
    try setRaw(ZMQ_CURVE_SERVERKEY, "curveServerKey", bytes: serverKey.bytes)
    try setRaw(ZMQ_CURVE_PUBLICKEY, "curvePublicKey", bytes: keys.publicKey.bytes)
    try setRaw(ZMQ_CURVE_SECRETKEY, "curveSecretKey", bytes: keys.secretKey.key.bytes)
  }
}

// MARK: - The thread

/// Where requests are answered.
private final class Desk: ThreadBody {
  private let policy: Policy
  private let handover: Mutex<Socket?>

  init(policy: Policy, socket: consuming sending Mutex<Socket?>) {
    self.policy = policy
    handover = socket
  }

  func run() {
    guard var socket = handover.withLock({ $0.take() }) else { return }
    var message = Multipart(capacity: 16)
    while true {
      do throws(ZeroMQError) {
        // One frame more than a request may have, so that a longer one is seen to be longer.
        try socket.receive(into: &message, limit: ZAPRequest.mostFrames + 2)
        guard let peer = message.takeFirst(), message.takeFirst()?.isEmpty == true else {
          policy.countMalformed()
          continue
        }
        guard let reply = policy.answer(copy(message)) else { continue }
        var out = Multipart(capacity: 8)
        out.append(peer)
        out.append(Frame())
        for part in reply { try out.append(Frame(copying: part)) }
        _ = try socket.trySend(&out)
      } catch  where error.code == .terminated || error.code == .notASocket {
        return
      } catch {
        // A reply that cannot be sent concerns one client, which then times out.
        continue
      }
    }
  }

  /// Copies a request's frames, none of which is long in an honest one.
  private func copy(_ message: borrowing Multipart) -> [[UInt8]] {
    (0..<message.count).map { index in
      message[index].count <= ZAPRequest.longestFrame
        ? message[index].bytes() : [UInt8](repeating: 0, count: ZAPRequest.longestFrame + 1)
    }
  }
}

/// The list and the counts.
private final class Policy: Sendable {
  private let names: Mutex<[CurvePublicKey: String]>
  let counts = Mutex(Authenticator.Counts())

  init(_ list: AllowList) { names = Mutex(Self.table(list)) }

  private static func table(_ list: AllowList) -> [CurvePublicKey: String] {
    Dictionary(list.entries.map { ($0.key, $0.name) }) { first, _ in first }
  }

  func allow(_ list: AllowList) {
    let table = Self.table(list)
    names.withLock { $0 = table }
  }

  func name(of key: CurvePublicKey) -> String? { names.withLock { $0[key] } }

  func countMalformed() { counts.withLock { $0.malformed += 1 } }

  /// The reply to a request's frames after the envelope; `nil` if there is nothing to reply to.
  func answer(_ frames: [[UInt8]]) -> [[UInt8]]? {
    switch ZAPRequest.parse(frames) {
    case .failure(let fault):
      countMalformed()
      return fault.id.map { ZAPRequest.reply(to: $0, status: "500", text: fault.reason) }
    case .success(let request):
      if let key = request.key, name(of: key) != nil {
        counts.withLock { $0.accepted += 1 }
        return ZAPRequest.reply(to: request.id, status: "200", text: "OK", userID: key.z85)
      }
      let reason =
        request.key == nil ? "\(request.mechanism) is not accepted, only CURVE" : "the key is not on the list"
      let refusal = Authenticator.Refusal(
        address: request.address, domain: request.domain, key: request.key, reason: reason)
      counts.withLock { counts in
        counts.refused += 1
        if counts.lastRefusals.count == 32 { counts.lastRefusals.removeFirst() }
        counts.lastRefusals.append(refusal)
      }
      return ZAPRequest.reply(to: request.id, status: "400", text: reason)
    }
  }
}
