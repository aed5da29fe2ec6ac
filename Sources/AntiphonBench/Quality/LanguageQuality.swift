import Foundation
import ModelKit
import Tensors

/// What each precision of a language model's weights changes: how well it foretells a text, and which tokens it would
/// have chosen.
struct LanguageQuality {
  struct Result: Codable {
    var precision: String
    var perplexity: Double
    /// The share of positions of the text at which the likeliest token is that of the weights as stored.
    var agreement: Double
  }

  let model: String
  let tokens: [Int32]

  /// Tokens that are read together; each is foretold from those before it.
  private static let window = 512
  /// Positions whose logits are held at once.
  private static let chunk = 64

  /// - Throws: ``BenchError`` for a text of less than two tokens; `ModelError` for a model that cannot be read.
  init(model: String, text: String) throws {
    self.model = model
    tokens = try ModelStore.shared.causalLM(at: model).tokenizer.encode(Self.joined(text))
    guard tokens.count > 1 else { throw BenchError("the text has less than two tokens") }
  }

  /// Paragraphs in one line each, which files break where lines would be long.
  private static func joined(_ text: String) -> String {
    text.split(separator: "\n\n").map { paragraph in
      paragraph.split(whereSeparator: \.isNewline).joined(separator: " ")
    }.joined(separator: "\n\n")
  }

  func measure() throws -> [Result] {
    var stored: [Int] = []
    return try WeightPrecision.allCases.map { precision in
      let (perplexity, chosen) = try read(precision)
      if precision == .stored { stored = chosen }
      let same = zip(chosen, stored).filter { $0 == $1 }.count
      return Result(
        precision: precision.rawValue, perplexity: perplexity.value,
        agreement: Double(same) / Double(perplexity.count))
    }
  }

  /// Every token but the first, foretold from those before it in its window; and the tokens that were likeliest.
  private func read(_ precision: WeightPrecision) throws -> (Perplexity, chosen: [Int]) {
    let runner = CausalLMRunner(try ModelStore.shared.causalLM(at: model, weights: precision))
    let head = LanguageHeadRunner(runner.model.head)
    let cache = try KVCache(runner.model, capacity: Self.window)
    var (perplexity, chosen) = (Perplexity(), [Int]())
    var logits = Matrix(rows: 0, columns: 0)
    for start in stride(from: 0, to: tokens.count - 1, by: cache.capacity) {
      let end = min(start + cache.capacity, tokens.count - 1)
      cache.truncate(to: 0)
      let hidden = try runner.forward(tokens: Array(tokens[start..<end]), cache: cache, keep: .all)
      for first in stride(from: 0, to: hidden.rows, by: Self.chunk) {
        let rows = first..<min(first + Self.chunk, hidden.rows)
        let states = hidden.values[rows.lowerBound * hidden.columns..<rows.upperBound * hidden.columns]
        guard let part = Matrix(rows: rows.count, columns: hidden.columns, values: Array(states)) else { continue }
        try head.logits(part, into: &logits)
        for row in 0..<rows.count {
          chosen.append(
            perplexity.add(Int(tokens[start + rows.lowerBound + row + 1]), logits: logits.row(row)))
        }
      }
    }
    return (perplexity, chosen)
  }
}
