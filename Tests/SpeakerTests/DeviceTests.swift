import Dataflow
import DataflowRuntime
import DataflowTesting
import Foundation
import Messages
import Speaker
import Testing

/// A speaker on a simulated device, on virtual time.
private struct Desk {
  let node: NodeHarness
  let clock: ManualClock
  let session: Session

  /// 10 ms go by, over and over; the speaker has played a block more each time.
  func tick(_ count: Int = 1) async {
    for _ in 0..<count {
      await settle()
      clock.advance(by: 10_000_000)
    }
    await settle()
  }

  /// The speaker sleeps until its next block.
  func settle() async { while clock.sleepers == 0 { await Task.yield() } }

  func send(_ samples: [Float], rate: Int = 16_000, turn: Turn? = nil, time: Int64 = 0) async throws {
    try await node.send(chunk(samples, rate: rate), to: "audio", turn: turn ?? Turn(session, epoch: 0), time: time)
  }

  /// Ends the session and lets time pass until the speaker is done; then all that came out.
  func finish() async throws -> Out {
    node.endSession(session)
    let clock = clock
    let ticking = Task {
      while !Task.isCancelled {
        if clock.sleepers > 0 { clock.advance(by: 10_000_000) }
        await Task.yield()
      }
    }
    defer { ticking.cancel() }
    var out = Out()
    var ended: Set<String> = []
    while ended.count < 2, let event = try await node.next() {
      switch event {
      case .message("reference", let value, let turn, let time):
        #expect(turn.epoch == 0 && !ended.contains("reference"))
        let chunk = try #require(value as? AudioChunk)
        out.rate = chunk.rate
        out.reference += Array(chunk.samples)
        out.times.append(time)
      case .message("playhead", let value, _, let time):
        out.heads.append(try #require(value as? Playhead))
        out.headTimes.append(time)
      case .sessionEnded(let port, _): ended.insert(port)
      default: break
      }
    }
    return out
  }
}

private struct Out {
  var rate = 0
  var reference: [Float] = []
  var times: [Int64] = []
  var heads: [Playhead] = []
  var headTimes: [Int64] = []
}

/// - Returns: the harness when all is over, for what was recorded.
@discardableResult
private func onDevice(
  _ parameters: [String: ParameterValue] = [:], _ body: (Desk) async throws -> Void
) async throws -> NodeHarness {
  let clock = ManualClock()
  var harness: NodeHarness?
  let all = ["path": .string(""), "pace": .string("device")].merging(parameters) { $1 }
  try await withNode(SpeakerNode.self, parameters: all, clock: clock) { node in
    let desk = Desk(node: node, clock: clock, session: try await node.beginSession("a"))
    harness = node
    await desk.settle()
    try await body(desk)
  }
  return try #require(harness)
}

@Suite struct DeviceTests {
  @Test func whatIsInterruptedFadesOutWithinABlock() async throws {
    let folder = try Folder()
    let path = folder.path("a.wav")
    try await onDevice(["path": .string(path)]) { desk in
      let turn = try await desk.node.beginTurn(in: desk.session)
      try await desk.send([Float](repeating: 0.5, count: 16_000), turn: turn)
      // Six blocks have been played, and the seventh, which is under way, will be.
      await desk.tick(7)
      desk.node.interrupt(desk.session)
      while !turn.isCut { await Task.yield() }
      await desk.tick()
      while desk.node.turns.isEmpty { await desk.tick() }
      #expect(desk.node.turns.first?.played == 75_000_000, "with what it faded out with")
      let next = try await desk.node.beginTurn(in: desk.session)
      try await desk.send([Float](repeating: -0.5, count: 80), turn: next)
      desk.node.endTurn(next)
      while desk.node.turns.count < 2 { await desk.tick() }
      #expect(desk.node.turns.last?.outcome == .completed)
      #expect(desk.node.turns.last?.played == 5_000_000)
      _ = try await desk.finish()
    }
    let samples = try Wave(path).samples
    #expect(samples.count == 1_280, "seven blocks, half of one, and the next turn")
    #expect(samples[..<1_120].allSatisfy { $0 == 16_384 })
    let fade = samples[1_120..<1_200]
    #expect(zip(fade, fade.dropFirst()).allSatisfy { $0 > $1 }, "quieter from sample to sample")
    let (first, last) = (try #require(fade.first), try #require(fade.last))
    #expect(first > 16_000 && last < 300, "from all to nothing")
    #expect(samples.suffix(80).allSatisfy { $0 == -16_384 })
  }

  @Test func aTurnThatIsInterruptedWhileItIsSilentLeavesNothing() async throws {
    let folder = try Folder()
    let path = folder.path("a.wav")
    try await onDevice(["path": .string(path)]) { desk in
      let turn = try await desk.node.beginTurn(in: desk.session)
      // All but the 5 ms that are held back is played, and the device falls silent.
      try await desk.send([Float](repeating: 0.5, count: 240), turn: turn)
      await desk.tick(5)
      desk.node.interrupt(desk.session)
      while !turn.isCut { await Task.yield() }
      await desk.tick(2)
      _ = try await desk.finish()
    }
    #expect(try Wave(path).samples == [Int16](repeating: 16_384, count: 160))
  }

  @Test func theReferenceIsWhatComesOutSilenceIncluded() async throws {
    let folder = try Folder()
    let path = folder.path("a.wav")
    let sound = (0..<400).map { Float(($0 * 37) % 200) / 256 - 0.25 }
    var out = Out()
    try await onDevice(["path": .string(path), "silence": .string("kept")]) { desk in
      await desk.tick(3)
      try await desk.send(sound)
      await desk.tick(5)
      try await desk.send(sound, time: 5_000_000_000)
      out = try await desk.finish()
    }
    let blocks = out.reference.count / 160
    #expect(out.times == (0..<blocks).map { Int64($0) * 10_000_000 })
    // What came while a block was under way is in the next.
    var expected: [Float] = Array(repeating: 0, count: 4 * 160) + sound
    expected += Array(repeating: 0, count: 9 * 160 - expected.count)
    expected += sound
    let rest = out.reference.dropFirst(expected.count)
    #expect(out.reference.starts(with: expected))
    #expect(rest.count < 400 && rest.allSatisfy { $0 == 0 })
    // The file holds the same, to the block in which the last sound was.
    let file = try Wave(path).samples
    let heard: [Int16] = out.reference.prefix(file.count).map { Int16(($0 * 32_767).rounded()) }
    #expect(file == heard)
    #expect(file.count >= 9 * 160 + 400)
    #expect(out.heads.last?.frames == 800)
    for (head, time) in zip(out.heads, out.headTimes) {
      let blocks = Int(time / 10_000_000)
      let played = [4, 9].map { min(400, max(0, (blocks - $0) * 160)) }
      #expect(head.frames == played[0] + played[1])
      if blocks > 4 { #expect(head.rate == 16_000) }
    }
  }

  @Test func runningDryInTheMidstIsCounted() async throws {
    let node = try await onDevice { desk in
      let sound = [Float](repeating: 0.5, count: 320)
      // A turn that goes on late; one that ends; a stream that goes on late, rests, and begins anew.
      for (epoch, isLate) in [(1, true), (2, false)] {
        let turn = try await desk.node.beginTurn(in: desk.session)
        try await desk.send(sound, turn: turn)
        await desk.tick(4)
        if isLate { try await desk.send(sound, turn: turn) }
        desk.node.endTurn(turn)
        while desk.node.turns.count < epoch { await desk.tick() }
      }
      var time: Int64 = 0
      for pause in [5, 100, 5] {
        try await desk.send(sound, time: time)
        time += 20_000_000
        await desk.tick(pause)
      }
      try await desk.send(sound, time: 9_000_000_000)
      await desk.tick(5)
      let out = try await desk.finish()
      #expect(out.heads.last?.underruns == 2)
    }
    #expect(node.logged.filter { $0.contains("ran out of sound 2 times") }.count == 1)
  }

  @Test func nothingOfAnAnswerIsLostAtTheEnd() async throws {
    let folder = try Folder()
    let path = folder.path("a.wav")
    let sound = (0..<5_003).map { Float($0 % 100) / 100 }
    let node = try await onDevice(["path": .string(path)]) { desk in
      for _ in 0..<3 {
        let turn = try await desk.node.beginTurn(in: desk.session)
        try await desk.send(sound, turn: turn)
        desk.node.endTurn(turn)
      }
      let out = try await desk.finish()
      #expect(out.reference.count >= 3 * 5_003)
    }
    #expect(node.turns.map(\.outcome) == [.completed, .completed, .completed])
    #expect(node.turns.allSatisfy { $0.played == 312_687_500 }, "5003 samples at 16 kHz")
    let all: [Int16] = (sound + sound + sound).map { Int16(($0 * 32_767).rounded()) }
    #expect(try Wave(path).samples == all)
  }

  @Test(arguments: [8_000, 22_050, 24_000, 48_000]) func theReferenceHasARateOfItsOwn(rate: Int) async throws {
    try await onDevice { desk in
      let sound = (0..<rate).map { Float(0.5 * sin(2 * Double.pi * 440 * Double($0) / Double(rate))) }
      try await desk.send(sound, rate: rate)
      let out = try await desk.finish()
      #expect(out.rate == 16_000)
      #expect(out.heads.last?.rate == rate)
      let expected = (0..<16_000).map { Float(0.5 * sin(2 * Double.pi * 440 * Double($0) / 16_000)) }
      // A millisecond or two late, by the filter, and in the block after the one that was under way.
      let start = try #require((0..<400).first { abs(out.reference[$0]) > 0.05 })
      var worst: Float = 1
      for shift in -40..<40 {
        let found = out.reference[(start + shift + 2_000)...]
        let errors = zip(found, expected[2_000..<14_000]).map { abs($0 - $1) }
        worst = min(worst, errors.max() ?? 1)
      }
      #expect(worst < 0.1, "off by \(worst)")
    }
  }

  @Test(arguments: [500.0, -500]) func aDeviceThatDriftsIsFollowed(drift: Double) async throws {
    let node = try await onDevice(["drift": .double(drift)]) { desk in
      // The device is fast: what it takes for 200 Hz is a little more.
      let sound = (0..<16_000 * 30).map { Float(0.5 * sin(2 * Double.pi * 200 * Double($0) / 16_000)) }
      let turn = Turn(desk.session, epoch: 0)
      for part in 0..<30 {
        let samples = Array(sound[part * 16_000..<(part + 1) * 16_000])
        try await desk.send(samples, turn: turn, time: Int64(part) * 1_000_000_000)
        await desk.tick(part < 1 ? 2 : 99)
      }
      let out = try await desk.finish()
      #expect(out.times == (0..<out.times.count).map { Int64($0) * 10_000_000 })
      // Where the tone is, in the first seconds and in the last: it must have moved as the device did, and not more.
      func phase(at first: Int) -> Double {
        var (sine, cosine) = (0.0, 0.0)
        for index in first..<first + 1_600 {
          let angle = 2 * Double.pi * 200 * Double(index) / 16_000
          sine += Double(out.reference[index]) * sin(angle)
          cosine += Double(out.reference[index]) * cos(angle)
        }
        return atan2(cosine, sine)
      }
      let seconds = 20.0
      let moved = phase(at: 16_000 * 28) - phase(at: 16_000 * 8)
      let expected = 2 * Double.pi * 200 * seconds * drift / 1e6
      let error = remainder(moved - expected, 2 * Double.pi) / (2 * Double.pi * 200)
      #expect(abs(error) < 0.00005, "\(error * 1e6) µs off after 20 s, in which the device went \(seconds * drift) off")
    }
    #expect(node.logged.contains { $0.contains("ppm of the clock") })
  }

  @Test func whatCannotBeIsRefused() async throws {
    let faults: [([String: ParameterValue], String)] = [
      (["reference-rate": .int(22_051)], "multiple of 100"), (["drift": .double(5)], "only the device that pace"),
      (["silence": .string("kept")], "knows of no silence"), (["path": .string("")], "names no file"),
    ]
    for (parameters, words) in faults {
      do {
        try await withNode(SpeakerNode.self, parameters: parameters) { _ in }
        Issue.record("\(parameters) was taken")
      } catch {
        #expect("\(error)".contains(words), "\(error)")
      }
    }
  }
}
