import Foundation
import Testing
import ZeroMQ

struct FrameTests {
  @Test(arguments: [0, 1, 28, 32, 33, 34, 64, 1000]) func adoptedBytesOutliveFrameSocketAndContext(size: Int) throws {
    let bytes = (0..<size).map { UInt8($0 & 0xff) }
    let storage = try { () throws -> FrameStorage in
      let context = try Context()
      var pull = try makeSocket(.pull, in: context)
      var push = try makeSocket(.push, in: context)
      try push.connect(pull.bind(Carrier.tcp.endpoint))
      try push.send(Frame(copying: bytes))
      return FrameStorage(adopting: try pull.receive())
    }()
    #expect(storage.count == size)
    #expect([UInt8](storage.bytes) == bytes)
    let shared = try Frame(sharing: storage).bytes()
    #expect(shared == bytes)
  }

  @Test func framesCopyWhatTheyAreGiven() throws {
    let bytes: [UInt8] = [1, 2, 3]
    let copies = try [
      Frame(copying: bytes).bytes(), Frame(copying: bytes.span.bytes).bytes(),
      bytes.withUnsafeBytes { try Frame(copying: $0).bytes() }, Frame("\u{1}\u{2}\u{3}").bytes(),
      Frame(copying: bytes).withBytes { span in (0..<3).map { span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) } },
    ]
    #expect(copies == Array(repeating: bytes, count: 5))
    let frame = try Frame("grüß")
    let (text, more, user) = (frame.text(), frame.more, frame.userID)
    #expect(text == "grüß" && !more && user == nil)
    let empty = Frame().isEmpty
    #expect(empty)
    #expect(throws: ZeroMQError.self) { _ = try Frame(size: -1) { _ in }.count }
    let error = #expect(throws: ZeroMQError.self) { _ = try Frame(size: .max) { _ in }.count }
    #expect(error?.code == .outOfMemory)
  }

  @Test func aRetainedOwnerIsReleasedOnceWithItsFrame() throws {
    let freed = Counter()
    do {
      let owner = CountedBytes([1, 2, 3], freed: freed)
      let frame = try Frame(retaining: owner, bytes: owner.view)
      let bytes = frame.bytes()
      #expect(bytes == [1, 2, 3])
    }
    #expect(freed.value == 1)
    do {
      let owner = CountedBytes([], freed: freed)
      let storage = FrameStorage(adopting: try Frame(retaining: owner, bytes: owner.view))
      #expect(storage.count == 0)
    }
    #expect(freed.value == 2)
  }

  @Test func inprocPeersReadTheOwnersBytesInPlace() throws {
    let freed = Counter()
    let context = try Context(ioThreads: 0)
    var pull = try makeSocket(.pull, in: context)
    var push = try makeSocket(.push, in: context)
    try push.connect(pull.bind(Carrier.inproc.endpoint))
    let address: UnsafeRawPointer?
    do {
      let owner = CountedBytes([UInt8](repeating: 7, count: 100), freed: freed)
      address = owner.view.baseAddress
      try push.send(Frame(retaining: owner, bytes: owner.view))
    }
    var storage: FrameStorage? = FrameStorage(adopting: try pull.receive())
    #expect(storage?.bytes.baseAddress == address)
    #expect(freed.value == 0)
    // A relay of the same bytes, still in place.
    if let storage { try push.send(Frame(sharing: storage)) }
    storage = nil
    #expect(freed.value == 0)
    let inPlace = try pull.receive().withUnsafeBytes { $0.baseAddress == address }
    #expect(inPlace)
    #expect(freed.value == 1)
  }

  @Test(arguments: Carrier.allCases) func ownersAreReleasedOnceDelivered(over carrier: Carrier) throws {
    let freed = Counter()
    let context = try Context()
    var pull = try makeSocket(.pull, in: context)
    var push = try makeSocket(.push, in: context)
    try push.connect(pull.bind(carrier.endpoint))
    for index in 0..<200 {
      let owner = CountedBytes([UInt8](repeating: UInt8(index), count: index * 100), freed: freed)
      try push.send(Frame(retaining: owner, bytes: owner.view))
    }
    for index in 0..<200 {
      #expect(try pull.receiveBytes() == [UInt8](repeating: UInt8(index), count: index * 100))
    }
    push.close()
    pull.close()
    context.close()
    #expect(freed.value == 200)
  }

  @Test(arguments: Carrier.allCases) func ownersAreReleasedWhenTheContextClosesOnThem(over carrier: Carrier) throws {
    let freed = Counter()
    let context = try Context()
    do {
      var pull = try makeSocket(.pull, in: context)
      var push = try makeSocket(.push, in: context)
      try push.connect(pull.bind(carrier.endpoint))
      for size in 0..<300 {
        let owner = CountedBytes([UInt8](repeating: 1, count: size * 50), freed: freed)
        var frame = try Frame(retaining: owner, bytes: owner.view)
        #expect(try push.trySend(&frame, more: size % 3 == 0))
      }
      // One is delivered, some are on their way, the others wait.
      #expect(try pull.receive().count == 0)
    }
    context.close()
    #expect(freed.value == 300)
  }

  @Test func ownersAreReleasedWhenNobodyEverConnects() throws {
    let freed = Counter()
    let context = try Context()
    do {
      var push = try Socket(.push, in: context)
      try push.connect("ipc://\(NSTemporaryDirectory())/zmq-nobody-\(UUID().uuidString.prefix(8))")
      for _ in 0..<50 {
        let owner = CountedBytes([1, 2], freed: freed)
        try push.send(Frame(retaining: owner, bytes: owner.view))
      }
    }
    context.close()
    #expect(freed.value == 50)
  }

  @Test func multipartKeepsOrder() throws {
    var message = Multipart(capacity: 1)
    for index in 0..<9 { try message.append(Frame("\(index)")) }
    let taken = [message.take(at: 4)?.text(), message.takeFirst()?.text(), message.takeLast()?.text()]
    #expect(taken == ["4", "0", "8"])
    let missing = message.take(at: 6) == nil
    #expect(missing)
    let texts = message.texts
    #expect(texts == ["1", "2", "3", "5", "6", "7"])
    message[0] = try Frame("x")
    let replaced = message[0].text()
    #expect(replaced == "x")
  }
}
