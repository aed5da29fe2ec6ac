import Dataflow
import DataflowRuntime
import GraphFile
import Messages
import Testing

/// The mailbox's rules, without threads.
@Suite struct MailboxStateTests {
  /// A mailbox with one lane for each policy, of depth 3, on the port `in`; sessions come from the sources' own lanes.
  static func mailbox(_ policies: [String], feedback: Bool = false) throws -> MailboxState {
    var nodes = ["sink": ScriptNode.kind]
    var edges: [Any] = []
    for (index, policy) in policies.enumerated() {
      nodes["source\(index)"] = ScriptOpenerNode.kind
      var edge: [String: Any] = ["from": "source\(index).out", "to": "sink.in", "policy": policy]
      if policy != "latest" { edge["depth"] = 3 }
      edges.append(edge)
    }
    if feedback {
      edges.append(["from": "sink.out", "to": "sink.side", "depth": 3, "feedback": true] as [String: Any])
    }
    let plan = try Scripted.plan(nodes, edges)
    return MailboxState(plan.lanes(of: plan.node("sink")))
  }

  static func value(_ number: Int, _ turn: Turn) -> Envelope {
    Envelope(.value(Text("\(number)")), turn: turn, stamp: Stamp(sequence: UInt64(number)))
  }

  /// Values as they come over the wire.
  static func run(_ numbers: Range<Int>, _ turn: Turn, lane: Int) -> Parcel {
    var writer = DataWriter()
    for number in numbers { writer.append(value(number, turn), schema: PortType.text.schemaID) }
    let memory = SharedBuffer<UInt8>(writer.takeBatch().head).memory
    let message = WireMessage(memory.bytes, owner: memory.owner, type: Text.self, lane: lane)
    return .run(WrittenRun(message, turn: turn, place: OutboundBatch.headerSize, count: numbers.count))
  }

  @Test func blockAndFailLeaveAFullLaneAlone() throws {
    for policy in ["block", "fail"] {
      var mailbox = try Self.mailbox([policy])
      let turn = Turn(Session(id: 1, name: "a"), epoch: 1)
      for number in 0..<3 { expect(mailbox.offer(Self.value(number, turn), lane: 0, now: 0).isDelivered) }
      expect(!mailbox.offer(Self.value(3, turn), lane: 0, now: 0).isDelivered)
      expectEqual(mailbox.drain().values, [0, 1, 2])
      #expect(mailbox.lanes[0].statistics.dropped == 0)
    }
  }

  @Test func dropOldestKeepsTheNewestAndLatestOnlyTheLast() throws {
    for (policy, kept) in [("drop-oldest", [7, 8, 9]), ("latest", [9])] {
      var mailbox = try Self.mailbox([policy])
      let turn = Turn(Session(id: 1, name: "a"), epoch: 1)
      for number in 0..<10 { expect(mailbox.offer(Self.value(number, turn), lane: 0, now: 0).isDelivered) }
      expectEqual(mailbox.drain().values, kept)
      #expect(mailbox.lanes[0].statistics.dropped == 10 - kept.count)
    }
  }

  @Test func marksTakeNoRoomAndAreNeverDropped() throws {
    for policy in ["block", "fail", "drop-oldest", "latest"] {
      var mailbox = try Self.mailbox([policy])
      let session = Session(id: 1 << 32 | 1, name: "a")
      for epoch in 1...UInt32(20) {
        _ = mailbox.offer(Self.value(Int(epoch), Turn(session, epoch: epoch)), lane: 0, now: 0)
        expect(mailbox.offer(Envelope(.turnEnded, turn: Turn(session, epoch: epoch)), lane: 0, now: 0).isDelivered)
      }
      expect(mailbox.offer(Envelope(.sessionEnded, turn: Turn(session, epoch: 0)), lane: 0, now: 0).isDelivered)
      expectEqual(mailbox.drain().marks.map(\.epoch), (1...20).map { UInt32($0) } + [0])
    }
  }

  @Test func aFencePurgesWhatIsStaleAndNotifiesOnceForEach() throws {
    var mailbox = try Self.mailbox(["block", "block"])
    let (cut, other) = (Session(id: 1 << 32 | 1, name: "cut"), Session(id: 2 << 32 | 1, name: "other"))
    for number in 0..<3 { _ = mailbox.offer(Self.value(number, Turn(cut, epoch: 1)), lane: 0, now: 0) }
    _ = mailbox.offer(Envelope(.turnEnded, turn: Turn(cut, epoch: 1)), lane: 0, now: 0)
    for number in 5..<7 { _ = mailbox.offer(Self.value(number, Turn(other, epoch: 1)), lane: 1, now: 0) }
    cut.raiseWatermark(to: 2)
    expectEqual(mailbox.fence(Turn(cut, epoch: 1)).lost, [3, 0])
    // What comes late is stale, what belongs to the next turn is not.
    expect(mailbox.offer(Self.value(3, Turn(cut, epoch: 1)), lane: 0, now: 0).isDelivered)
    expect(mailbox.offer(Self.value(8, Turn(cut, epoch: 2)), lane: 0, now: 0).isDelivered)
    let drained = mailbox.drain()
    #expect(drained.values == [5, 6, 8])
    #expect(drained.cuts == [1])
    #expect(drained.acknowledged == [1])
    #expect(drained.marks.isEmpty)
    #expect(mailbox.lanes[0].statistics.stale == 4)
  }

  @Test func aMarkIsPassedOnWhenItHasComeOnEveryLaneThatCarriesIt() throws {
    let plan = try Scripted.plan(
      [
        "source": ScriptOpenerNode.kind, "relay": ScriptNode.kind, "sink": ScriptNode.kind,
        "else": ScriptOpenerNode.kind,
      ],
      ["source.out -> sink.in", "source.out -> relay.in", "relay.out -> sink.side", "else.out -> sink.side"])
    var mailbox = MailboxState(plan.lanes(of: plan.node("sink")))
    let session = Session(id: sessionID(source: plan.node("source"), number: 1), name: "a")
    let end = Envelope(.turnEnded, turn: Turn(session, epoch: 1))
    _ = mailbox.offer(end, lane: 0, now: 0)
    expect(mailbox.drain().passed.isEmpty)
    _ = mailbox.offer(end, lane: 1, now: 0)
    // The third lane carries other sessions only.
    expectEqual(mailbox.drain().passed.map(\.turn), [end.turn])
  }

  @Test func aFeedbackLaneKeepsTheNodeOnlyWhileASessionIsOpen() throws {
    var mailbox = try Self.mailbox(["block"], feedback: true)
    let session = Session(id: 1 << 32 | 1, name: "a")
    expect(mailbox.begin(session))
    expect(!mailbox.begin(session))
    _ = mailbox.close(lane: 0)
    guard case .empty = mailbox.takeAll() else {
      Issue.record("the loop ended under a session")
      return
    }
    expect(mailbox.end(session))
    guard case .ended = mailbox.takeAll() else {
      Issue.record("the loop outlived its sessions")
      return
    }
  }

  @Test func aLaneThatIsReopenedGoesOn() throws {
    var mailbox = try Self.mailbox(["block"])
    _ = mailbox.close(lane: 0)
    mailbox.reopen(lane: 0)
    guard case .empty = mailbox.takeAll() else {
      Issue.record("the lane stayed closed")
      return
    }
  }

  @Test func ofValuesThatComeTogetherAsManyAreDeliveredAsThereIsRoomFor() throws {
    var mailbox = try Self.mailbox(["block"])
    let turn = Turn(Session(id: 1, name: "a"), epoch: 1)
    expect(mailbox.offer(Self.value(0, turn), lane: 0, now: 0).isDelivered)
    var delivery = MailboxState.Delivery([Self.run(1..<5, turn, lane: 0)], lane: 0, now: 0)
    expect(try !mailbox.advance(&delivery))
    expectEqual(mailbox.drain().values, [0, 1, 2])
    expect(try mailbox.advance(&delivery))
    expectEqual(mailbox.drain().values, [3, 4])
    #expect(mailbox.lanes[0].statistics.delivered == 5)
  }

  @Test func aNodeThatAsksForMoreGetsValuesUpToTheNextMark() throws {
    var mailbox = try Self.mailbox(["block"])
    let turn = Turn(Session(id: 1, name: "a"), epoch: 1)
    func taken(_ parcels: [Parcel]) -> [Int] {
      parcels.flatMap { parcel -> [Int] in
        switch parcel {
        case .envelope(let envelope): return [Int(envelope.stamp.sequence)]
        case .run(var run): return (0..<run.count).map { _ in run.removeFirst().sequence.map { Int($0) } ?? -1 }
        }
      }
    }
    var delivery = MailboxState.Delivery([Self.run(0..<2, turn, lane: 0)], lane: 0, now: 0)
    expect(try mailbox.advance(&delivery))
    expect(mailbox.offer(Self.value(2, turn), lane: 0, now: 0).isDelivered)
    var hand = Hand()
    // Of what it has not begun to take there is nothing more.
    expect(hand.takeMore(on: .max, most: 9, now: 0).isEmpty)
    guard case .arrival = mailbox.step(&hand) else {
      Issue.record("nothing came")
      return
    }
    expectEqual(taken(hand.takeMore(on: .max, most: 1, now: 10)), [1])
    expectEqual(taken(hand.takeMore(on: .max, most: 9, now: 10)), [2])
    expect(hand.takeMore(on: .max, most: 9, now: 0).isEmpty)
    // The node was at work on three, for as long as they took together.
    let worked = hand.worked(now: 30)
    expectEqual(worked?.messages, 3)
    expectEqual(worked?.time, 30)
    mailbox.settle(&hand)
    expectEqual(mailbox.lanes[0].values, 0)
    expectEqual(mailbox.lanes[0].statistics.waited, 20)
    // A mark is no value, and what stands behind it waits.
    let parts = [
      Self.run(3..<5, turn, lane: 0), .envelope(Envelope(.turnEnded, turn: turn)), Self.run(5..<6, turn, lane: 0),
    ]
    delivery = MailboxState.Delivery(parts, lane: 0, now: 0)
    expect(try mailbox.advance(&delivery))
    guard case .arrival = mailbox.step(&hand) else {
      Issue.record("nothing came")
      return
    }
    expectEqual(taken(hand.takeMore(on: .max, most: 9, now: 0)), [4])
    mailbox.settle(&hand)
    expectEqual(mailbox.drain().values, [5])
  }

  @Test func ofALaneThatBreaksNothingMoreIsTakenNotEvenMarks() throws {
    var mailbox = try Self.mailbox(["block", "block"])
    let turn = Turn(Session(id: 1, name: "a"), epoch: 1)
    var delivery = MailboxState.Delivery([Self.run(0..<3, turn, lane: 0)], lane: 0, now: 0)
    expect(try mailbox.advance(&delivery))
    expect(mailbox.offer(Envelope(.turnEnded, turn: turn), lane: 0, now: 0).isDelivered)
    expect(mailbox.offer(Self.value(7, turn), lane: 1, now: 0).isDelivered)
    mailbox.breakOff(lane: 0)
    expect(mailbox.offer(Envelope(.turnEnded, turn: turn), lane: 0, now: 0).isDelivered)
    let drained = mailbox.drain()
    #expect(drained.values == [7])
    #expect(drained.marks.isEmpty)
    #expect(mailbox.lanes[0].statistics.dropped == 3)
    mailbox.mend(lane: 0)
    expect(mailbox.offer(Self.value(8, turn), lane: 0, now: 0).isDelivered)
    expectEqual(mailbox.drain().values, [8])
  }

  @Test func afterAStopNothingIsTakenOrDelivered() throws {
    var mailbox = try Self.mailbox(["block"])
    let turn = Turn(Session(id: 1, name: "a"), epoch: 1)
    _ = mailbox.offer(Self.value(1, turn), lane: 0, now: 0)
    _ = mailbox.stop()
    guard case .stopped = mailbox.offer(Self.value(2, turn), lane: 0, now: 0), case .stopped = mailbox.takeAll() else {
      Issue.record("a stopped mailbox goes on")
      return
    }
  }

  /// Whatever happens in whatever order: every value offered is taken, dropped, stale or still there; order is kept on
  /// each lane; nothing of a fenced turn is taken after the fence; marks of turns that live all come.
  @Test(arguments: 0..<200)
  func nothingIsLostUncounted(seed: Int) throws {
    var random = SeededRandom(UInt64(seed))
    let policies = (0..<Int.random(in: 1...4, using: &random)).map { _ in
      ["block", "fail", "drop-oldest", "latest"].randomElement(using: &random) ?? "block"
    }
    var mailbox = try Self.mailbox(policies)
    let sessions = (1...3).map { Session(id: 1 << 32 | UInt64($0), name: "s\($0)") }
    var epochs: [UInt32] = [1, 1, 1]
    var offered = [Int](repeating: 0, count: policies.count)
    var taken = offered
    var last = [UInt64?](repeating: nil, count: policies.count)
    var marksSent: [Turn: Int] = [:]
    var marksTaken: [Turn: Int] = [:]
    var hand = Hand()
    func take(_ mailbox: inout MailboxState) -> Bool {
      switch mailbox.step(&hand) {
      case .arrival(.written(let value, _), let lane):
        #expect(!value.turn.isCut, "a stale message was handed over")
        taken[lane] += 1
        if let before = last[lane], let sequence = value.sequence { #expect(sequence > before) }
        last[lane] = value.sequence
        return true
      case .arrival(.envelope(let envelope, _), let lane):
        #expect(!envelope.turn.isCut, "a stale message was handed over")
        if case .value = envelope.content {
          taken[lane] += 1
          if let before = last[lane] { #expect(envelope.stamp.sequence > before) }
          last[lane] = envelope.stamp.sequence
        } else {
          marksTaken[envelope.turn, default: 0] += 1
        }
        return true
      case .arrival, .pass, .acknowledge: return true
      case .empty, .ended, .stopped: return false
      }
    }
    for _ in 0..<400 {
      let lane = Int.random(in: 0..<policies.count, using: &random)
      let who = Int.random(in: 0..<3, using: &random)
      let turn = Turn(sessions[who], epoch: epochs[who])
      switch Int.random(in: 0..<100, using: &random) {
      case ..<20 where mailbox.isLossless(lane):
        let first = offered.reduce(0, +)
        let run = Self.run(first..<first + Int.random(in: 1...4, using: &random), turn, lane: lane)
        let before = mailbox.lanes[lane].statistics
        var delivery = MailboxState.Delivery([run], lane: lane, now: 0)
        _ = try mailbox.advance(&delivery)
        let after = mailbox.lanes[lane].statistics
        offered[lane] += after.delivered - before.delivered + after.stale - before.stale
      case ..<50:
        if mailbox.offer(Self.value(offered.reduce(0, +), turn), lane: lane, now: 0).isDelivered { offered[lane] += 1 }
        #expect(mailbox.lanes[lane].values <= 3)
      case ..<60:
        _ = mailbox.offer(Envelope(.turnEnded, turn: turn), lane: lane, now: 0)
        marksSent[turn, default: 0] += 1
      case ..<64: epochs[who] += 1
      case ..<68:
        sessions[who].raiseWatermark(to: epochs[who] + 1)
        mailbox.settle(&hand)
        _ = mailbox.fence(turn)
        // Some of the old turn is still under way.
        if random.chance(50) { epochs[who] += 1 }
      default: _ = take(&mailbox)
      }
    }
    while take(&mailbox) {}
    for lane in mailbox.lanes.indices {
      let statistics = mailbox.lanes[lane].statistics
      #expect(mailbox.lanes[lane].values == 0)
      #expect(offered[lane] == taken[lane] + statistics.dropped + statistics.stale)
      #expect(statistics.deepest <= 3)
    }
    // Of the turns that were not cut.
    for (turn, sent) in marksSent where !turn.isCut { #expect(marksTaken[turn] == sent) }
  }
}

extension MailboxState {
  func isLossless(_ lane: Int) -> Bool { lanes[lane].kind.policy == .block || lanes[lane].kind.policy == .fail }
}

extension MailboxState.Offer {
  var isDelivered: Bool { if case .delivered = self { true } else { false } }
}

extension MailboxState {
  struct Drained {
    var values: [Int] = []
    var marks: [Turn] = []
    var cuts: [UInt32] = []
    var acknowledged: [UInt32] = []
    var passed: [Mark] = []
  }

  /// Takes what is next, from the hand or the lanes, as the mailbox does.
  mutating func step(_ hand: inout Hand) -> Take {
    var worked: Hand.Worked?
    if let next = hand.next(on: .max, now: 0, worked: &worked) {
      return .arrival(next.arrival, lane: next.lane)
    }
    settle(&hand)
    var wake: [Waiter] = []
    return take(on: .max, now: 0, hand: &hand, wake: &wake)
  }

  /// Takes until there is nothing more.
  mutating func drain() -> Drained {
    var drained = Drained()
    var hand = Hand()
    while true {
      switch step(&hand) {
      case .arrival(.cut(let turn), _): drained.cuts.append(turn.epoch)
      case .arrival(.written(let value, _), _): drained.values.append(value.sequence.map { Int($0) } ?? -1)
      case .arrival(.envelope(let envelope, _), _):
        if case .value(let value) = envelope.content {
          drained.values.append(Int((value as? Text)?.string ?? "") ?? -1)
        } else {
          drained.marks.append(envelope.turn)
        }
      case .acknowledge(let turn): drained.acknowledged.append(turn.epoch)
      case .pass(let mark): drained.passed.append(mark)
      case .empty, .ended, .stopped: return drained
      }
    }
  }

  /// - Returns: what is found behind everything that can be taken.
  mutating func takeAll() -> Take {
    var hand = Hand()
    while true {
      let take = step(&hand)
      switch take {
      case .empty, .ended, .stopped: return take
      default: continue
      }
    }
  }
}
