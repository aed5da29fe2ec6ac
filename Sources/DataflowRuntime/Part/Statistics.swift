/// How a process's nodes and edges did.
public struct PartReport: Sendable, Codable, Equatable {
  public var nodes: [NodeStatistics] = []
  public var edges: [NamedEdgeStatistics] = []
  public var refused = Refusals()
  /// Entries that the process did not keep for the trace, if there were any.
  public var traceLost: Int?
  public init() {}

  /// What a process of another release, or in another language, does not report is taken as nothing.
  public init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: CodingKeys.self)
    nodes = try values.decodeIfPresent([NodeStatistics].self, forKey: .nodes) ?? []
    edges = try values.decodeIfPresent([NamedEdgeStatistics].self, forKey: .edges) ?? []
    refused = try values.decodeIfPresent(Refusals.self, forKey: .refused) ?? Refusals()
    traceLost = try values.decodeIfPresent(Int.self, forKey: .traceLost)
  }
}

/// What a process did not let in.
public struct Refusals: Sendable, Codable, Equatable {
  /// Messages that were not what the format says.
  public var malformed = 0
  /// Messages, and processes, that do not belong to the run.
  public var strangers = 0
  /// Connections whose key is not allowed.
  public var unauthenticated = 0
  public init() {}

  public var isEmpty: Bool { self == Refusals() }

  static func + (a: Refusals, b: Refusals) -> Refusals {
    var sum = a
    sum.malformed += b.malformed
    sum.strangers += b.strangers
    sum.unauthenticated += b.unauthenticated
    return sum
  }
}

public struct NamedEdgeStatistics: Sendable, Codable, Equatable {
  public var edge: String
  /// Values in the queue now.
  public var waiting: Int
  public var statistics: EdgeStatistics
}

public struct NodeStatistics: Sendable, Codable, Equatable {
  public var node: String
  public var received = 0
  public var sent = 0
  /// Nanoseconds spent on messages: from taking one to asking for the next, without waiting for room downstream.
  public var busy: Int64 = 0
  /// Nanoseconds spent waiting for room downstream.
  public var blocked: Int64 = 0
  /// Time per message or mark, in nanoseconds.
  public var latency = Histogram()
  /// Values not sent because their turn had been interrupted.
  public var stale = 0

  public init(node: String) { self.node = node }
}

/// Counts of durations, in buckets that grow by an eighth: quantiles are right to within 12 %.
public struct Histogram: Sendable, Codable, Equatable {
  private var counts: [Int] = []
  /// Those of all durations that there are.
  private static let buckets = bucket(of: UInt64(Int64.max)) + 1

  public init() {}

  /// Reads what was written elsewhere: buckets that cannot be are left out, and counts are bounded so that they can be
  /// added up.
  public init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: CodingKeys.self)
    counts = try values.decode([Int].self, forKey: .counts).prefix(Self.buckets).map { min(max($0, 0), 1 << 44) }
  }

  public mutating func add(_ nanoseconds: Int64, times: Int = 1) {
    let index = Self.bucket(of: UInt64(max(nanoseconds, 0)))
    if index >= counts.count { counts.append(contentsOf: repeatElement(0, count: index + 1 - counts.count)) }
    counts[index] += times
  }

  /// The middle of the bucket below which a share of `fraction` lies, in nanoseconds; nil if nothing was counted.
  public func quantile(_ fraction: Double) -> Double? {
    let total = counts.reduce(0, +)
    guard total > 0 else { return nil }
    let rank = Int((Double(total - 1) * fraction).rounded())
    var seen = 0
    for (index, count) in counts.enumerated() {
      seen += count
      if seen > rank { return (Self.floor(of: index) + Self.floor(of: index + 1)) / 2 }
    }
    return nil
  }

  private static func bucket(of value: UInt64) -> Int {
    guard value >= 8 else { return Int(value) }
    let exponent = 63 - value.leadingZeroBitCount
    return (exponent - 2) * 8 + Int((value >> UInt64(exponent - 3)) & 7)
  }

  private static func floor(of bucket: Int) -> Double {
    guard bucket >= 8 else { return Double(bucket) }
    return Double(UInt64(8 + bucket % 8) << UInt64(bucket / 8 - 1))
  }
}
