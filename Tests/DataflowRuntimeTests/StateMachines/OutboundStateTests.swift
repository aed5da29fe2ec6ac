import Dataflow
import DataflowRuntime
import GraphFile
import Messages
import Testing

/// The sender's side of an edge between processes, without sockets.
@Suite struct OutboundStateTests {
  static let session = Session(id: 1 << 32 | 1, name: "a")
  static func value(_ number: Int, epoch: UInt32 = 1, of session: Session = session) -> Envelope {
    MailboxStateTests.value(number, Turn(session, epoch: epoch))
  }

  static func edge(depth: Int, policy: EdgePolicy) -> OutboundState {
    OutboundState(depth: depth, policy: policy, schema: PortType.text.schemaID)
  }

  @Test func nothingIsTakenInBeforeTheReceiverHasSaidWhatItHasRoomFor() {
    var edge = Self.edge(depth: 4, policy: .block)
    expectEqual(edge.offer(Self.value(1)), .full)
    expectEqual(edge.sent, [])
    expectEqual(edge.room, 0)
    _ = edge.welcome(credits: 2)
    expectEqual(edge.room, 2)
    expectEqual(edge.offer(Self.value(1)), .taken)
    expectEqual(edge.room, 1)
    expectEqual(edge.offer(Self.value(2)), .taken)
    expectEqual(edge.offer(Self.value(3)), .full)
    expectEqual(edge.sent, [1, 2])
    expectEqual(edge.offer(Self.value(3)), .full)
    _ = edge.credit(1)
    expectEqual(edge.offer(Self.value(3)), .taken)
    expectEqual(edge.sent, [3])
  }

  @Test func marksNeedNoCreditAndNothingOvertakesThem() {
    var edge = Self.edge(depth: 1, policy: .block)
    _ = edge.welcome(credits: 1)
    expectEqual(edge.offer(Self.value(1)), .taken)
    expectEqual(edge.offer(Envelope(.turnEnded, turn: Turn(Self.session, epoch: 1))), .taken)
    expectEqual(edge.offer(Envelope(.sessionEnded, turn: Turn(Self.session, epoch: 0))), .taken)
    expectEqual(edge.sent, [1, -1, -1])
    edge.close()
    expect(!edge.isDrained)
    expectEqual(edge.records.map(\.content), [.closed])
    expect(edge.isDrained)
  }

  @Test func policiesThatDropNeverMakeTheSenderWait() {
    for (policy, kept) in [(EdgePolicy.dropOldest, [7, 8, 9]), (.latest, [9])] {
      var edge = Self.edge(depth: 3, policy: policy)
      for number in 0..<10 { expectEqual(edge.offer(Self.value(number)), .taken) }
      expectEqual(edge.dropped, 10 - kept.count)
      _ = edge.welcome(credits: 3)
      expectEqual(edge.sent, kept)
    }
  }

  @Test func aRefusedEdgeSaysWhyAndKeepsNobodyWaiting() {
    var edge = Self.edge(depth: 3, policy: .block)
    _ = edge.refuse("another graph")
    expectEqual(edge.offer(Self.value(1)), .refused(reason: "another graph"))
    expect(edge.isDrained)
  }

  @Test func aSecondWelcomeGivesNoRoomTwice() {
    var edge = Self.edge(depth: 2, policy: .block)
    // Two greetings lay in the socket when the receiver came.
    _ = edge.welcome(credits: 2)
    _ = edge.offer(Self.value(1))
    _ = edge.offer(Self.value(2))
    expectEqual(edge.sent, [1, 2])
    _ = edge.welcome(credits: 2)
    expectEqual(edge.offer(Self.value(3)), .full)
  }

  @Test func aReceiverThatIsStartedAnewHearsOfSessionsUnderWay() {
    var edge = Self.edge(depth: 4, policy: .block)
    _ = edge.welcome(credits: 4)
    let other = Session(id: 1 << 32 | 2, name: "b")
    _ = edge.offer(Envelope(.sessionBegan, turn: Turn(Self.session, epoch: 0)))
    _ = edge.offer(Envelope(.sessionBegan, turn: Turn(other, epoch: 0)))
    _ = edge.offer(Envelope(.sessionEnded, turn: Turn(Self.session, epoch: 0)))
    expectEqual(edge.sent.count, 3)
    _ = edge.greetAgain()
    expectEqual(edge.sent, [])
    _ = edge.welcome(credits: 4)
    expectEqual(edge.marksWritten, ["sessionBegan a", "sessionBegan b", "sessionEnded"])
    edge.forget(session: other.id)
    _ = edge.greetAgain()
    _ = edge.welcome(credits: 4)
    expectEqual(edge.marksWritten, ["sessionBegan a", "sessionEnded"])
  }

  @Test func whatALostReceiverMayHaveTakenWithItIsNamed() {
    var edge = Self.edge(depth: 4, policy: .block)
    let session = Session(id: 1 << 32 | 3, name: "c")
    _ = edge.welcome(credits: 4)
    for (number, epoch) in [(1, 1), (2, 1), (3, 2), (4, 3)] as [(Int, UInt32)] {
      expectEqual(edge.offer(Self.value(number, epoch: epoch, of: session)), .taken)
    }
    expectEqual(edge.sent, [1, 2, 3, 4])
    // The first turn's values were taken; the second turn was interrupted.
    _ = edge.credit(2)
    session.raiseWatermark(to: 3)
    expectEqual(edge.greetAgain(), [Turn(session, epoch: 3)])
    expectEqual(edge.greetAgain(), [])
    // What waits here is not lost.
    expectEqual(edge.offer(Envelope(.turnEnded, turn: Turn(session, epoch: 4))), .taken)
    expectEqual(edge.greetAgain(), [])
    _ = edge.welcome(credits: 4)
    _ = edge.sent
    expectEqual(edge.greetAgain(), [Turn(session, epoch: 4)])
  }

  @Test(arguments: [EdgePolicy.block, .dropOldest])
  func aReceiverWithLessRoomThanBeforeGetsTheRestLater(policy: EdgePolicy) {
    var edge = Self.edge(depth: 8, policy: policy)
    _ = edge.welcome(credits: 8)
    expectEqual(edge.offer(Envelope(.turnEnded, turn: Turn(Self.session, epoch: 1))), .taken)
    for number in 1...4 { expectEqual(edge.offer(Self.value(number, epoch: number < 3 ? 2 : 3)), .taken) }
    expectEqual(edge.offer(Envelope(.turnEnded, turn: Turn(Self.session, epoch: 3))), .taken)
    edge.close()
    _ = edge.greetAgain()
    _ = edge.welcome(credits: 0)
    expectEqual(edge.sent, [-1])
    _ = edge.credit(1)
    expectEqual(edge.sent, [1])
    expectEqual(edge.sent, [])
    _ = edge.credit(2)
    expectEqual(edge.sent, [2, 3])
    expect(!edge.isDrained)
    _ = edge.credit(1)
    expectEqual(edge.records.map(\.content), [.value, .turnEnded, .closed])
    expect(edge.isDrained)
  }

  /// Values that travel in frames of their own stay with their frames, whatever is taken out around them.
  @Test func whatIsFencedIsTakenOutOfWhatIsWritten() throws {
    var edge = Self.edge(depth: 64, policy: .block)
    _ = edge.welcome(credits: 64)
    let (cut, other) = (Session(id: 1 << 32 | 4, name: "cut"), Session(id: 1 << 32 | 5, name: "other"))
    for number in 0..<40 {
      let large = ImageFrame(
        pixels: SharedBuffer(repeatElement(UInt8(number), count: 3 * 64 * (number % 3 == 0 ? 64 : 1))), width: 64,
        height: number % 3 == 0 ? 64 : 1)
      let turn = Turn(number % 4 < 2 ? cut : other, epoch: 1)
      expectEqual(edge.offer(large, turn: turn, stamp: Stamp(sequence: UInt64(number))), .taken)
    }
    cut.raiseWatermark(to: 2)
    _ = edge.fence()
    expectEqual(edge.stale, 20)
    var seen: [Int] = []
    for record in edge.records(as: ImageFrame.self) {
      let image = try #require(record.value as? ImageFrame)
      #expect(image.pixels.allSatisfy { UInt64($0) == record.stamp.sequence })
      seen.append(Int(record.stamp.sequence))
    }
    #expect(seen == (0..<40).filter { $0 % 4 >= 2 })
    expectEqual(edge.credits, 44)
  }

  /// At no time are more values on their way than the receiver has room for, none is lost uncounted, and when all has
  /// been taken all the credit is back.
  @Test(arguments: 0..<200)
  func creditIsConserved(seed: Int) {
    var random = SeededRandom(UInt64(seed) + 1_000)
    let depth = Int.random(in: 1...6, using: &random)
    let policy: EdgePolicy = [.block, .fail, .dropOldest, .latest].randomElement(using: &random) ?? .block
    var edge = Self.edge(depth: depth, policy: policy)
    var (offered, arrived, atReceiver, owed) = (0, 0, 0, 0)
    var epoch: UInt32 = 1
    let session = Session(id: 1 << 32 | 7, name: "s")
    _ = edge.welcome(credits: depth)
    func write(_ edge: inout OutboundState) {
      for record in edge.records {
        #expect(record.epoch >= session.watermark)
        if record.content == .value {
          arrived += 1
          atReceiver += 1
        }
      }
      #expect(atReceiver <= depth, "the receiver was sent more than it has room for")
    }
    for _ in 0..<500 {
      switch Int.random(in: 0..<100, using: &random) {
      case ..<40: if edge.offer(Self.value(offered, epoch: epoch, of: session)) == .taken { offered += 1 }
      case ..<45: _ = edge.offer(Envelope(.turnEnded, turn: Turn(session, epoch: epoch)))
      case ..<75: write(&edge)
      case ..<90:
        if atReceiver > 0 {
          atReceiver -= 1
          owed += 1
        }
      case ..<96:
        _ = edge.credit(owed)
        owed = 0
      case ..<98:
        session.raiseWatermark(to: epoch + 1)
        _ = edge.fence()
        epoch += 1
      default:
        _ = edge.greetAgain()
        owed = 0
        _ = edge.welcome(credits: depth - atReceiver)
      }
    }
    while !edge.isDrained {
      _ = edge.credit(owed + atReceiver)
      (owed, atReceiver) = (0, 0)
      write(&edge)
    }
    expectEqual(offered, arrived + edge.dropped + edge.stale)
    _ = edge.credit(owed + atReceiver)
    expectEqual(edge.credits, depth)
  }
}

extension OutboundState {
  /// Sends all that may be sent, and reads it back.
  var records: [WireRecord] { mutating get { records(as: Text.self) } }

  mutating func records(as type: any Message.Type) -> [WireRecord] {
    var records: [WireRecord] = []
    while let batch = take() {
      noteSent()
      batch.address(edge: 0, incarnation: 1, number: 0)
      do {
        records += try ReadData([batch.head] + batch.frames.map { [UInt8]($0.bytes) }, as: type).records
      } catch {
        Issue.record(error)
      }
    }
    return records
  }

  /// Sends all that may be sent: values by their number, marks as -1.
  var sent: [Int] {
    mutating get { records.map { $0.content == .value ? Int(($0.value as? Text)?.string ?? "") ?? -2 : -1 } }
  }

  var marksWritten: [String] {
    mutating get {
      records.filter { $0.content != .value }.map { $0.name.isEmpty ? "\($0.content)" : "\($0.content) \($0.name)" }
    }
  }
}
