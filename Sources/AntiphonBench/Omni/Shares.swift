import Foundation

/// How many of some are so.
struct Share {
  var found = 0
  var count = 0

  init(_ answers: [OmniAnswer], _ isSo: (OmniAnswer) -> Bool) {
    (found, count) = (answers.count(where: isSo), answers.count)
  }

  var percent: Double { count == 0 ? .nan : 100 * Double(found) / Double(count) }

  /// Wilson's, percent.
  var interval: [Double] {
    let range = Interval.proportion(found, of: count)
    return [100 * range.lowerBound, 100 * range.upperBound]
  }

  var description: String {
    String(format: "%.1f %% (%.1f to %.1f), %d of %d", percent, interval[0], interval[1], found, count)
  }
}

/// A word error rate over texts.
struct WordShare {
  private var texts: [WordErrors] = []

  mutating func add(said: String, heard: String) {
    var errors = WordErrors()
    errors.add(said: SpokenWords.plain(said), heard: SpokenWords.plain(heard))
    texts.append(errors)
  }

  private static func rate(_ texts: [WordErrors]) -> Double {
    let words = texts.reduce(0) { $0 + $1.words }
    return words == 0 ? 0 : Double(texts.reduce(0) { $0 + $1.errors }) / Double(words)
  }

  var percent: Double { 100 * Self.rate(texts) }

  /// Percent, by drawing texts anew (bootstrap): errors of one text come together.
  var interval: [Double] {
    guard !texts.isEmpty else { return [0, 100] }
    var random = SplitMix(state: 1)
    let rates = (0..<1_000).map { _ in
      Self.rate(texts.map { _ in texts[Int(random.next() % UInt64(texts.count))] })
    }.sorted()
    return [100 * rates[25], 100 * rates[974]]
  }

  var description: String {
    String(format: "%.1f %% (%.1f to %.1f)", percent, interval[0], interval[1])
  }
}
