/// When probabilities are a command: their average over a few rows passes a threshold, once for each time it is said.
public struct KeywordDecision: Sendable {
  public struct Hit: Sendable, Equatable {
    /// Place in the list of wanted classes.
    public let command: Int
    /// The average probability that one of them was said, 0 to 1.
    public let score: Float
  }

  private let wanted: [Int]
  private let threshold: Float
  /// Rows in which nothing more is found after a command.
  private let refractory: Int
  /// [average, wanted]: the last rows, round and round.
  private var recent: [Float]
  private let average: Int
  private var row = 0
  private var silentUntil = 0
  /// Whether the average has been low since the last command.
  private var isArmed = true

  /// - Parameters:
  ///   - wanted: the classes that count, in the order in which hits name them.
  ///   - average: rows that are averaged, at least 1.
  public init(wanted: [Int], threshold: Float, average: Int, refractory: Int) {
    (self.wanted, self.threshold, self.refractory, self.average) = (wanted, threshold, refractory, max(1, average))
    recent = [Float](repeating: 0, count: max(1, average) * wanted.count)
  }

  /// Decides where there is one class.
  ///
  /// - Parameter probability: of a frame that a ``MiniOmni2ListenerRunner`` has read.
  public mutating func feed(_ probability: Float) -> Hit? {
    withUnsafePointer(to: probability) { feed(UnsafeBufferPointer(start: $0, count: 1)) }
  }

  /// - Parameter probabilities: one row of a ``KeywordStream``.
  public mutating func feed(_ probabilities: UnsafeBufferPointer<Float>) -> Hit? {
    let place = row % average * wanted.count
    for (index, number) in wanted.enumerated() { recent[place + index] = probabilities[number] }
    row += 1
    var (score, best, command) = (Float(0), Float(-1), 0)
    for index in wanted.indices {
      var sum: Float = 0
      for past in 0..<average { sum += recent[past * wanted.count + index] }
      score += sum / Float(average)
      if sum > best { (best, command) = (sum, index) }
    }
    if score < threshold / 2 { isArmed = true }
    guard score >= threshold, isArmed else { return nil }
    // What comes too soon is not found later either.
    isArmed = false
    guard row >= silentUntil else { return nil }
    silentUntil = row + refractory
    return Hit(command: command, score: min(score, 1))
  }
}
