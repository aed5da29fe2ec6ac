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
/// exceeds it. One number is used per token drawn; greedy choices use none. Memory is allocated at the first draw alone.
public struct Sampler: Sendable {
  public let options: SamplingOptions
  private var state: UInt64
  private var candidates: [Candidate] = []

  fileprivate struct Candidate {
    var token: Int32
    var logit: Float

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
    candidates.reserveCapacity(logits.count)
    for (index, logit) in logits.enumerated() where logit > -.infinity {
      candidates.append(Candidate(token: Int32(truncatingIfNeeded: index), logit: logit))
    }
    guard !candidates.isEmpty else { return Self.mostLikely(logits) }
    let random = draw()
    return candidates.withUnsafeMutableBufferPointer { Self.choose(from: $0, options, random) }
  }

  /// - Parameter random: from 0 up to 1.
  private static func choose(
    from candidates: UnsafeMutableBufferPointer<Candidate>, _ options: SamplingOptions, _ random: Double
  ) -> Int32 {
    var ranking = Ranking(candidates)
    let top = candidates[0].logit
    func weight(_ candidate: Candidate) -> Double {
      exp((Double(candidate.logit) - Double(top)) / Double(options.temperature))
    }
    let most = options.topK > 0 ? min(options.topK, candidates.count) : candidates.count
    var (total, kept) = (0.0, most)
    if most < candidates.count {
      for rank in 0..<most { total += weight(ranking[rank]) }
    } else {
      for index in 0..<candidates.count { total += weight(candidates[index]) }
    }
    if options.topP < 1 {
      let enough = Double(options.topP) * total
      (total, kept) = (0, 0)
      repeat {
        total += weight(ranking[kept])
        kept += 1
      } while total < enough && kept < most
    }
    let target = random * total
    var reached = 0.0
    for rank in 0..<kept {
      reached += weight(ranking[rank])
      if reached > target { return ranking[rank].token }
    }
    return ranking[kept - 1].token
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

/// Candidates from the most likely on, of which as many are put into order as are asked for: in front a heap, the most
/// likely at its root, and behind it what has been taken from it, the most likely last.
private struct Ranking {
  private let candidates: UnsafeMutableBufferPointer<Sampler.Candidate>
  private var taken = 0

  init(_ candidates: UnsafeMutableBufferPointer<Sampler.Candidate>) {
    self.candidates = candidates
    for start in stride(from: candidates.count / 2, through: 0, by: -1) { sink(start, below: candidates.count) }
  }

  /// The candidate before which so many are more likely.
  subscript(_ rank: Int) -> Sampler.Candidate {
    mutating get {
      while taken <= rank {
        let last = candidates.count - 1 - taken
        exchange(0, last)
        taken += 1
        sink(0, below: last)
      }
      return candidates[candidates.count - 1 - rank]
    }
  }

  private func exchange(_ a: Int, _ b: Int) {
    let kept = candidates[a]
    candidates[a] = candidates[b]
    candidates[b] = kept
  }

  /// Brings a candidate to its place in the heap of the first `end`.
  private func sink(_ start: Int, below end: Int) {
    var parent = start
    while 2 * parent + 1 < end {
      var best = 2 * parent + 1
      if best + 1 < end, candidates[best + 1].precedes(candidates[best]) { best += 1 }
      guard candidates[best].precedes(candidates[parent]) else { return }
      exchange(parent, best)
      parent = best
    }
  }
}
