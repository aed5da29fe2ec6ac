import Foundation
import Synchronization
import Testing
import ZeroMQ

struct SocketTests {
  @Test(arguments: Carrier.allCases) func requestsAndRepliesTravel(over carrier: Carrier) throws {
    let context = try Context()
    var server = try makeSocket(.reply, in: context)
    var client = try makeSocket(.request, in: context)
    try client.connect(server.bind(carrier.endpoint))
    try client.send(Frame("question"))
    #expect(try server.receiveText() == "question")
    try server.send(Frame("answer"))
    #expect(try client.receiveText() == "answer")
  }

  @Test(arguments: Carrier.allCases) func messagesOfManyFramesStayWhole(over carrier: Carrier) throws {
    let context = try Context()
    var router = try makeSocket(.router, in: context)
    var dealer = try makeSocket(.dealer, in: context)
    try dealer.set(.routingID, to: Array("me".utf8))
    try dealer.connect(router.bind(carrier.endpoint))
    var message = Multipart(capacity: 1)
    for size in [0, 1, 33, 34, 9000, 100_000] {
      try message.append(Frame(copying: [UInt8](repeating: UInt8(size % 251), count: size)))
    }
    try dealer.send(&message)
    let kept = message.count
    #expect(kept == 0)

    try router.receive(into: &message)
    let received = message.sizes
    #expect(received == [2, 0, 1, 33, 34, 9000, 100_000])
    let contents = [message[0].text() == "me", message[5].bytes().allSatisfy { $0 == UInt8(9000 % 251) }]
    #expect(contents == [true, true])
    let last = message.takeLast()?.count
    #expect(last == 100_000)

    // The same frames go back without a copy.
    #expect(try router.trySend(&message))
    try dealer.receive(into: &message, limit: 3)
    let (sizes, excess) = (message.sizes, message.excess)
    #expect(sizes == [0, 1, 33] && excess == 2)
  }

  @Test(arguments: Carrier.allCases) func largeFramesArriveWhole(over carrier: Carrier) throws {
    let context = try Context()
    var pull = try makeSocket(.pull, in: context)
    var push = try makeSocket(.push, in: context)
    try push.connect(pull.bind(carrier.endpoint))
    let size = 16 << 20
    try push.send(
      Frame(size: size) { room in for index in room.indices { room[index] = UInt8(truncatingIfNeeded: index >> 3) } })
    let storage = FrameStorage(adopting: try pull.receive())
    #expect(storage.count == size)
    #expect(storage.bytes.indices.allSatisfy { storage.bytes[$0] == UInt8(truncatingIfNeeded: $0 >> 3) })
  }

  @Test func nothingToReceiveAndNobodyToSendToAreNotErrors() throws {
    let context = try Context()
    var pull = try Socket(.pull, in: context)
    try pull.bind(Carrier.inproc.endpoint)
    var message = Multipart()
    #expect(try pull.isQuiet())
    #expect(try pull.tryReceive(into: &message) == false)

    var push = try Socket(.push, in: context)
    var frame = try Frame("kept")
    #expect(try push.trySend(&frame) == false)
    let text = frame.text()
    #expect(text == "kept")
    message.append(frame)
    #expect(try push.trySend(&message) == false)
    let texts = message.texts
    #expect(texts == ["kept"])
  }

  @Test func timeoutsAreTyped() throws {
    let context = try Context()
    var pair = try Socket(.pair, in: context)
    try pair.set(.receiveTimeout, to: .milliseconds(1))
    try pair.set(.sendTimeout, to: .milliseconds(1))
    let receiving = #expect(throws: ZeroMQError.self) { _ = try pair.receive().count }
    #expect(receiving?.code == .timedOut)
    let sending = #expect(throws: ZeroMQError.self) { try pair.send(Frame("x")) }
    #expect(sending?.code == .timedOut)
  }

  @Test func highWaterMarksTurnMessagesAwayWithoutLoss() throws {
    let context = try Context()
    var pull = try makeSocket(.pull, in: context)
    try pull.set(.receiveHighWaterMark, to: 3)
    var push = try makeSocket(.push, in: context)
    try push.set(.sendHighWaterMark, to: 4)
    try push.connect(pull.bind(Carrier.inproc.endpoint))
    var sent = 0
    var frame = try Frame("0")
    while try push.trySend(&frame) {
      sent += 1
      frame = try Frame("\(sent)")
    }
    #expect(sent == 7)
    for expected in 0..<sent { #expect(try pull.receiveText() == "\(expected)") }
    #expect(try push.trySend(&frame))
    #expect(try pull.receiveText() == "\(sent)")
  }

  @Test func framesAboveTheLimitAreRefusedAndTheConnectionRecovers() throws {
    let context = try Context()
    var pull = try makeSocket(.pull, in: context)
    try pull.set(.maxMessageSize, to: 1000)
    let endpoint = try pull.bind(Carrier.tcp.endpoint)
    var push = try makeSocket(.push, in: context)
    try push.set(.reconnectInterval, to: .milliseconds(10))
    try push.startMonitoring(.connections)
    try push.connect(endpoint)
    try push.send(Frame(copying: [UInt8](repeating: 1, count: 1001)))
    #expect(try push.awaitEvent { $0.kind == .disconnected } != nil)
    try push.send(Frame(copying: [UInt8](repeating: 2, count: 1000)))
    #expect(try pull.receiveBytes() == [UInt8](repeating: 2, count: 1000))
  }

  @Test func routersReportUnknownPeersWhenTold() throws {
    let context = try Context()
    var router = try Socket(.router, in: context)
    try router.set(.routerMandatory, to: true)
    try router.bind(Carrier.inproc.endpoint)
    var message = Multipart()
    try message.append(Frame("nobody"))
    try message.append(Frame("x"))
    let error = #expect(throws: ZeroMQError.self) { _ = try router.trySend(&message) }
    #expect(error?.code == .hostUnreachable)
    let kept = message.texts
    #expect(kept == ["nobody", "x"])
  }

  @Test func faultyEndpointsSayWhatIsWrong() throws {
    let context = try Context()
    var first = try Socket(.pull, in: context)
    var second = try Socket(.pull, in: context)
    let taken = try first.bind("tcp://127.0.0.1:*")
    func code(_ endpoint: String) -> ZeroMQError.Code? {
      let error = #expect(throws: ZeroMQError.self) { try second.bind(endpoint) }
      #expect(error?.endpoint == endpoint)
      return error?.code
    }
    #expect(code(taken) == .addressInUse)
    #expect(code("tcp://nosuchdevice0:5555") == .noSuchDevice)
    #expect(code("tcp://192.0.2.1:5555") == .noSuchDevice || code("tcp://192.0.2.1:5555") == .addressNotAvailable)
    #expect(code("nonsense") == .invalidArgument)
    #expect(code("carrier-pigeon://x") == .unsupportedTransport)
    #expect(code("ipc://\(String(repeating: "x", count: 200))") == .pathTooLong)
    #expect(code("ipc:///no/such/folder/socket") == .noSuchEndpoint)
    let error = #expect(throws: ZeroMQError.self) { try second.unbind("tcp://127.0.0.1:1") }
    #expect(error?.code == .noSuchEndpoint)
    #expect("\(ZeroMQError(errno: EADDRINUSE, operation: "bind", endpoint: taken))".contains("choose another address"))
  }

  @Test func endpointsCanBeLeft() throws {
    let context = try Context()
    var pull = try makeSocket(.pull, in: context)
    let endpoint = try pull.bind(Carrier.tcp.endpoint)
    #expect(try pull.lastEndpoint == endpoint && !endpoint.hasSuffix("*"))
    var push = try makeSocket(.push, in: context)
    try push.connect(endpoint)
    try push.send(Frame("x"))
    #expect(try pull.receiveText() == "x")
    try push.disconnect(endpoint)
    try pull.unbind(endpoint)
    var frame = try Frame("y")
    #expect(try push.trySend(&frame) == false)
  }

  @Test func optionsKeepTheirValues() throws {
    let context = try Context()
    var socket = try Socket(.router, in: context)
    #expect(try socket.get(.linger) == .zero)
    try socket.set(.linger, to: nil)
    #expect(try socket.get(.linger) == nil)
    try socket.set(.linger, to: .zero)
    try socket.set(.sendHighWaterMark, to: 7)
    #expect(try socket.get(.sendHighWaterMark) == 7)
    try socket.set(.maxMessageSize, to: 1 << 33)
    #expect(try socket.get(.maxMessageSize) == 1 << 33)
    try socket.set(.heartbeatInterval, to: .microseconds(1500))
    #expect(try socket.get(.heartbeatInterval) == .milliseconds(2))
    try socket.set(.heartbeatTimeout, to: .seconds(3))
    try socket.set(.heartbeatTimeToLive, to: .seconds(3))
    try socket.set(.handshakeInterval, to: .seconds(3))
    try socket.set(.connectTimeout, to: .seconds(3))
    try socket.set(.reconnectInterval, to: .milliseconds(10))
    try socket.set(.maxReconnectInterval, to: .seconds(1))
    try socket.set(.routerHandover, to: true)
    try socket.set(.immediate, to: true)
    #expect(try socket.get(.immediate))
    try socket.set(.ipv6, to: true)
    try socket.set(.tcpKeepalive, to: 1)
    try socket.set(.backlog, to: 5)
    try socket.set(.zapDomain, to: "domain")
    #expect(try socket.get(.zapDomain) == "domain")
    try socket.set(.routingID, to: [1, 2, 3])
    #expect(try socket.get(.routingID) == [1, 2, 3])
    #expect(try socket.fileDescriptor >= 0)
    #expect(throws: ZeroMQError.self) { try socket.set(.sendHighWaterMark, to: -1) }
    #expect(throws: ZeroMQError.self) { try socket.set(.sendHighWaterMark, to: .max) }
    #expect(throws: ZeroMQError.self) { try socket.set(.linger, to: .seconds(-1)) }
    #expect(throws: ZeroMQError.self) { try socket.set(.routingID, to: []) }
  }
}

struct ContextTests {
  @Test func terminatingEndsABlockedReceive() throws {
    let context = try Context()
    let ready = try Wakeup()
    let thread = Background { () -> ZeroMQError.Code? in
      do {
        var socket = try Socket(.pull, in: context)
        try socket.bind(Carrier.inproc.endpoint)
        ready.signal()
        _ = try socket.receive().count
        return nil
      } catch {
        return (error as? ZeroMQError)?.code
      }
    }
    var poller = Poller()
    _ = poller.add(ready)
    #expect(try poller.wait(timeout: .seconds(30)) == 1)
    context.close()
    #expect(thread.wait() == .terminated)
  }

  @Test func closingAgainDoesNothingAndNoSocketIsMadeAfterwards() throws {
    let context = try Context()
    context.shutdown()
    context.shutdown()
    let error = #expect(throws: ZeroMQError.self) { _ = try Socket(.pull, in: context).kind }
    #expect(error?.code == .terminated)
    context.close()
    context.close()
    #expect(throws: ZeroMQError.self) { _ = try Socket(.pull, in: context).kind }
  }

  @Test func shutdownReachesEveryVerb() throws {
    let context = try Context()
    var socket = try Socket(.dealer, in: context)
    try socket.bind(Carrier.inproc.endpoint)
    context.shutdown()
    var frame = Frame()
    var poller = Poller()
    _ = poller.add(socket, for: .readable)
    let codes = [
      #expect(throws: ZeroMQError.self) { _ = try socket.tryReceive(into: &frame) },
      #expect(throws: ZeroMQError.self) { _ = try socket.trySend(&frame) },
      #expect(throws: ZeroMQError.self) { try socket.send(Frame()) },
      #expect(throws: ZeroMQError.self) { try socket.connect("inproc://x") },
      #expect(throws: ZeroMQError.self) { try socket.set(.linger, to: .zero) },
      #expect(throws: ZeroMQError.self) { _ = try poller.wait() },
    ].map { $0?.code }
    #expect(codes == Array(repeating: .terminated, count: 6))
  }

  @Test func valuesOutOfRangeAreErrors() {
    #expect(throws: ZeroMQError.self) { try Context(ioThreads: -1) }
    #expect(throws: ZeroMQError.self) { try Context(ioThreads: .max) }
    #expect(throws: ZeroMQError.self) { try Context(maxSockets: 0) }
  }

  @Test func socketsAreLimited() throws {
    let context = try Context(maxSockets: 1)
    let first = try Socket(.pull, in: context)
    let error = #expect(throws: ZeroMQError.self) { _ = try Socket(.pull, in: context).kind }
    #expect(error?.code == .tooManySockets)
    first.close()
  }

  @Test func aSocketMovesBetweenThreads() throws {
    let context = try Context()
    let endpoint = Carrier.inproc.endpoint
    var sender = try makeSocket(.pair, in: context)
    try sender.bind(endpoint)
    var receiver = try makeSocket(.pair, in: context)
    try receiver.connect(endpoint)
    let shared = Shared(receiver)
    for round in 0..<20 {
      try sender.send(Frame("\(round)"))
      let thread = Background { try? shared.socket.withLock { try $0.receiveText() } }
      #expect(thread.wait() == "\(round)")
    }
  }

  private final class Shared: Sendable {
    let socket: Mutex<Socket>
    init(_ socket: consuming sending Socket) { self.socket = Mutex(socket) }
  }
}
