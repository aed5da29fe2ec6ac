#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Darwin)
  internal import Darwin
#endif

/// How the next token is chosen.
public struct SamplingOptions: Sendable, Equatable {
  /// 0 takes the most likely token; larger values flatten the distribution.
  public var temperature: Float
  /// Only this many of the most likely tokens are drawn from; 0 is no limit.
  public var topK: Int
  /// Only the most likely tokens that together reach this probability are drawn from; 1 is no limit.
  public var topP: Float
  /// Equal seeds draw equal tokens from equal logits.
  public var seed: UInt64

  public init(temperature: Float = 0, topK: Int = 0, topP: Float = 1, seed: UInt64 = 0) {
    (self.temperature, self.topK, self.topP, self.seed) = (temperature, topK, topP, seed)
  }

  public static let greedy = SamplingOptions()
}

/// Chooses tokens from logits.
///
/// The random numbers are SplitMix64's: state += 0x9E3779B97F4A7C15, then two xor-shift-multiplies; a draw is its upper
/// 53 bits over 2^53, and takes the first token, most likely first (equal ones by id), whose cumulative probability
/// exceeds it. One number is used per token drawn; greedy choices use none.
public struct Sampler: Sendable {
  public let options: SamplingOptions
  private var state: UInt64
  private var candidates: [Candidate] = []

  private struct Candidate {
    var token: Int32
    var logit: Float
    var weight: Double

    func precedes(_ other: Candidate) -> Bool { logit > other.logit || (logit == other.logit && token < other.token) }
  }

  public init(_ options: SamplingOptions) {
    self.options = options
    state = options.seed
  }

  /// The chosen index into `logits`; 0 when there are none. NaN is never chosen over a number.
  public mutating func sample(_ logits: [Float]) -> Int32 {
    logits.withUnsafeBufferPointer { sample($0) }
  }

  /// The chosen index into `logits`; 0 when there are none. NaN is never chosen over a number.
  public mutating func sample(_ logits: UnsafeBufferPointer<Float>) -> Int32 {
    guard options.temperature > 0, options.topK != 1 else { return Self.mostLikely(logits) }
    candidates.removeAll(keepingCapacity: true)
    for (index, logit) in logits.enumerated() where logit > -.infinity {
      candidates.append(Candidate(token: Int32(truncatingIfNeeded: index), logit: logit, weight: 0))
    }
    guard !candidates.isEmpty else { return Self.mostLikely(logits) }
    keepMostLikely()
    let top = Double(candidates[0].logit)
    var total = 0.0
    for index in candidates.indices {
      candidates[index].weight = exp((Double(candidates[index].logit) - top) / Double(options.temperature))
      total += candidates[index].weight
    }
    if options.topP < 1 {
      var reached = 0.0
      let end = candidates.firstIndex {
        reached += $0.weight
        return reached >= Double(options.topP) * total
      }
      if let end { candidates.removeLast(candidates.count - end - 1) }
      total = candidates.reduce(0) { $0 + $1.weight }
    }
    let target = draw() * total
    var reached = 0.0
    for candidate in candidates {
      reached += candidate.weight
      if reached > target { return candidate.token }
    }
    return candidates[candidates.count - 1].token
  }

  /// Sorts the candidates and cuts them to `topK`. With a small `topK` a heap spares sorting the whole vocabulary.
  private mutating func keepMostLikely() {
    guard options.topK > 0, options.topK < candidates.count else {
      return candidates.sort { $0.precedes($1) }
    }
    // The least likely of those kept is at the root.
    var kept = Array(candidates[..<options.topK])
    func sink(_ start: Int) {
      var parent = start
      while true {
        var least = parent
        for child in 2 * parent + 1...2 * parent + 2 where child < kept.count && kept[least].precedes(kept[child]) {
          least = child
        }
        if least == parent { return }
        kept.swapAt(parent, least)
        parent = least
      }
    }
    for start in stride(from: kept.count / 2, through: 0, by: -1) { sink(start) }
    for candidate in candidates[options.topK...] where candidate.precedes(kept[0]) {
      kept[0] = candidate
      sink(0)
    }
    candidates = kept.sorted { $0.precedes($1) }
  }

  /// The first of the largest logits.
  public static func mostLikely(_ logits: UnsafeBufferPointer<Float>) -> Int32 {
    var best = 0
    for index in logits.indices where logits[index] > logits[best] || logits[best].isNaN { best = index }
    return Int32(truncatingIfNeeded: best)
  }

  private mutating func draw() -> Double {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return Double((z ^ z >> 31) >> 11) * 0x1p-53
  }
}
