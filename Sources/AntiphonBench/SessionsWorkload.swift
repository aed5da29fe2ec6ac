import ModelKit
import Tensors

/// Sessions in the middle of their answers, as `llm-step` and `audio-token-head` compute them.
final class SessionsWorkload {
  private let embedding: MiniOmni2Embedding
  private let model: MiniOmni2
  private let layers: TransformerRunner
  private let runner: MiniOmni2Runner
  private let head: MiniOmni2HeadRunner
  private let input: Floats
  /// By the position that they stand at.
  private var caches: [Int: [KVCache]] = [:]
  private var answers: [MiniOmni2Answer] = []
  private var needs: [MiniOmni2Answer.Needs] = []

  init(_ model: MiniOmni2, _ head: MiniOmni2Head) throws {
    self.model = model
    embedding = model.embedding
    runner = MiniOmni2Runner(model)
    layers = runner.layers
    self.head = MiniOmni2HeadRunner(head)
    input = Floats(TransformerRunner.mostCaches * model.configuration.width)
  }

  /// Fills caches.
  ///
  /// - Parameter sessions: at each position, so many, of two rows.
  func prepare(_ sessions: [Int: Int]) throws {
    var random = SplitMix(state: 4)
    let (width, most) = (model.configuration.width, sessions.keys.max() ?? 0)
    let values = (0..<most * width).map { _ in Float.random(in: -0.05...0.05, using: &random) }
    let whole = try KVCache(model)
    if let prompt = Matrix(rows: most, columns: width, values: values) {
      _ = try runner.forward(prompt, cache: whole)
    }
    for (position, count) in sessions.sorted(by: { $0.key > $1.key }) {
      whole.truncate(to: position)
      caches[position] = try (0..<2 * count).map { _ in try whole.fork() }
    }
    answers = (0..<(sessions.values.max() ?? 0)).map { _ in MiniOmni2Answer(embedding.ids, speaks: true) }
  }

  /// - Returns: milliseconds of the step, and of heads and sampling in it.
  func step(_ configuration: SessionsCommand.Configuration) throws -> (whole: Double, head: Double) {
    let (sessions, rows, width) = (configuration.sessions, configuration.rows, model.configuration.width)
    let caches = Array((self.caches[configuration.position] ?? []).prefix(sessions * rows))
    for cache in caches { cache.truncate(to: configuration.position) }
    let begun = ContinuousClock.now
    for row in 0..<sessions * rows {
      let column: [Int32] = [1, 2, 3, 4, 5, 6, 7]
      try column.withUnsafeBufferPointer {
        try embedding.embed(audio: row % rows == 0 ? $0 : nil, text: 8, into: input.start + row * width)
      }
    }
    let hidden = try layers.step(input.start, caches: caches, checkCancelled: {})
    let stepped = ContinuousClock.now
    head.removeAll()
    needs.removeAll(keepingCapacity: true)
    for session in 0..<sessions {
      let states = UnsafeBufferPointer(rebasing: hidden[session * rows * width..<(session + 1) * rows * width])
      // A position later the text has ended, and its head is left out.
      if rows == 1 {
        var ended = MiniOmni2Answer(embedding.ids, speaks: true)
        _ = ended.advance([0, 0, 0, 0, 0, 0, 0, embedding.ids.endOfText])
        needs.append(try ended.ask(states, rows: rows, head))
      } else {
        needs.append(try answers[session].ask(states, rows: rows, head))
      }
    }
    head.compute()
    for session in 0..<sessions {
      // Whatever was chosen, the next step is one like this.
      var answer = answers[session]
      _ = answer.choose(needs[session], head)
    }
    let done = ContinuousClock.now
    return (Self.milliseconds(done - begun), Self.milliseconds(done - stepped))
  }

  private static func milliseconds(_ duration: Duration) -> Double {
    Double(duration.components.seconds) * 1e3 + Double(duration.components.attoseconds) * 1e-15
  }
}
