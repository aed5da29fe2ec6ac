import Dataflow

/// What a process tells the coordinator.
enum PartEvent: Sendable, Equatable {
  case nodeReady(node: Int)
  case nodeEnded(node: Int)
  /// The node failed, and with it the run.
  case nodeFailed(node: Int, reason: String)
  case sessionBegan(session: UInt64, name: String, node: Int)
  case turnBegan(session: UInt64, epoch: UInt32, node: Int)
  /// The question is complete: whatever comes after is the answer.
  case turnAsked(session: UInt64, epoch: UInt32)
  /// All of the turn (epoch 0: of the session) has come to an end in a node that feeds nobody.
  case reached(session: UInt64, epoch: UInt32, node: Int)
  case interrupt(session: UInt64, reason: String)
  case turnFailed(session: UInt64, epoch: UInt32, node: Int, reason: String)
  /// Nothing of the turns up to this one is computed any more in this node.
  case acknowledged(session: UInt64, epoch: UInt32, node: Int)
  case played(session: UInt64, epoch: UInt32, time: Int64)
  case progress(node: Int, what: String, fraction: Double)
  case log(node: Int, text: String)
  case print(node: Int, text: String)
  case report(PartReport)
}

/// What the coordinator tells a process.
enum PartCommand: Sendable, Equatable {
  /// All are ready: go. Sessions that began before this process did, by node, are over.
  case start(begun: [Int: [String]])
  /// The session's turns up to this epoch were interrupted.
  case fence(session: UInt64, name: String, epoch: UInt32)
  case closeSession(session: UInt64)
  case report
  case stop
}

/// Where a process's events go; may be called from any thread.
protocol ControlChannel: Sendable {
  func post(_ event: PartEvent)
}
