import Testing
import ZeroMQ

/// A CURVE server on tcp, guarded by an authenticator.
private struct Server: ~Copyable {
  let context: Context
  let keys: CurveKeyPair
  let authenticator: Authenticator
  var socket: Socket
  let endpoint: String

  init(allowing clients: CurveKeyPair...) throws {
    let context = try Context()
    let keys = try CurveKeyPair.generate()
    let entries = clients.enumerated().map { AllowList.Entry(key: $1.publicKey, name: "client \($0)") }
    let authenticator = try Authenticator(context: context, allowing: AllowList(entries))
    var socket = try makeSocket(.pull, in: context)
    try socket.secureAsServer(keys: keys, domain: "test", authenticator: authenticator)
    try socket.startMonitoring(.handshakeFailures)
    endpoint = try socket.bind("tcp://127.0.0.1:*")
    self.context = context
    self.keys = keys
    self.authenticator = authenticator
    self.socket = socket
  }

  func client(_ keys: CurveKeyPair, serverKey: CurvePublicKey? = nil) throws -> Socket {
    var client = try makeSocket(.push, in: context)
    try client.secureAsClient(keys: keys, serverKey: serverKey ?? self.keys.publicKey)
    try client.connect(endpoint)
    try client.send(Frame("let me in"))
    return client
  }
}

struct AuthenticatorTests {
  @Test func listedClientsAreLetInAndKnown() throws {
    let keys = try CurveKeyPair.generate()
    var server = try Server(allowing: keys)
    let client = try server.client(keys)
    let frame = try server.socket.receive()
    let (text, user, address) = (frame.text(), frame.userID, frame.peerAddress)
    #expect(text == "let me in")
    #expect(user == keys.publicKey.z85)
    #expect(address == "127.0.0.1")
    #expect(server.authenticator.name(of: keys.publicKey.z85) == "client 0")
    #expect(server.authenticator.counts.accepted == 1 && server.authenticator.counts.refused == 0)
    client.close()
  }

  @Test func unlistedClientsAreRefusedAndCounted() throws {
    let listed = try CurveKeyPair.generate()
    let stranger = try CurveKeyPair.generate()
    var server = try Server(allowing: listed)
    let refused = try server.client(stranger)
    let event = try server.socket.awaitEvent { $0.kind == .handshakeRefused(400) }
    #expect(event != nil)
    let counts = server.authenticator.counts
    #expect(counts.accepted == 0 && counts.refused >= 1)
    let last = try #require(counts.lastRefusals.last)
    #expect(last.address == "127.0.0.1" && last.domain == "test" && last.key == stranger.publicKey)
    #expect(try server.socket.isQuiet())
    refused.close()

    // The list can change while the server runs.
    server.authenticator.allow(AllowList([.init(key: stranger.publicKey, name: "friend")]))
    let accepted = try server.client(stranger)
    #expect(try server.socket.receiveText() == "let me in")
    #expect(server.authenticator.name(of: stranger.publicKey.z85) == "friend")
    accepted.close()
  }

  @Test func aWrongServerKeyFailsTheHandshake() throws {
    let keys = try CurveKeyPair.generate()
    var server = try Server(allowing: keys)
    let client = try server.client(keys, serverKey: CurveKeyPair.generate().publicKey)
    let event = try server.socket.awaitEvent {
      if case .handshakeBrokeProtocol = $0.kind { true } else { false }
    }
    #expect(event != nil)
    let counts = server.authenticator.counts
    #expect(counts.accepted == 0 && counts.refused == 0 && counts.malformed == 0)
    #expect(try server.socket.isQuiet())
    client.close()
  }

  @Test func plainTextClientsOfACurveServerFailTheHandshake() throws {
    var server = try Server()
    var client = try makeSocket(.push, in: server.context)
    try client.connect(server.endpoint)
    try client.send(Frame("let me in"))
    let event = try server.socket.awaitEvent {
      if case .handshakeBrokeProtocol = $0.kind { true } else { false }
    }
    #expect(event != nil)
    #expect(try server.socket.isQuiet())
  }

  @Test func domainsRefuseClientsWithoutCurve() throws {
    var server = try Server()
    var open = try makeSocket(.pull, in: server.context)
    try open.set(.zapDomain, to: "demanding")
    try open.startMonitoring(.handshakeFailures)
    var client = try makeSocket(.push, in: server.context)
    try client.connect(open.bind("tcp://127.0.0.1:*"))
    try client.send(Frame("let me in"))
    #expect(try open.awaitEvent { $0.kind == .handshakeRefused(400) } != nil)
    let last = try #require(server.authenticator.counts.lastRefusals.last)
    #expect(last.key == nil && last.domain == "demanding" && last.reason.contains("NULL"))
    server.socket.stopMonitoring()
  }

  @Test func aContextHasOneAuthenticator() throws {
    let context = try Context()
    let first = try Authenticator(context: context, allowing: AllowList())
    let error = #expect(throws: ZeroMQError.self) { try Authenticator(context: context, allowing: AllowList()) }
    #expect(error?.code == .addressInUse)
    #expect(first.counts.refused == 0)
  }

  @Test func anEmptyDomainIsNotAccepted() throws {
    let server = try Server()
    var socket = try Socket(.pull, in: server.context)
    #expect(throws: ZeroMQError.self) {
      try socket.secureAsServer(keys: server.keys, domain: "", authenticator: server.authenticator)
    }
  }

  @Test func malformedRequestsAreAnsweredOrDroppedAndTheNextIsServed() throws {
    let client = try CurveKeyPair.generate()
    let server = try Server(allowing: client)
    var dealer = try makeSocket(.dealer, in: server.context)
    try dealer.connect("inproc://zeromq.zap.01")
    func send(_ frames: [[UInt8]]) throws {
      var message = Multipart()
      for frame in frames { try message.append(Frame(copying: frame)) }
      try dealer.send(&message)
    }
    func receive() throws -> [String] {
      var message = Multipart()
      try dealer.receive(into: &message)
      return (0..<message.count).map { message[$0].text() }
    }
    let texts = ["", "1.0", "7", "test", "10.0.0.1", "", "CURVE"]
    let good: [[UInt8]] = texts.map { Array($0.utf8) } + [client.publicKey.bytes]

    var faulty: [[[UInt8]]] = []
    for count in 3..<good.count { faulty.append(Array(good[..<count])) }
    faulty.append(good + [[1]])
    faulty.append(good + [[UInt8]](repeating: [1], count: 500))
    for (index, value) in [(1, Array("2.0".utf8)), (4, [UInt8](repeating: 65, count: 1 << 20)), (7, [1, 2, 3])] {
      var frames = good
      frames[index] = value
      faulty.append(frames)
    }
    // No reply is possible to these.
    let hopeless: [[[UInt8]]] = [[[]], [[1]], [[], Array("1.0".utf8)], [[], [], [UInt8](repeating: 1, count: 300)]]
    for frames in hopeless { try send(frames) }
    for frames in faulty {
      try send(frames)
      #expect(try Array(receive().prefix(4)) == ["", "1.0", "7", "500"])
    }
    try send(good)
    #expect(try receive() == ["", "1.0", "7", "200", "OK", client.publicKey.z85, ""])
    #expect(server.authenticator.counts.malformed == faulty.count + hopeless.count)
    #expect(server.authenticator.counts.accepted == 1)
  }

  @Test func anyFramesAreJudged() {
    for _ in 0..<5000 {
      let frames = (0..<Int.random(in: 0...10)).map { index -> [UInt8] in
        switch Int.random(in: 0...3) {
        case 0: Array("1.0".utf8)
        case 1: Array("CURVE".utf8)
        default: (0..<Int.random(in: 0...(index == 6 ? 64 : 300))).map { _ in .random(in: 0...255) }
        }
      }
      if case .success(let request) = ZAPRequest.parse(frames) {
        #expect(frames[0] == Array("1.0".utf8) && request.id == frames[1])
        #expect((request.mechanism == "CURVE") == (request.key != nil))
      }
    }
  }

  @Test func refusalsKeptAreBounded() throws {
    let server = try Server()
    var dealer = try makeSocket(.dealer, in: server.context)
    try dealer.connect("inproc://zeromq.zap.01")
    for index in 0..<100 {
      var message = Multipart()
      for part in ["", "1.0", "1", "d", "address \(index)", "", "PLAIN", "user", "password"] {
        try message.append(Frame(part))
      }
      try dealer.send(&message)
      try dealer.receive(into: &message)
    }
    let counts = server.authenticator.counts
    #expect(counts.refused == 100)
    #expect(counts.lastRefusals.map(\.address) == (68..<100).map { "address \($0)" })
  }
}

struct MonitorTests {
  @Test func eventsTellOfConnections() throws {
    let context = try Context()
    var server = try makeSocket(.pull, in: context)
    try server.startMonitoring()
    let endpoint = try server.bind("tcp://127.0.0.1:*")
    let listening = try server.awaitEvent { $0.kind == .listening }
    #expect(listening?.endpoint == endpoint)
    var client = try makeSocket(.push, in: context)
    try client.connect(endpoint)
    #expect(try server.awaitEvent { $0.kind == .accepted } != nil)
    #expect(try server.awaitEvent { $0.kind == .handshakeSucceeded } != nil)
    client.close()
    #expect(try server.awaitEvent { $0.kind == .disconnected } != nil)
    server.stopMonitoring()
    #expect(try server.nextEvent() == nil)
    var poller = Poller()
    let none = poller.add(monitorOf: server)
    #expect(none == nil)
    try server.startMonitoring(.connections)
    let slot = poller.add(monitorOf: server)
    #expect(slot != nil)
  }

  @Test func eventsNobodyFetchesHoldUpNothing() throws {
    let context = try Context()
    var server = try makeSocket(.pull, in: context)
    try server.startMonitoring()
    let endpoint = try server.bind(Carrier.ipc.endpoint)
    for round in 0..<600 {
      var client = try makeSocket(.push, in: context)
      try client.set(.linger, to: .seconds(30))
      try client.connect(endpoint)
      try client.send(Frame("\(round)"))
      #expect(try server.receiveText() == "\(round)")
    }
  }
}
