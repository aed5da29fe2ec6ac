/// What a run tells whoever watches it.
public enum RunEvent: Sendable {
  case nodeReady(node: String, waitingFor: [String])
  case started
  case progress(node: String, what: String, fraction: Double)
  /// A text that grows, all of it so far.
  case show(node: String, text: String)
  case log(node: String, text: String)
  /// A result, for standard output.
  case print(node: String, text: String)
  case sessionBegan(name: String)
  case turnBegan(session: String, epoch: UInt32)
  case turnEnded(TurnRecord)
  /// A process of the run came, went, or is being started again.
  case part(name: String, what: String)
}

/// How a run went.
public struct RunSummary: Sendable, Codable {
  public var graph: String
  /// Nanoseconds from start to end, loading aside.
  public var duration: Int64 = 0
  /// Nanoseconds until all nodes were ready.
  public var loading: Int64 = 0
  /// How the turns ended; of very many, the last ones.
  public var turns: [TurnRecord] = []
  /// Earlier turns that are not among ``turns``.
  public var turnsOmitted = 0
  /// Whether any turn failed, of all.
  public var hasFailedTurns = false
  public var timings: [TurnTiming] = []
  public var nodes: [NodeStatistics] = []
  public var edges: [NamedEdgeStatistics] = []
  /// What was not let in, in all processes.
  public var refused = Refusals()
  /// Entries that are missing in the trace, because there were too many.
  public var traceLost = 0
  public var failure: String?
}

/// How soon a turn was answered, in nanoseconds.
public struct TurnTiming: Sendable, Codable, Hashable {
  public var session: String
  public var epoch: UInt32
  /// From the end of the question to the first sound of the answer.
  public var firstAudio: Int64?
  /// From the end of the question to the end of the answer.
  public var answered: Int64?
  /// The answer's length as played.
  public var audio: Int64?

  /// Time taken over time played; below 1 is faster than real time.
  public var realTimeFactor: Double? {
    guard let answered, let audio, audio > 0 else { return nil }
    return Double(answered) / Double(audio)
  }
}

// What is reckoned from other numbers is written beside them, for whoever reads the JSON with other tools; reading takes
// the numbers.

extension TurnTiming {
  private enum Reckoned: CodingKey { case realTimeFactor }
  private enum CodingKeys: CodingKey { case session, epoch, firstAudio, answered, audio }

  public func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: CodingKeys.self)
    try values.encode(session, forKey: .session)
    try values.encode(epoch, forKey: .epoch)
    try values.encodeIfPresent(firstAudio, forKey: .firstAudio)
    try values.encodeIfPresent(answered, forKey: .answered)
    try values.encodeIfPresent(audio, forKey: .audio)
    var reckoned = encoder.container(keyedBy: Reckoned.self)
    try reckoned.encodeIfPresent(realTimeFactor, forKey: .realTimeFactor)
  }
}

extension RunSummary {
  private enum CodingKeys: CodingKey {
    case graph, duration, loading, turns, turnsOmitted, hasFailedTurns, timings, nodes, edges, refused, traceLost
    case failure
  }
  /// A node with the quantiles of its latency, in nanoseconds.
  private struct MeasuredNode: Encodable {
    private enum Reckoned: CodingKey { case p50, p99 }
    var node: NodeStatistics

    func encode(to encoder: any Encoder) throws {
      try node.encode(to: encoder)
      var reckoned = encoder.container(keyedBy: Reckoned.self)
      try reckoned.encodeIfPresent(node.latency.quantile(0.5), forKey: .p50)
      try reckoned.encodeIfPresent(node.latency.quantile(0.99), forKey: .p99)
    }
  }

  public func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: CodingKeys.self)
    try values.encode(graph, forKey: .graph)
    try values.encode(duration, forKey: .duration)
    try values.encode(loading, forKey: .loading)
    try values.encode(turns, forKey: .turns)
    try values.encode(turnsOmitted, forKey: .turnsOmitted)
    try values.encode(hasFailedTurns, forKey: .hasFailedTurns)
    try values.encode(timings, forKey: .timings)
    try values.encode(nodes.map(MeasuredNode.init), forKey: .nodes)
    try values.encode(edges, forKey: .edges)
    try values.encode(refused, forKey: .refused)
    try values.encode(traceLost, forKey: .traceLost)
    try values.encodeIfPresent(failure, forKey: .failure)
  }
}
