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

  @Test func nothingIsTakenInBeforeTheReceiverHasSaidWhatItHasRoomFor() {
    var edge = OutboundState(depth: 4, policy: .block)
    expectEqual(edge.offer(Self.value(1)), .full)
    expect(edge.nextOne() == nil)
    _ = edge.welcome(credits: 2)
    expectEqual(edge.offer(Self.value(1)), .taken)
    expectEqual(edge.offer(Self.value(2)), .taken)
    expectEqual(edge.offer(Self.value(3)), .full)
    expectEqual(edge.sent, [1, 2])
    expectEqual(edge.offer(Self.value(3)), .full)
    _ = edge.credit(1)
    expectEqual(edge.offer(Self.value(3)), .taken)
    expectEqual(edge.sent, [3])
  }

  @Test func marksNeedNoCreditAndNothingOvertakesThem() {
    var edge = OutboundState(depth: 1, policy: .block)
    _ = edge.welcome(credits: 1)
    expectEqual(edge.offer(Self.value(1)), .taken)
    expectEqual(edge.offer(Envelope(.turnEnded, turn: Turn(Self.session, epoch: 1))), .taken)
    expectEqual(edge.offer(Envelope(.sessionEnded, turn: Turn(Self.session, epoch: 0))), .taken)
    expectEqual(edge.sent, [1, -1, -1])
    edge.close()
    #expect(!edge.isDrained)
    guard case .closed? = edge.nextOne() else {
      Issue.record("the end was not sent")
      return
    }
    #expect(edge.isDrained)
  }

  @Test func policiesThatDropNeverMakeTheSenderWait() {
    for (policy, kept) in [(EdgePolicy.dropOldest, [7, 8, 9]), (.latest, [9])] {
      var edge = OutboundState(depth: 3, policy: policy)
      for number in 0..<10 { expectEqual(edge.offer(Self.value(number)), .taken) }
      #expect(edge.dropped == 10 - kept.count)
      _ = edge.welcome(credits: 3)
      expectEqual(edge.sent, kept)
    }
  }

  @Test func aRefusedEdgeSaysWhyAndKeepsNobodyWaiting() {
    var edge = OutboundState(depth: 3, policy: .block)
    _ = edge.refuse("another graph")
    expectEqual(edge.offer(Self.value(1)), .refused(reason: "another graph"))
    #expect(edge.isDrained)
  }

  @Test func aSecondWelcomeGivesNoRoomTwice() {
    var edge = OutboundState(depth: 2, policy: .block)
    // Two greetings lay in the socket when the receiver came.
    _ = edge.welcome(credits: 2)
    _ = edge.offer(Self.value(1))
    _ = edge.offer(Self.value(2))
    expectEqual(edge.sent, [1, 2])
    _ = edge.welcome(credits: 2)
    expectEqual(edge.offer(Self.value(3)), .full)
  }

  @Test func aReceiverThatIsStartedAnewHearsOfSessionsUnderWay() {
    var edge = OutboundState(depth: 4, policy: .block)
    _ = edge.welcome(credits: 4)
    let other = Session(id: 1 << 32 | 2, name: "b")
    _ = edge.offer(Envelope(.sessionBegan, turn: Turn(Self.session, epoch: 0)))
    _ = edge.offer(Envelope(.sessionBegan, turn: Turn(other, epoch: 0)))
    _ = edge.offer(Envelope(.sessionEnded, turn: Turn(Self.session, epoch: 0)))
    expectEqual(edge.sent.count, 3)
    _ = edge.greetAgain()
    expect(edge.nextOne() == nil)
    _ = edge.welcome(credits: 4)
    expectEqual(edge.marksWritten, ["a began", "b began", "a ended"])
    edge.forget(session: other.id)
    _ = edge.greetAgain()
    _ = edge.welcome(credits: 4)
    expectEqual(edge.marksWritten, ["a began", "a ended"])
  }

  @Test func whatALostReceiverMayHaveTakenWithItIsNamed() {
    var edge = OutboundState(depth: 4, policy: .block)
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

  @Test func whatAMessageHasNoRoomForIsTakenBackInOrder() {
    var edge = OutboundState(depth: 4, policy: .block)
    _ = edge.welcome(credits: 4)
    for number in 1...4 { expectEqual(edge.offer(Self.value(number)), .taken) }
    edge.close()
    var items: [OutboundState.Next] = []
    edge.next(upTo: 9, into: &items)
    expectEqual(items.count, 5)
    edge.putBack(items[2...], greetings: edge.greetings)
    expectEqual(edge.credits, 2)
    #expect(!edge.isDrained)
    expectEqual(edge.sent, [3, 4])
    // After another greeting they are lost, and that has been said.
    items = []
    _ = edge.credit(4)
    expectEqual(edge.offer(Self.value(5)), .taken)
    let greetings = edge.greetings
    edge.next(upTo: 1, into: &items)
    expectEqual(edge.greetAgain(), [Turn(Self.session, epoch: 1)])
    edge.putBack(items[...], greetings: greetings)
    expectEqual(edge.credits, 0)
    _ = edge.welcome(credits: 4)
    expectEqual(edge.sent, [])
  }

  /// At no time are more values on their way than the receiver has room for, none is lost uncounted, and when all has
  /// been taken all the credit is back.
  @Test(arguments: 0..<200)
  func creditIsConserved(seed: Int) {
    var random = SeededRandom(UInt64(seed) + 1_000)
    let depth = Int.random(in: 1...6, using: &random)
    let policy: EdgePolicy = [.block, .fail, .dropOldest, .latest].randomElement(using: &random) ?? .block
    var edge = OutboundState(depth: depth, policy: policy)
    var (offered, arrived, atReceiver, owed) = (0, 0, 0, 0)
    var epoch: UInt32 = 1
    let session = Session(id: 1 << 32 | 7, name: "s")
    _ = edge.welcome(credits: depth)
    func write(_ edge: inout OutboundState) {
      guard case .envelope(let envelope)? = edge.nextOne() else { return }
      #expect(!envelope.turn.isCut)
      if case .value = envelope.content {
        arrived += 1
        atReceiver += 1
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
    #expect(offered == arrived + edge.dropped + edge.stale)
    _ = edge.credit(owed + atReceiver)
    #expect(edge.credits == depth)
  }
}

extension OutboundState {
  /// Writes all that may be written: values by their number, marks as -1.
  var sent: [Int] {
    mutating get {
      var numbers: [Int] = []
      while case .envelope(let envelope)? = nextOne() {
        guard case .value(let value) = envelope.content else {
          numbers.append(-1)
          continue
        }
        numbers.append(Int((value as? Text)?.string ?? "") ?? -2)
      }
      return numbers
    }
  }

  var marksWritten: [String] {
    mutating get {
      var marks: [String] = []
      while case .envelope(let envelope)? = nextOne() {
        switch envelope.content {
        case .sessionBegan: marks.append("\(envelope.turn) began")
        case .sessionEnded: marks.append("\(envelope.turn) ended")
        case .turnEnded: marks.append("\(envelope.turn) turn ended")
        case .value: break
        }
      }
      return marks
    }
  }
}

extension OutboundState.Next? {
  static func == (a: Self, b: _OptionalNilComparisonType) -> Bool { if case .none = a { true } else { false } }
}

extension OutboundState {
  /// What may be written next, by itself, and has been.
  fileprivate mutating func nextOne() -> Next? {
    defer { written() }
    var items: [Next] = []
    next(upTo: 1, into: &items)
    return items.first
  }
}
