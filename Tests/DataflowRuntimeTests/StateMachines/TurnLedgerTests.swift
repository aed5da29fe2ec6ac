import Dataflow
import DataflowRuntime
import Testing

/// The books on turns, without processes: every turn that is opened leaves one record, whatever order reports come in.
@Suite struct TurnLedgerTests {
  /// source -> opener -> worker -> two sinks
  static func plan() throws -> Plan {
    try Scripted.plan(
      [
        "source": ScriptExplicitNode.kind, "opener": ScriptOpenerNode.kind, "worker": ScriptNode.kind,
        "left": ScriptNode.kind, "right": ScriptNode.kind,
      ],
      ["source.out -> opener.in", "opener.out -> worker.in", "worker.out -> left.in", "worker.out -> right.in"])
  }

  struct Books {
    var ledger: TurnLedger
    let plan: Plan
    let session: UInt64
    var records: [TurnRecord] = []
    var fences: [UInt32] = []
    var closed = 0

    init() throws {
      plan = try TurnLedgerTests.plan()
      ledger = TurnLedger(plan: plan, patience: 100)
      session = sessionID(source: plan.node("source"), number: 1)
    }

    mutating func note(_ actions: [TurnLedger.Action]) {
      for action in actions {
        switch action {
        case .record(_, let record): records.append(record)
        case .fence(_, _, let epoch): fences.append(epoch)
        case .closeSession: closed += 1
        case .turnBegan, .overrun: break
        }
      }
    }
    mutating func begin() { note(ledger.sessionBegan(session, name: "s", node: plan.node("source"))) }
    mutating func open(_ epoch: UInt32, now: Int64 = 0) {
      note(ledger.turnBegan(session, epoch: epoch, node: plan.node("opener"), now: now))
    }
    mutating func reach(_ epoch: UInt32, _ node: String) {
      note(ledger.reached(session, epoch: epoch, node: plan.node(node)))
    }
    mutating func acknowledge(_ epoch: UInt32, but missing: Set<String> = []) {
      for node in plan.nodes.indices where !missing.contains(plan.nodes[node].name) {
        note(ledger.acknowledged(session, epoch: epoch, node: node))
      }
    }
  }

  @Test func aCutTurnsRecordHoldsWhatWasHeard() throws {
    var books = try Books()
    books.begin()
    books.open(1)
    func say(_ pieces: [(String, Int64)], replacing: Bool = false) {
      books.ledger.said(
        books.session, epoch: 1, pieces.map { SaidText($0.0, end: $0.1) }, replacing: replacing)
    }
    say([("The ", 100)])
    say([("cat ", 200), ("sat ", 300)])
    books.ledger.played(books.session, epoch: 1, time: 250)
    say([("The ", 120), ("cat ", 240), ("sat ", 360)], replacing: true)
    say([(String(repeating: "x", count: 1 << 17), 10)])  // more than can be kept
    books.note(books.ledger.interrupt(books.session, reason: "stop", now: 0))
    // What plays until everyone has acknowledged has been heard, too.
    books.ledger.played(books.session, epoch: 1, time: 260)
    books.acknowledge(1)
    #expect(books.records.map(\.heard) == ["The cat "])
    #expect(books.records.map(\.played) == [260])
  }

  @Test func nothingIsSaidOfWhatWasHeardWhereAllWasOrNobodyTold() throws {
    var books = try Books()
    books.begin()
    books.open(1)
    books.ledger.said(books.session, epoch: 1, [SaidText("All", end: 5)], replacing: false)
    books.reach(1, "left")
    books.reach(1, "right")
    books.open(2)
    books.note(books.ledger.interrupt(books.session, reason: "stop", now: 0))
    books.acknowledge(2)
    #expect(books.records.map(\.heard) == [nil, nil])
  }

  @Test func aTurnIsCompleteWhenItHasReachedEverySink() throws {
    var books = try Books()
    books.begin()
    books.open(1)
    books.reach(1, "left")
    #expect(books.records.isEmpty)
    books.reach(1, "right")
    #expect(books.records.map(\.outcome) == [.completed])
    books.reach(0, "left")
    books.reach(0, "right")
    #expect(books.closed == 1)
  }

  @Test func anInterruptedTurnEndsWhenEveryNodeHasAcknowledged() throws {
    var books = try Books()
    books.begin()
    books.open(1)
    books.note(books.ledger.interrupt(books.session, reason: "enough", now: 0))
    #expect(books.fences == [1])
    books.reach(1, "left")
    books.reach(1, "right")
    books.acknowledge(1, but: ["worker"])
    #expect(books.records.isEmpty)
    books.acknowledge(1)
    #expect(books.records.map(\.outcome) == [.interrupted(reason: "enough")])
    #expect(books.records.first?.unacknowledged == [])
    // Nothing is left to be interrupted.
    books.note(books.ledger.interrupt(books.session, reason: "again", now: 0))
    #expect(books.fences == [1])
  }

  @Test func whoDoesNotAcknowledgeInTimeIsNamed() throws {
    var books = try Books()
    books.begin()
    books.open(1)
    books.note(books.ledger.interrupt(books.session, reason: "enough", now: 0))
    books.acknowledge(1, but: ["worker", "left"])
    books.note(books.ledger.expire(now: 99))
    #expect(books.records.isEmpty)
    books.note(books.ledger.expire(now: 100))
    #expect(Set(books.records.first?.unacknowledged ?? []) == ["worker", "left"])
    // Too late.
    books.acknowledge(1)
    #expect(books.records.count == 1)
  }

  @Test func anAcknowledgementOfALaterTurnCoversThoseBefore() throws {
    var books = try Books()
    books.begin()
    books.open(1)
    books.open(2)
    books.note(books.ledger.interrupt(books.session, reason: "enough", now: 0))
    #expect(books.fences == [2])
    books.acknowledge(2)
    #expect(books.records.map(\.epoch).sorted() == [1, 2])
  }

  @Test func aTurnThatWasOpenedWhileItWasBeingInterruptedEndsToo() throws {
    var books = try Books()
    books.begin()
    books.open(2)
    books.note(books.ledger.interrupt(books.session, reason: "enough", now: 0))
    books.open(1, now: 10)
    #expect(books.fences == [2, 1])
    books.acknowledge(2)
    #expect(books.records.count == 2)
  }

  @Test func aDeadProcessFailsOpenTurnsAndNeedNotAcknowledge() throws {
    var books = try Books()
    books.begin()
    books.open(1)
    books.note(
      books.ledger.orphan(reason: "part worker was ended by signal 9", dead: [books.plan.node("worker")], now: 0))
    #expect(books.fences == [1])
    books.acknowledge(1, but: ["worker"])
    #expect(books.records.map(\.outcome) == [.failed(reason: "part worker was ended by signal 9")])
    #expect(books.records.first?.unacknowledged == [])
    // A turn after it lives.
    books.open(2)
    books.reach(2, "left")
    books.reach(2, "right")
    #expect(books.records.last?.outcome == .completed)
  }

  @Test func whoDiesWhileOthersWaitForItsAcknowledgementIsNoLongerWaitedFor() throws {
    var books = try Books()
    books.begin()
    books.open(1)
    books.note(books.ledger.interrupt(books.session, reason: "enough", now: 0))
    books.acknowledge(1, but: ["worker"])
    books.note(books.ledger.orphan(reason: "dead", dead: [books.plan.node("worker")], now: 5))
    #expect(books.records.map(\.outcome) == [.interrupted(reason: "enough")])
  }

  @Test func anOpenerThatIsStartedAnewCannotOpenATurnTwice() throws {
    var books = try Books()
    books.begin()
    books.open(1)
    books.reach(1, "left")
    books.reach(1, "right")
    books.open(1)
    #expect(books.ledger.sessions[books.session]?.open.isEmpty == true)
    #expect(books.records.count == 1)
  }

  @Test func reasonsOfAFailedTurnAreJoined() throws {
    var books = try Books()
    books.begin()
    books.open(1)
    expect(books.ledger.turnFailed(books.session, epoch: 1, reason: "a: no") != nil)
    expect(books.ledger.turnFailed(books.session, epoch: 1, reason: "b: neither") != nil)
    books.reach(1, "left")
    books.reach(1, "right")
    #expect(books.records.map(\.outcome) == [.failed(reason: "a: no; b: neither")])
    expect(books.ledger.turnFailed(books.session, epoch: 1, reason: "too late") == nil)
  }

  @Test func theEndOfTheRunClosesWhatIsOpen() throws {
    var books = try Books()
    books.begin()
    books.open(1)
    books.open(2)
    books.note(books.ledger.interrupt(books.session, reason: "enough", now: 0))
    books.open(3)
    books.note(books.ledger.close(.failed(reason: "over")))
    #expect(books.records.map(\.epoch) == [1, 2, 3])
    #expect(
      books.records.map(\.outcome)
        == [.interrupted(reason: "enough"), .interrupted(reason: "enough"), .failed(reason: "over")])
    expect(books.ledger.close(.failed(reason: "again")).isEmpty)
  }

  /// What a peer says without sense is kept within bounds and forgotten.
  @Test func nonsenseIsIgnored() throws {
    var books = try Books()
    for number in 0..<100_000 as Range<UInt64> {
      books.note(books.ledger.reached(number, epoch: UInt32(number % 7), node: Int(number % 9) - 2))
      books.note(books.ledger.acknowledged(number, epoch: .max, node: -1))
    }
    books.note(books.ledger.sessionBegan(books.session, name: "s", node: 99))
    books.note(books.ledger.sessionBegan(books.session, name: "s", node: books.plan.node("right")))
    books.note(books.ledger.turnBegan(books.session, epoch: 0, node: 0, now: 0))
    books.note(books.ledger.turnBegan(books.session, epoch: .max, node: -5, now: 0))
    #expect(books.records.isEmpty && books.fences.isEmpty)
    books.begin()
    books.open(.max)
    books.note(books.ledger.interrupt(books.session, reason: "enough", now: 0))
    books.acknowledge(.max)
    #expect(books.records.count == 1)
  }

  /// Events of every process in its own order, but those of different processes in any: one record a turn.
  @Test(arguments: 0..<300)
  func everyTurnEndsOnceInAnyOrder(seed: Int) throws {
    var random = SeededRandom(UInt64(seed) + 77)
    var books = try Books()
    let turns = UInt32.random(in: 1...6, using: &random)
    enum Event {
      case begin
      case open(UInt32)
      case failed(UInt32)
      case reach(UInt32, String)
    }
    // By process: the source's, the opener's, the sinks'.
    var processes: [[Event]] = [
      [.begin], (1...turns).flatMap { random.chance(20) ? [Event.open($0), .failed($0)] : [.open($0)] },
      (1...turns).map { .reach($0, "left") } + [.reach(0, "left")],
      (1...turns).map { .reach($0, "right") } + [.reach(0, "right")],
    ]
    var now: Int64 = 0
    while processes.contains(where: { !$0.isEmpty }) {
      now += 1
      let process = processes.indices.filter { !processes[$0].isEmpty }.randomElement(using: &random) ?? 0
      let event = processes[process].removeFirst()
      // Some reports come twice.
      for _ in 0..<(random.chance(10) ? 2 : 1) {
        switch event {
        case .begin: books.begin()
        case .open(let epoch): books.open(epoch, now: now)
        case .failed(let epoch): _ = books.ledger.turnFailed(books.session, epoch: epoch, reason: "no")
        case .reach(let epoch, let node): books.reach(epoch, node)
        }
      }
      if random.chance(5) { books.note(books.ledger.interrupt(books.session, reason: "enough", now: now)) }
      if random.chance(3) {
        books.note(books.ledger.orphan(reason: "dead", dead: [books.plan.node("worker")], now: now))
      }
      if random.chance(30), let fence = books.fences.last { books.acknowledge(fence) }
      if random.chance(10) { books.note(books.ledger.expire(now: now - 50)) }
    }
    books.note(books.ledger.expire(now: .max))
    #expect(books.records.map(\.epoch).sorted() == Array(1...turns))
    #expect(books.closed == 1)
    #expect(books.ledger.sessions.isEmpty)
  }
}
