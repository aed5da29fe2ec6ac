import Dataflow
import Foundation
import Synchronization

/// A run: its coordinator, the parts that live in this process, the processes that it started and watches, and those
/// that join from elsewhere.
final class Supervisor: RunningGraph {
  let coordinator: Coordinator
  private let plan: Plan
  private let clock: any TimeSource
  private let options: GraphRun.Options
  private let token: String
  private let hosted: [HostedPart]
  private let controls: [LocalControl]
  private let server: ControlServer?
  private let state: Mutex<State>
  private let notices: AsyncStream<Notice>
  private let notify: AsyncStream<Notice>.Continuation

  private enum Notice: Sendable {
    case part(Int, ControlServer.Notice)
    case exited(Int, ChildProcess.Exit)
  }
  private struct State {
    var children: [Int: ChildProcess] = [:]
    var restarts: [Int: Int] = [:]
    /// Parts that have joined, at some time.
    var joined: Set<Int> = []
    /// When to start a part again.
    var due: [Int: Int64] = [:]
    /// Since when parts that others have started do not answer.
    var silent: [Int: Int64] = [:]
    var stoppedAt: Int64?
  }

  init(
    plan: Plan, clock: any TimeSource, catalog: NodeCatalog, options: GraphRun.Options,
    observe: @escaping @Sendable (RunEvent) -> Void
  ) throws {
    if let file = options.traceFile { try TraceFile.check(file) }
    (self.plan, self.clock, self.options) = (plan, clock, options)
    let coordinator = Coordinator(plan: plan, clock: clock, observe: observe)
    self.coordinator = coordinator
    token = String(UInt64.random(in: 0...UInt64.max), radix: 36) + String(UInt64.random(in: 0...UInt64.max), radix: 36)
    let here = plan.parts.indices.filter { options.hosts(plan.parts[$0]) }
    var hosted: [HostedPart] = []
    var controls: [LocalControl] = []
    for part in here {
      let control = LocalControl(coordinator: coordinator, part: part)
      controls.append(control)
      hosted.append(
        try HostedPart(
          plan: plan, part: part, clock: clock, catalog: catalog, token: token,
          isTraced: options.traceFile != nil, control: control))
    }
    (self.hosted, self.controls) = (hosted, controls)
    state = Mutex(State())
    (notices, notify) = AsyncStream.makeStream(of: Notice.self)
    server =
      here.count == plan.parts.count
      ? nil
      : try ControlServer(
        plan: plan, coordinator: coordinator, token: token, isTraced: options.traceFile != nil,
        notice: { [notify] in notify.yield(.part($0, $1)) })
    coordinator.connect { [hosted, server] part, command in
      if let local = hosted.first(where: { $0.index == part }) {
        local.handle(command)
      } else {
        server?.send(command, to: part)
      }
    }
  }

  func run() async -> RunSummary {
    do {
      try await server?.start()
      for part in plan.parts.indices where !options.hosts(plan.parts[part]) { try start(part) }
    } catch {
      coordinator.fail("\(error)")
    }
    let watch = Task { await self.watch() }
    await withTaskGroup(of: Void.self) { group in
      for part in hosted {
        group.addTask {
          do {
            try await part.run()
          } catch {
            self.coordinator.fail("\(error)")
          }
        }
      }
    }
    await childrenEnded()
    watch.cancel()
    for control in controls { control.drain() }
    for part in hosted { coordinator.handle(.report(part.report), from: part.index) }
    if let file = options.traceFile {
      do {
        try TraceFile(plan: plan).json(coordinator.trace, lost: coordinator.traceLost)
          .write(to: URL(fileURLWithPath: file))
      } catch {
        coordinator.fail("the trace could not be written to \(file): \(error.localizedDescription)")
      }
    }
    await coordinator.settle()
    var summary = coordinator.finish(.failed(reason: "the run ended before the turn did"))
    if let server { summary.refused = summary.refused + server.refused }
    await coordinator.settle()
    await server?.close()
    return summary
  }

  func stop(because reason: String) { coordinator.fail(reason) }

  func kill() {
    for child in state.withLock({ $0.children }).values { child.send(signal: SIGKILL) }
  }

  // MARK: Processes

  private func start(_ part: Int) throws {
    let planned = plan.parts[part]
    let ended: @Sendable (ChildProcess.Exit) -> Void = { [notify] in notify.yield(.exited(part, $0)) }
    let child: ChildProcess
    if planned.isExternal, planned.host == nil, let command = plan.nodes.first(where: { $0.part == part })?.external {
      guard options.allowsExternal else { throw ExternalNotAllowed(node: planned.name, command: command.arguments) }
      child = try ChildProcess(
        command.arguments, directory: command.directory, environment: plan.programEnvironment(of: planned),
        ended: ended)
    } else if planned.host == nil, let command = options.command {
      child = try ChildProcess(
        command(planned.name), directory: nil, environment: planned.environment, ended: ended)
    } else {
      return coordinator.tell(
        .part(name: planned.name, what: "is to be started by hand on \(planned.host ?? "this machine")"))
    }
    state.withLock { $0.children[part] = child }
  }

  /// Waits for all processes; on the way out they have a few seconds.
  private func childrenEnded() async {
    while !state.withLock({ $0.children.isEmpty && $0.due.isEmpty }) || (hosted.isEmpty && !coordinator.isOver) {
      try? await Task.sleep(for: .milliseconds(10))
    }
  }

  /// Looks after the run until it is cancelled: deadlines, processes that come, go and fall silent.
  private func watch() async {
    let created = clock.now
    let ticks = Task { [notify, coordinator] in
      while !Task.isCancelled {
        try await Task.sleep(for: .milliseconds(50))
        coordinator.expire()
        self.tick(since: created)
      }
      notify.finish()
    }
    defer { ticks.cancel() }
    for await notice in notices {
      switch notice {
      case .part(let part, .joined(let process, let isFirst)): joined(part, process, isFirst)
      case .part(let part, .silent): silent(part)
      case .part(let part, .back):
        state.withLock { $0.silent[part] = nil }
        coordinator.tell(.part(name: plan.parts[part].name, what: "answers again"))
        coordinator.partIsBack(part)
        coordinator.repeatFences(to: part)
      case .exited(let part, let exit): exited(part, exit)
      }
    }
  }

  private func tick(since created: Int64) {
    let now = clock.now
    let seconds = options.startLimit / 1_000_000_000
    if !coordinator.hasStarted, !coordinator.isOver, now - created > options.startLimit {
      coordinator.fail(
        "the graph was not ready after \(seconds) s; still missing: "
          + coordinator.missing.joined(separator: ", "))
    }
    for (part, since) in state.withLock({ $0.silent }) where now - since > options.startLimit {
      coordinator.fail("part \(plan.parts[part].name) has not come back for \(seconds) s")
    }
    let due = state.withLock { state in
      let due = state.due.filter { $0.value <= now }.map(\.key)
      for part in due { state.due[part] = nil }
      return coordinator.isOver ? [] : due
    }
    for part in due {
      do {
        try start(part)
      } catch {
        coordinator.fail("\(error)")
      }
    }
    guard coordinator.isOver else { return }
    // They were told to stop; those that have not joined cannot have heard it.
    let (since, children) = state.withLock { state in
      state.due = [:]
      state.stoppedAt = state.stoppedAt ?? now
      return (state.stoppedAt ?? now, state.children)
    }
    if coordinator.hasFailed, now - since > 1_000_000_000 {
      for child in children.values { child.send(signal: SIGTERM) }
    }
    if now - since > 5_000_000_000 { for child in children.values { child.send(signal: SIGKILL) } }
  }

  private func joined(_ part: Int, _ process: Int32, _ isFirst: Bool) {
    let isChild = state.withLock { state in
      state.silent[part] = nil
      state.joined.insert(part)
      return state.children[part] != nil
    }
    // Started by hand again, perhaps before anybody noticed that it had gone. Before it is announced: turns that begin
    // after that are not among those that are lost.
    if !isFirst, !isChild { coordinator.partLost(part, reason: "was started anew") }
    coordinator.tell(.part(name: plan.parts[part].name, what: "joined as process \(process)"))
    if !isFirst { coordinator.partIsBack(part) }
  }

  private func silent(_ part: Int) {
    if coordinator.isOver { return }
    let seconds = ControlServer.silence / 1_000_000_000
    if let child = state.withLock({ $0.children[part] }) {
      coordinator.tell(.part(name: plan.parts[part].name, what: "has not answered for \(seconds) s and is ended"))
      child.send(signal: SIGKILL)
    } else {
      state.withLock { $0.silent[part] = clock.now }
      coordinator.partSilent(part, reason: "has not answered for \(seconds) s")
    }
  }

  private func exited(_ part: Int, _ exit: ChildProcess.Exit) {
    state.withLock { _ = $0.children.removeValue(forKey: part) }
    server?.forget(part)
    // Who has finished is still needed: a peer that is started anew must be greeted, and may have lost something.
    if coordinator.isOver || (exit == .status(0) && coordinator.hasFinished(part)) { return }
    let planned = plan.parts[part]
    let reason: String
    switch exit {
    case .signal(let number): reason = "was ended by signal \(number)"
    case .status(let status): reason = "ended with status \(status)"
    }
    // What cannot even join would not be helped by another start.
    let isHopeless = planned.isExternal ? !state.withLock { $0.joined.contains(part) } : exit == .status(1)
    if case .status(1...) = exit, isHopeless {
      return coordinator.fail("part \(planned.name) \(reason); what it said stands above")
    }
    coordinator.partLost(part, reason: reason)
    let count = state.withLock { state in
      state.restarts[part, default: 0] += 1
      return state.restarts[part, default: 0]
    }
    guard count <= planned.restarts.limit else {
      return coordinator.fail("part \(planned.name) \(reason), and has been restarted \(count - 1) times")
    }
    let wait = min(planned.restarts.backoff * pow(2, Double(count - 1)), 10)
    coordinator.tell(
      .part(
        name: planned.name,
        what: "is started again in \(String(format: "%.1f", wait)) s (\(count) of \(planned.restarts.limit))"))
    state.withLock { $0.due[part] = clock.now + Int64(wait * 1e9) }
  }
}

/// Somebody else's program is only started when the user says so.
struct ExternalNotAllowed: Error, CustomStringConvertible {
  let node: String
  let command: [String]
  var description: String {
    "node \(node) wants to start '\(command.joined(separator: " "))'; add --allow-external if it may"
  }
}
