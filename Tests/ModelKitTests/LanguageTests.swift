import Foundation
import ModelKit
import Tensors
import Testing

@Suite struct LanguageTests {
  struct Golden: Decodable {
    struct Message: Decodable {
      var role: String
      var content: String
    }
    var text: String
    var prompt: [Int32]
    var generated: [Int32]
    var chat: [Message]?
  }

  @Test(.needs("smollm2-135m-instruct"))
  func greedyContinuationsEqualTheReference() throws {
    let model = try ModelStore.shared.causalLM(at: ModelFolder.path("smollm2-135m-instruct"))
    let runner = CausalLMRunner(model)
    let head = LanguageHeadRunner(model.head)
    let cache = try KVCache(model, capacity: 512)
    let entries = try #require(try Fixtures.decode("language.json", as: [String: [Golden]].self)["greedy"])
    #expect(entries.count >= 20)
    for entry in entries {
      if let chat = entry.chat {
        var messages = chat.map { ChatMessage(.init(rawValue: $0.role) ?? .user, $0.content) }
        // The template's own opening, when a dialogue brings none.
        if messages[0].role != .system {
          messages.insert(
            .init(.system, "You are a helpful AI assistant named SmolLM, trained by Hugging Face"), at: 0)
        }
        #expect(try ChatTemplate.encode(messages, with: model.tokenizer) == entry.prompt, "\(entry.text)")
      }
      cache.truncate(to: 0)
      var hidden = try runner.forward(tokens: entry.prompt, cache: cache)
      var generated: [Int32] = []
      var logits = Matrix(rows: 0, columns: 0)
      while generated.count < entry.generated.count {
        if let last = generated.last { hidden = try runner.forward(tokens: [last], cache: cache) }
        try head.logits(hidden, into: &logits)
        generated.append(logits.values.withUnsafeBufferPointer { Sampler.mostLikely($0) })
      }
      #expect(generated == entry.generated, "\(entry.text)")
    }
  }

  private static func isClose(_ a: Matrix, _ b: Matrix) -> Bool {
    a.rows == b.rows && zip(a.values, b.values).allSatisfy { abs($0 - $1) < 2e-4 }
  }

  @Test func stepsEqualTheWhole() throws {
    let model = try SmallModel.load()
    let runner = CausalLMRunner(model)
    // Longer than the block of rows that pass through the layers together.
    let tokens = (0..<280).map { Int32($0 * 31 % 256) }
    let whole = try runner.forward(tokens: tokens, cache: KVCache(model), keep: .all)
    #expect(whole.rows == 280)
    let cache = try KVCache(model)
    for (index, token) in tokens.enumerated() {
      let hidden = try runner.forward(tokens: [token], cache: cache)
      #expect(zip(hidden.values, whole.row(index)).allSatisfy { abs($0 - $1) < 2e-4 }, "position \(index)")
    }
    let last = try runner.forward(embeddings: runner.embed(tokens), cache: KVCache(model))
    let again = try runner.forward(tokens: tokens, cache: KVCache(model))
    #expect(Self.isClose(last, again))
  }

  @Test func forksGoTheirOwnWay() throws {
    let model = try SmallModel.load()
    let runner = CausalLMRunner(model)
    let cache = try KVCache(model, capacity: 64)
    _ = try runner.forward(tokens: [1, 2, 3], cache: cache)
    let fork = try cache.fork()
    let expected = try runner.forward(tokens: [4], cache: cache)
    _ = try runner.forward(tokens: [9, 9], cache: fork)
    fork.truncate(to: 3)
    #expect(fork.count == 3)
    #expect(try runner.forward(tokens: [4], cache: fork) == expected)
  }

  @Test func severalSessionsStepTogether() throws {
    let model = try SmallModel.load()
    let runner = CausalLMRunner(model)
    let prompts: [[Int32]] = [[1], [2, 3, 4, 5], [6, 7]]
    let caches = try prompts.map { _ in try KVCache(model, capacity: 32) }
    var expected: [Float] = []
    for prompt in prompts {
      expected += try runner.forward(tokens: prompt + [42], cache: KVCache(model, capacity: 32)).values
    }
    for (prompt, cache) in zip(prompts, caches) { _ = try runner.forward(tokens: prompt, cache: cache) }
    let together = try runner.step(embeddings: runner.embed([42, 42, 42]), caches: caches)
    let apart = try #require(Matrix(rows: 3, columns: 64, values: expected))
    #expect(Self.isClose(together, apart))
    #expect(caches.map(\.count) == [2, 5, 3])
    #expect(throws: ModelInputError.self) {
      try runner.step(embeddings: runner.embed([1, 2]), caches: [caches[0], caches[0]])
    }
  }

  @Test func whatASessionGetsDoesNotDependOnTheOthers() throws {
    let model = try SmallModel.load()
    let (runner, head) = (CausalLMRunner(model), LanguageHeadRunner(model.head))
    // More than are multiplied at once, at different positions.
    let prompts = (0..<13).map { session in (0...session * 3).map { Int32(($0 * 7 + session) % 256) } }
    func caches() throws -> [KVCache] {
      try prompts.map { prompt in
        let cache = try KVCache(model, capacity: 64)
        _ = try runner.forward(tokens: prompt, cache: cache)
        return cache
      }
    }
    let (together, alone) = (try caches(), try caches())
    for step in 0..<5 {
      let tokens = prompts.indices.map { Int32(step * 20 + $0) }
      let states = try runner.step(embeddings: runner.embed(tokens), caches: together)
      head.rows.removeAll()
      states.values.withUnsafeBufferPointer { values in
        guard let start = values.baseAddress else { return }
        for row in 0..<HeadRows.most { head.rows.add(start + row * states.columns) }
      }
      head.compute()
      let logits = (0..<HeadRows.most).map { Array(head.rows[$0]) }
      for (index, cache) in alone.enumerated() {
        let state = try runner.step(embeddings: runner.embed([tokens[index]]), caches: [cache])
        #expect(state.values == Array(states.row(index)), "session \(index), step \(step)")
        if index < HeadRows.most { #expect(try head.logits(state).values == logits[index]) }
      }
    }
  }

  @Test func aPromptIsReadLayerByLayerBetweenStepsOfOthers() throws {
    let model = try SmallModel.load()
    let runner = CausalLMRunner(model)
    let tokens = (0..<280).map { Int32($0 * 31 % 256) }
    let expected = try runner.forward(tokens: tokens, cache: KVCache(model))
    let (cache, other, alone) = (try KVCache(model), try KVCache(model), try KVCache(model))
    try runner.begin(tokens: tokens, cache: cache)
    var read: Matrix?
    var steps = 0
    while read == nil {
      read = try runner.layers.proceed()
      let input = try runner.embed([Int32(steps)])
      let state = try runner.step(embeddings: input, caches: [other])
      #expect(try runner.step(embeddings: input, caches: [alone]) == state)
      steps += 1
    }
    #expect(read == expected)
    #expect(steps == 2 * model.configuration.layers, "280 positions are two blocks")
    #expect(cache.count == 280)
    // One that is given up leaves the cache as it was.
    try runner.begin(tokens: [1, 2, 3], cache: cache)
    _ = try runner.layers.proceed()
    runner.layers.abandon()
    #expect(cache.count == 280)
    #expect(try runner.layers.proceed() == nil)
  }

  @Test func aCancelledCallLeavesTheCacheAsItWas() throws {
    struct Stop: Error {}
    let model = try SmallModel.load()
    let runner = CausalLMRunner(model)
    let cache = try KVCache(model, capacity: 300)
    let expected = try runner.forward(tokens: [1, 2, 5], cache: KVCache(model, capacity: 300))
    _ = try runner.forward(tokens: [1, 2], cache: cache)
    var polls = 0
    #expect(throws: Stop.self) {
      try runner.forward(tokens: [Int32](repeating: 7, count: 270), cache: cache) {
        polls += 1
        if polls == 4 { throw Stop() }
      }
    }
    #expect(cache.count == 2)
    let after = try runner.forward(tokens: [5], cache: cache)
    #expect(Self.isClose(after, expected))
  }

  @Test func wrongInputIsRefused() throws {
    let model = try SmallModel.load()
    let runner = CausalLMRunner(model)
    let cache = try KVCache(model, capacity: 4)
    #expect(throws: ModelInputError.tokenOutOfRange(258, vocabulary: 258)) {
      try runner.forward(tokens: [258], cache: cache)
    }
    #expect(throws: ModelInputError.contextFull(needed: 5, capacity: 4)) {
      try runner.forward(tokens: [1, 2, 3, 4, 5], cache: cache)
    }
    #expect(throws: ModelInputError.self) {
      try runner.forward(embeddings: Matrix(rows: 1, columns: 3), cache: cache)
    }
    let head = LanguageHeadRunner(model.head)
    #expect(throws: ModelInputError.self) { try head.logits(Matrix(rows: 1, columns: 3)) }
    #expect(throws: ModelInputError.self) { try head.logits(Matrix(rows: 1, columns: 64), tokens: 0..<259) }
  }

  @Test func partOfTheLogitsEqualsThePartOfAll() throws {
    let model = try SmallModel.load()
    let hidden = try CausalLMRunner(model).forward(tokens: [1, 2], cache: KVCache(model, capacity: 4))
    let head = LanguageHeadRunner(model.head)
    let part = try head.logits(hidden, tokens: 100..<130)
    let all = try head.logits(hidden)
    #expect(part.values == Array(all.values[100..<130]))
  }

  @Test(arguments: ElementType.allCases)
  func linearLayersMultiplyWeightsAsStored(_ type: ElementType) throws {
    var generator = SeededGenerator(9)
    let (outputs, inputs) = (37, 96)
    let count = outputs * inputs
    let size = try #require(type.byteCount(count))
    var bytes = (0..<size).map { _ in UInt8.random(in: 0...255, using: &generator) }
    // Scales and floats of moderate size: exponents near zero.
    for start in stride(from: 0, to: bytes.count, by: type.blockBytes) {
      bytes[start + (type == .f32 ? 3 : 1)] = type == .bf16 || type == .f32 ? 0x3e : 0x2c
      if type == .q41 { bytes[start + 3] = 0xac }
    }
    try Fixtures.withFile([0] + bytes) { path in
      let mapped = try Bytes(mapping: path)
      // One byte in: weights need no alignment.
      let weight = try #require(Tensor(name: "w", shape: [outputs, inputs], type: type, bytes: mapped, offset: 1))
      let bias = (0..<outputs).map { Float($0) }
      let linear = try #require(Linear(weight, bias: bias))
      let floats = weight.floats()
      for rows in [1, 3, 7, 40] {
        let x = (0..<rows * inputs).map { _ in Float.random(in: -1...1, using: &generator) }
        var y = [Float](repeating: .nan, count: rows * outputs)
        linear.apply(x, rows: rows, into: &y, scratch: Scratch())
        for row in 0..<rows {
          for output in 0..<outputs {
            var sum = Double(bias[output])
            for input in 0..<inputs {
              sum += Double(floats[output * inputs + input]) * Double(x[row * inputs + input])
            }
            #expect(abs(Double(y[row * outputs + output]) - sum) < 1e-3 * (1 + abs(sum)))
          }
        }
      }
    }
  }

  @Test func computeDescribesItself() throws {
    try Compute.check()
    #expect(Compute.description.contains(Compute.path.rawValue))
    #expect(Compute.path.isSupported)
    #expect(ComputeError(value: "abacus").description.contains("not a kernel path"))
  }
}
