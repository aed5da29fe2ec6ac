import CAllocations
import ModelKit
import Parity
import Tensors
import Testing

/// How often this thread asks for memory in `body`.
private func allocations(_ body: () throws -> Void) rethrows -> Int {
  let before = allocations_of_this_thread()
  try body()
  return Int(allocations_of_this_thread() - before)
}

/// In the steady state a step allocates nothing: neither the model's layers nor heads, sampling, answer, codec and
/// voice detector.
///
/// What is counted is every request for memory that the computing thread makes, of whatever library. What a node's messages
/// need, an envelope and a payload for each, is the runtime's and not counted here.
@Suite(.enabled(if: allocations_are_counted() != 0, "counting needs glibc's malloc and no sanitizer"))
struct AllocationTests {
  @Test func allocationsAreCounted() {
    let count = allocations { for length in [10, 1_000, 100_000] { consume([Float](repeating: 0, count: length)) } }
    #expect(count == 3)
    #expect(allocations { consume([]) } == 0)
  }

  @inline(never) private func consume(_ floats: [Float]) { #expect(floats.allSatisfy { $0 == 0 }) }

  @Test(arguments: ElementType.allCases)
  func aRowOfAnyWidthIsAddedWithoutMemory(type: ElementType) throws {
    let plain = Tensor(name: "t", shape: [2, 1_024]) { for index in 0..<2_048 { $0[index] = Float(index % 7) } }
    guard let tensor = plain.stored(as: type) else { return }
    let out = Floats(1_024)
    out.start.update(repeating: 1, count: 1_024)
    #expect(allocations { tensor.addRow(1, to: out.start) } == 0)
    let row = tensor.floats().suffix(1_024)
    #expect(zip(row, 0..<1_024).allSatisfy { out.start[$1] == 1 + $0 })
  }

  @Test(arguments: [
    SamplingOptions.greedy, SamplingOptions(temperature: 1), SamplingOptions(temperature: 0.9, topK: 40, topP: 0.9),
    SamplingOptions(temperature: 1, topP: 0.8),
  ])
  func drawingAllocatesNothingAfterTheFirst(options: SamplingOptions) {
    let logits = (0..<5_000).map { Float($0 * 7919 % 1_013) / 50 }
    var sampler = Sampler(options)
    var drawn: Set<Int32> = [sampler.sample(logits)]
    drawn.reserveCapacity(200)
    #expect(allocations { for _ in 0..<100 { drawn.insert(sampler.sample(logits)) } } == 0)
    #expect(options.temperature == 0 || drawn.count > 10)
  }

  /// One session of one row, and four of two: embedding, layers, heads, sampling and frames.
  @Test(arguments: [(1, 1), (4, 2)])
  func aStepOfMiniOmni2AllocatesNothing(sessions: Int, rows: Int) throws {
    let (release, store) = (try Goldens().release, ModelStore())
    let model = try store.miniOmni2(at: release)
    let (layers, embedding) = (MiniOmni2Runner(model).layers, model.embedding)
    let head = MiniOmni2HeadRunner(try store.miniOmni2Head(at: release))
    let width = model.configuration.width
    let caches = try (0..<sessions * rows).map { _ in try KVCache(model) }
    var answers = (0..<sessions).map { _ in MiniOmni2Answer(embedding.ids, speaks: true) }
    var needs: [MiniOmni2Answer.Needs] = []
    needs.reserveCapacity(sessions)
    let input = Floats(caches.count * width)
    var frames = 0

    func step(_ column: [Int32]?) throws {
      for session in 0..<sessions {
        // Random weights end the answer when they like: what is fed back is given.
        let tokens = column ?? answers[session].tokens
        try tokens.withUnsafeBufferPointer { tokens in
          for row in 0..<rows {
            let audio = row == 0 ? UnsafeBufferPointer(rebasing: tokens[..<7]) : nil
            try embedding.embed(audio: audio, text: tokens[7], into: input.start + (session * rows + row) * width)
          }
        }
      }
      let hidden = try layers.step(input.start, caches: caches, checkCancelled: {})
      head.removeAll()
      needs.removeAll(keepingCapacity: true)
      for session in 0..<sessions {
        let states = UnsafeBufferPointer(rebasing: hidden[session * rows * width..<(session + 1) * rows * width])
        needs.append(try answers[session].ask(states, rows: rows, head))
      }
      head.compute()
      for session in 0..<sessions where answers[session].choose(needs[session], head).hasFrame { frames += 1 }
    }

    let column: [Int32] = [1, 2, 3, 4, 5, 6, 7, 8]
    for _ in 0..<10 { try step(column) }
    #expect(try allocations { for _ in 0..<100 { try step(column) } } == 0)
    #expect(caches.allSatisfy { $0.count == 110 })
    #expect(frames > 0)
  }

  @Test func aStepOfALanguageModelAllocatesNothing() throws {
    let model = try SmallModel.load()
    let runner = CausalLMRunner(model)
    let head = LanguageHeadRunner(model.head)
    let caches = try (0..<12).map { _ in try KVCache(model, capacity: 200) }
    let input = Floats(caches.count * model.configuration.width)
    var sampler = Sampler(SamplingOptions(temperature: 1, seed: 3))
    var last: Int32 = 1
    func step() throws {
      for row in caches.indices { try runner.embed(last, into: input.start + row * model.configuration.width) }
      let hidden = try runner.layers.step(input.start, caches: caches, checkCancelled: {})
      head.rows.removeAll()
      for row in 0..<HeadRows.most {
        if let start = hidden.baseAddress { head.rows.add(start + row * model.configuration.width) }
      }
      head.compute()
      last = sampler.sample(UnsafeBufferPointer(head.rows[3]))
    }
    for _ in 0..<3 { try step() }
    #expect(try allocations { for _ in 0..<100 { try step() } } == 0)
    #expect(caches[11].count == 103)
  }

  @Test func copyingAForkAllocatesNothing() throws {
    let model = try SmallModel.load()
    let runner = CausalLMRunner(model)
    let (cache, other) = (try KVCache(model, capacity: 64), try KVCache(model, capacity: 100))
    _ = try runner.forward(tokens: [1, 2, 3], cache: cache)
    #expect(try allocations { try other.copy(cache) } == 0)
    #expect(try runner.forward(tokens: [4], cache: other) == runner.forward(tokens: [4], cache: cache))
  }

  @Test func aFrameOfTheVoiceDetectorAllocatesNothing() throws {
    try SileroTests.withRandomModel { path in
      let runner = SileroRunner(try SileroModel(path: path))
      let samples = (0..<SileroModel.frame).map { Float($0 % 17) / 17 }
      samples.withUnsafeBufferPointer { samples in
        _ = runner.process(samples)
        #expect(allocations { for _ in 0..<100 { _ = runner.process(samples) } } == 0)
      }
    }
  }

  @Test(arguments: [false, true])
  func aFrameOfTheCodecAllocatesNothing(noise: Bool) throws {
    let goldens = try SnacGoldens()
    let frames = try goldens.frames("random")
    let decoder = try SnacDecoder(goldens.model)
    let stream = SnacStream(goldens.model, noise: noise ? .seeded(1) : .none, early: 2)
    var samples: [Float] = []
    samples.reserveCapacity(3 * goldens.model.configuration.frameSamples)
    func push(_ frame: Int) throws {
      samples.removeAll(keepingCapacity: true)
      let start = frame % (frames.count / 7) * 7
      try decoder.push(frames[start..<start + 7], to: stream, into: &samples)
    }
    for frame in 0..<6 { try push(frame) }
    #expect(try allocations { for frame in 6..<40 { try push(frame) } } == 0)
    #expect(samples.count == goldens.model.configuration.frameSamples)
  }
}
