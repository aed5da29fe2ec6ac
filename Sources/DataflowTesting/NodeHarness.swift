public import Dataflow
public import DataflowRuntime
import Foundation
import GraphFile
import Messages
import Synchronization

/// What comes out of a node under test.
public enum HarnessEvent: Sendable {
  case message(port: String, any Message, turn: Turn, time: Int64)
  case turnEnded(port: String, Turn)
  case turnCut(Turn)
  case sessionEnded(port: String, Session)
}

/// Runs one node in a real runtime between a test that feeds it and a test that sees what comes out.
///
/// ```swift
/// try await withNode(VoiceGateNode.self, parameters: ["threshold": .double(0.1)]) { node in
///   let session = try await node.beginSession("a")
///   let turn = try await node.beginTurn(in: session)
///   try await node.send(loud, to: "audio", turn: turn)
///   node.endTurn(turn)
///   #expect(try await node.next(AudioChunk.self, from: "speech") == loud)
/// }
/// ```
public final class NodeHarness: Sendable {
  private let inputs: [PortDescription]
  private let commands: AsyncStream<FeederCommand>.Continuation
  private let events: EventQueue
  private let run: TestRun

  fileprivate init(
    inputs: [PortDescription], commands: AsyncStream<FeederCommand>.Continuation, events: EventQueue, run: TestRun
  ) {
    self.inputs = inputs
    self.commands = commands
    self.events = events
    self.run = run
  }

  public func beginSession(_ name: String) async throws -> Session {
    let session: Session? = try await ask { .beginSession(name, reply: $0) }
    guard let session else { throw HarnessError("session \(name) is over already") }
    return session
  }

  public func beginTurn(in session: Session) async throws -> Turn {
    try await ask { .beginTurn(session, reply: $0) }
  }

  /// - Parameter time: presentation time in nanoseconds.
  public func send(_ value: any Message, to port: String, turn: Turn, time: Int64 = 0) async throws {
    guard let index = inputs.firstIndex(where: { $0.name == port }) else {
      throw HarnessError("the node has no input \(port)")
    }
    let error: (any Error)? = try await ask { .send(port: index, value, turn, time: time, reply: $0) }
    if let error { throw error }
  }

  /// Gives the feeder a command and waits for its answer.
  ///
  /// - Throws: ``HarnessError`` if the run ends without one.
  private func ask<Answer: Sendable>(
    _ command: (_ reply: @escaping @Sendable (Answer) -> Void) -> FeederCommand
  ) async throws -> Answer {
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Answer, any Error>) in
      let question = Question(continuation)
      commands.yield(command { question.answer(.success($0)) })
      let run = run
      run.whenOver { question.answer(.failure(HarnessError(run.failure ?? "the run is over"))) }
    }
  }

  public func endTurn(_ turn: Turn) { commands.yield(.endTurn(turn)) }
  public func endSession(_ session: Session) { commands.yield(.endSession(session)) }

  /// Nothing more will come: the node's inputs end.
  public func finish() { commands.finish() }

  /// Interrupts a session as a detector would.
  public func interrupt(_ session: Session) { run.interrupt(session: session.name) }

  /// The next thing that comes out; nil when the node is done.
  ///
  /// - Throws: the node's failure.
  public func next() async throws -> HarnessEvent? {
    if let event = await events.next() { return event }
    if let failure = run.failure { throw HarnessError(failure) }
    return nil
  }

  /// The next message from a port; marks before it are skipped.
  public func next<Value: Message>(_: Value.Type = Value.self, from port: String) async throws -> Value? {
    while let event = try await next() {
      if case .message(port, let value, _, _) = event { return value as? Value }
    }
    return nil
  }

  /// All messages of a port until the turn ends there.
  public func turn<Value: Message>(_: Value.Type = Value.self, from port: String) async throws -> [Value] {
    var values: [Value] = []
    while let event = try await next() {
      switch event {
      case .message(port, let value as Value, _, _): values.append(value)
      case .turnEnded(port, _): return values
      default: break
      }
    }
    return values
  }

  /// What the node printed, failed and logged so far.
  public var printed: [String] { run.printed }
  public var logged: [String] { run.logged }
  /// The growing texts that the node showed so far.
  public var shown: [String] { run.shown }
  /// How turns ended so far.
  public var turns: [TurnRecord] { run.turns }
}

/// A continuation that is resumed once, by whoever comes first.
private final class Question<Answer: Sendable>: Sendable {
  private let continuation: Mutex<CheckedContinuation<Answer, any Error>?>
  init(_ continuation: CheckedContinuation<Answer, any Error>) { self.continuation = Mutex(continuation) }
  func answer(_ result: Result<Answer, any Error>) { continuation.withLock { $0.take() }?.resume(with: result) }
}

/// What a test did wrong, or a node's failure.
public struct HarnessError: Error, Sendable, CustomStringConvertible {
  public let description: String
  init(_ description: String) { self.description = description }
}

/// Runs `body` beside a node of the given type; when the body returns, the node's inputs end and its end is awaited.
///
/// - Parameter unconnected: inputs to which no edge leads.
/// - Throws: what the body throws, or else the node's failure.
public func withNode<N: Node>(
  _ type: N.Type, parameters: [String: Dataflow.ParameterValue] = [:], over carrier: Carrier = .direct,
  without unconnected: [String] = [], seed: UInt64 = 0, clock: any TimeSource = SystemTime(),
  _ body: (NodeHarness) async throws -> Void
) async throws {
  let (manifest, faults) = type.manifest(reading: ParameterReader(parameters))
  if let fault = faults.first { throw fault }
  let commands = AsyncStream.makeStream(of: FeederCommand.self)
  let events = EventQueue()
  let id = HarnessChannel.register(
    HarnessChannel(
      commands: commands.stream, events: events, inputs: manifest.inputs, outputs: manifest.outputs))
  defer { HarnessChannel.remove(id) }

  let catalog = NodeCatalog(
    nodes: [type, HarnessFeederNode.self, HarnessStreamFeederNode.self, HarnessCollectorNode.self],
    messages: MessageTypes.all)
  let with = try JSONSerialization.jsonObject(with: Data(Dataflow.ParameterValue.map(parameters).json.utf8))
  var nodes: [String: Any] = ["node": ["kind": N.kind, "with": with]]
  if !manifest.inputs.isEmpty {
    let feeder = N.opensTurns ? HarnessStreamFeederNode.kind : HarnessFeederNode.kind
    nodes["feeder"] = ["kind": feeder, "with": ["id": id]]
  }
  if !manifest.outputs.isEmpty { nodes["collector"] = ["kind": HarnessCollectorNode.kind, "with": ["id": id]] }
  let edges =
    manifest.inputs.filter { !unconnected.contains($0.name) }.map { "feeder.\($0.name) -> node.\($0.name)" }
    + manifest.outputs.map { "node.\($0.name) -> collector.\($0.name)" }
  let run = try TestRun(
    graph: ["antiphon": 1, "nodes": nodes, "edges": edges], apart: ["node"], over: carrier, catalog: catalog,
    seed: seed, clock: clock)
  let harness = NodeHarness(
    inputs: manifest.inputs, commands: commands.continuation, events: events, run: run)
  let running = Task {
    defer {
      events.finish()
      commands.continuation.finish()
    }
    // A node that fails leaves nobody to end the collector's stream: the defer does.
    return try await run.run()
  }
  do {
    try await body(harness)
  } catch {
    run.stop()
    _ = await running.result
    throw error
  }
  commands.continuation.finish()
  if let failure = try await running.value.failure { throw HarnessError(failure) }
}
