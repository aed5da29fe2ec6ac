import Dataflow
import DataflowRuntime
import Foundation
import Synchronization
import Testing

/// The coordinator believes a process only what it can reckon with and keep.
@Suite(.timeLimit(.minutes(2))) struct CoordinatorTests {
  @Test(arguments: [Int64.min, .min + 1, -1, 0, .max])
  func aClockMayStandAnywhere(clock: Int64) async throws {
    let books = try Books()
    books.coordinator.note(clock: clock, ofPart: 0)
    for time in [Int64.min, -1, 0, .max] {
      books.say(.trace([TraceEntry(kind: .work, node: 0, time: time, duration: time, what: "x")]))
    }
    #expect(books.coordinator.trace[0]?.count == 4)
    let json = try TraceFile(plan: books.plan).json(books.coordinator.trace)
    #expect(try JSONSerialization.jsonObject(with: json) is [String: Any])
  }

  @Test func theLastEpochIsRefusedAndTheOneBeforeItCanBeInterrupted() async throws {
    let books = try Books()
    books.begin()
    #expect(!books.open(.max))
    #expect(books.open(.max - 1))
    books.interrupt()
    let fences = books.commands.compactMap { if case .fence(_, _, let epoch) = $0 { epoch } else { nil } }
    #expect(fences == [.max - 1])
    let summary = await books.finish()
    #expect(summary.turns.map(\.epoch) == [.max - 1])
  }

  @Test func whatIsNotThePartsOwnIsRefused() throws {
    let books = try Books()
    for node in [-1, books.plan.nodes.count, .max, .min] {
      #expect(!books.say(.nodeReady(node: node)))
      #expect(!books.say(.print(node: node, text: "x")))
      #expect(!books.say(.turnBegan(session: books.session, epoch: 1, node: node)))
      #expect(!books.say(.edgeBroken(edge: node, reason: "x")))
    }
    // Nodes of part 0, said by another.
    #expect(!books.coordinator.handle(.nodeFailed(node: 0, reason: "x"), from: 1))
    #expect(!books.coordinator.hasFailed)
  }

  @Test func countsOfAReportAreAddedUpWhateverTheyAre() async throws {
    let books = try Books()
    let edge = books.plan.edges[0].name
    let text = """
      {"nodes":[{"node":"worker","received":\(Int.max),"sent":\(Int.min),"busy":\(Int64.max),"blocked":-1,"stale":1,
      "latency":{"counts":[\(Int.max),\(Int.max),-5,\(Int.max)\(String(repeating: ",1", count: 5000))]}}],
      "edges":[\(Array(repeating: """
        {"edge":"\(edge)","waiting":\(Int.max),"statistics":{"delivered":\(Int.max),"dropped":\(Int.max),
        "stale":\(Int.max),"deepest":\(Int.max),"waited":\(Int64.max)}}
        """, count: 50).joined(separator: ","))],
      "refused":{"malformed":\(Int.max),"strangers":\(Int.max),"unauthenticated":\(Int.min)},"traceLost":\(Int.max)}
      """
    let report = try JSONDecoder().decode(PartReport.self, from: Data(text.utf8))
    books.say(.report(report))
    books.say(.finished(report))
    let summary = await books.finish()
    let node = try #require(summary.nodes.first)
    #expect(node.received > 0 && node.sent == 0 && node.blocked == 0)
    #expect(try #require(node.latency.quantile(0.5)) <= #require(node.latency.quantile(1)))
    #expect(summary.edges.count == 1)
    #expect(try JSONEncoder().encode(summary).count < 10_000)
  }

  @Test func aHistogramsQuantilesAreAmongWhatWasCounted() throws {
    var histogram = Histogram()
    for value in [Int64(3), 1000, .max, .min] { histogram.add(value) }
    let read = try JSONDecoder().decode(Histogram.self, from: try JSONEncoder().encode(histogram))
    #expect(read == histogram)
    #expect(read.quantile(0) == 0.5)
    #expect(try #require(read.quantile(1)) > 8e18)
  }

  @Test func moreOpenTurnsThanCanBeKeptFailTheRunByName() async throws {
    let books = try Books()
    books.begin()
    for epoch in 1...UInt32(TurnLedger.openLimit) { books.open(epoch) }
    #expect(!books.coordinator.hasFailed)
    books.open(.max - 1)
    let summary = await books.finish()
    #expect(summary.failure?.contains("node opener opened a turn while 65536 others") == true)
    #expect(books.commands.contains(.stop))
  }

  @Test func moreSessionsThanCanBeKeptFailTheRunByName() async throws {
    let books = try Books()
    let source = books.plan.node("source")
    // All at their end at once, but not forgotten: a source that is started anew must not begin them again.
    for number in 1...UInt64(TurnLedger.sessionLimit) {
      books.say(.sessionBegan(session: sessionID(source: source, number: number), name: "s\(number)", node: source))
    }
    #expect(!books.coordinator.hasFailed)
    books.say(.sessionBegan(session: sessionID(source: source, number: .max >> 40), name: "one", node: source))
    #expect(await books.finish().failure?.contains("node source began a session too many") == true)
  }

  @Test func ofVeryManyTurnsTheLastAreKept() async throws {
    let books = try Books()
    books.begin()
    let turns = UInt32(Coordinator.recordLimit) + 500
    for epoch in 1...turns {
      books.open(epoch)
      if epoch == 7 { books.say(.turnFailed(session: books.session, epoch: 7, node: 0, reason: "no")) }
      for sink in ["left", "right"] {
        books.say(.reached(session: books.session, epoch: epoch, node: books.plan.node(sink)))
      }
    }
    let summary = await books.finish()
    #expect(summary.turns.count == Coordinator.recordLimit)
    #expect(summary.turnsOmitted == 500)
    #expect(summary.turns.last?.epoch == turns)
    // Though its record is gone.
    #expect(summary.hasFailedTurns)
  }

  @Test func whatTheTraceHasLostIsSaid() async throws {
    let books = try Books()
    var report = PartReport()
    report.traceLost = 12
    books.say(.finished(report))
    #expect(books.coordinator.traceLost == 12)
    let json = try TraceFile(plan: books.plan).json([:], lost: 12)
    #expect(String(decoding: json, as: UTF8.self).contains("12 more entries were not kept"))
    #expect(await books.finish().traceLost == 12)
  }

  /// Events of all kinds with numbers of all kinds, from a part that may not be the right one.
  @Test(arguments: 0..<40)
  func hostileEventsAreHarmless(seed: Int) async throws {
    var random = SeededRandom(UInt64(seed) + 4242)
    let books = try Books()
    let nodes = [-1, 0, 1, 2, 3, 4, 5, .max, .min]
    let epochs: [UInt32] = [0, 1, 2, 3, 4, 1000, .max - 1, .max]
    let times: [Int64] = [.min, -1, 0, 1, 1 << 60, .max]
    let texts = ["", "x", String(repeating: "é", count: 5000)]
    if random.chance(80) { books.begin() }
    for _ in 0..<2000 {
      let (node, epoch) = (nodes.randomElement(using: &random) ?? 0, epochs.randomElement(using: &random) ?? 0)
      let (time, text) = (times.randomElement(using: &random) ?? 0, texts.randomElement(using: &random) ?? "")
      let id = random.chance(70) ? books.session : UInt64.random(in: 0 ... .max, using: &random)
      let event: PartEvent =
        switch Int.random(in: 0..<18, using: &random) {
        case 0: .nodeReady(node: node)
        case 1: .sessionBegan(session: id, name: text, node: node)
        case 2, 3: .turnBegan(session: id, epoch: epoch, node: node)
        case 4: .turnAsked(session: id, epoch: epoch)
        case 5: .edgeReady(edge: node)
        case 6: .edgeBroken(edge: node, reason: text)
        case 7, 8: .reached(session: id, epoch: epoch, node: node)
        case 9: .interrupt(session: id, epoch: [nil, epoch].randomElement(using: &random) ?? nil, reason: text)
        case 10: .turnFailed(session: id, epoch: epoch, node: node, reason: text)
        case 11, 12: .acknowledged(session: id, epoch: epoch, node: node)
        case 13: .played(session: id, epoch: epoch, time: time)
        case 14: .progress(node: node, what: text, fraction: [.infinity, .nan, -1, 0.5][abs(node % 4)])
        case 15: .trace([TraceEntry(kind: .sent, node: node, time: time, duration: time, what: text)])
        case 16: .finished(PartReport())
        default: .log(node: node, text: text)
        }
      books.coordinator.handle(event, from: random.chance(95) ? 0 : 1)
      if random.chance(2) { books.coordinator.note(clock: time, ofPart: 0) }
    }
    let summary = await books.finish()
    let turns = summary.turns.filter { $0.epoch > 0 }.map { "\($0.session)#\($0.epoch)" }
    #expect(Set(turns).count == turns.count)
    for command in books.commands {
      if case .fence(_, _, let epoch) = command { #expect(epoch < .max) }
    }
    _ = try TraceFile(plan: books.plan).json(books.coordinator.trace)
  }

  /// A coordinator, and the commands that it gave.
  private final class Books: Sendable {
    let plan: Plan
    let coordinator: Coordinator
    private let sent = Mutex<[PartCommand]>([])

    init() throws {
      plan = try TurnLedgerTests.plan()
      coordinator = Coordinator(plan: plan, clock: SystemTime()) { _ in }
      coordinator.connect { [weak self] _, command in self?.sent.withLock { $0.append(command) } }
    }

    var commands: [PartCommand] { sent.withLock { $0 } }
    var session: UInt64 { sessionID(source: plan.node("source"), number: 1) }

    @discardableResult
    func say(_ event: PartEvent) -> Bool { coordinator.handle(event, from: 0) }
    func begin() { say(.sessionBegan(session: session, name: "s", node: plan.node("source"))) }
    @discardableResult
    func open(_ epoch: UInt32) -> Bool { say(.turnBegan(session: session, epoch: epoch, node: plan.node("opener"))) }
    func interrupt() { say(.interrupt(session: session, epoch: nil, reason: "enough")) }

    func finish() async -> RunSummary {
      let summary = coordinator.finish(.failed(reason: "over"))
      await coordinator.settle()
      return summary
    }
  }
}
