import Foundation

/// How well a text was foretold, token by token.
package struct Perplexity: Sendable {
  /// Tokens that were foretold.
  package private(set) var count = 0
  /// The sum of their negated log-probabilities.
  private var surprise = 0.0

  package init() {}

  /// The exponential of the mean negated log-probability: 1 when every token was certain, as many as there are tokens
  /// when all were equally likely.
  package var value: Double { count == 0 ? .nan : exp(surprise / Double(count)) }

  /// Counts a token.
  ///
  /// - Parameters:
  ///   - token: an index of `logits`.
  ///   - logits: of all tokens, before it was known.
  /// - Returns: the likeliest token, the first of those.
  @discardableResult
  package mutating func add(_ token: Int, logits: ArraySlice<Float>) -> Int {
    var likeliest = logits.startIndex
    for index in logits.indices where logits[index] > logits[likeliest] { likeliest = index }
    var sum = 0.0
    for logit in logits { sum += Double(exp(logit - logits[likeliest])) }
    surprise += log(sum) - Double(logits[logits.startIndex + token] - logits[likeliest])
    count += 1
    return likeliest - logits.startIndex
  }
}
