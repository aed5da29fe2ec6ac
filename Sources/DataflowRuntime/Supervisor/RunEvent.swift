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
  public var turns: [TurnRecord] = []
  public var timings: [TurnTiming] = []
  public var nodes: [NodeStatistics] = []
  public var edges: [NamedEdgeStatistics] = []
  /// What was not let in, in all processes.
  public var refused = Refusals()
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
