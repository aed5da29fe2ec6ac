import Foundation
import Synchronization
import Testing

/// The built `antiphon` as a process, with all that it says.
final class Command: Sendable {
  struct Exit: Equatable, Sendable {
    var status: Int32
    var isSignal = false
  }
  private struct State {
    var output = Data()
    var errors = Data()
    var exit: Exit?
    var open = 2
    var waiters = 0
    var waiting: [Int: (condition: @Sendable (Command) -> Bool, continuation: CheckedContinuation<Bool, Never>)] = [:]
  }
  private let state = Mutex(State())
  private let process: Mutex<Process>
  private let input = Pipe()
  let identifier: Int32

  /// Beside the tests' own executable.
  static let executable = built("antiphon")
  /// The benchmarks' program, for tests of what it says.
  static let bench = built("antiphon-bench")

  private static func built(_ name: String) -> URL {
    let tests =
      (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
    return URL(fileURLWithPath: tests).deletingLastPathComponent().appendingPathComponent(name)
  }

  static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
  static func graph(_ name: String) -> String { root.appendingPathComponent("Graphs/\(name)").path }
  static let question = graph("audio/question.wav")

  /// - Parameters:
  ///   - program: what is run.
  ///   - launcher: a program that runs the command, for example in another network namespace.
  ///   - endsInput: standard input is at its end from the beginning.
  ///   - gate: nobody reads standard output before it is opened.
  init(
    _ arguments: [String], program: URL = executable, launcher: [String] = [], in folder: Scratch,
    endsInput: Bool = true, readingAfter gate: Latch? = nil
  ) throws {
    // What is typed to a process that has ended is an error of the test's, not the end of all tests.
    signal(SIGPIPE, SIG_IGN)
    let process = Process()
    let all = launcher + [program.path] + arguments
    process.executableURL = URL(fileURLWithPath: all[0])
    process.arguments = Array(all.dropFirst())
    process.currentDirectoryURL = URL(fileURLWithPath: folder.path)
    let (output, errors) = (Pipe(), Pipe())
    process.standardInput = input
    process.standardOutput = output
    process.standardError = errors
    let ended = Latch()
    process.terminationHandler = { [weak ended] process in
      _ = process
      ended?.open()
    }
    try process.run()
    identifier = process.processIdentifier
    self.process = Mutex(process)
    read(output, after: gate) { $0.output.append($1) }
    read(errors) { $0.errors.append($1) }
    Thread.detachNewThread {
      ended.wait()
      self.process.withLock { process in
        let exit = Exit(status: process.terminationStatus, isSignal: process.terminationReason == .uncaughtSignal)
        self.change { $0.exit = exit }
      }
    }
    if endsInput { closeInput() }
  }

  private func read(
    _ pipe: Pipe, after gate: Latch? = nil, _ keep: @escaping @Sendable (inout State, Data) -> Void
  ) {
    let handle = pipe.fileHandleForReading
    Thread.detachNewThread {
      gate?.wait()
      // Not the handle's own `read(upToCount:)`, which waits until it has as much as that.
      var bytes = [UInt8](repeating: 0, count: 65536)
      while true {
        let count = Foundation.read(handle.fileDescriptor, &bytes, bytes.count)
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { break }
        self.change { keep(&$0, Data(bytes.prefix(count))) }
      }
      self.change { $0.open -= 1 }
    }
  }

  private func change(_ change: (inout State) -> Void) {
    let (waiting, isOver) = state.withLock { state in
      change(&state)
      return (state.waiting, state.exit != nil && state.open == 0)
    }
    for (number, waiter) in waiting {
      let isMet = waiter.condition(self)
      guard isMet || isOver else { continue }
      state.withLock { $0.waiting.removeValue(forKey: number) }?.continuation.resume(returning: isMet)
    }
  }

  /// Waits until a condition holds.
  ///
  /// - Returns: false if the process ended, or two minutes passed, without that.
  private func until(_ condition: @escaping @Sendable (Command) -> Bool, seconds: Double = 120) async -> Bool {
    let number = Mutex(0)
    let isMet = await withCheckedContinuation { continuation in
      change { state in
        state.waiters += 1
        let mine = state.waiters
        number.withLock { $0 = mine }
        state.waiting[mine] = (condition, continuation)
      }
      let mine = number.withLock { $0 }
      DispatchQueue.global().asyncAfter(deadline: .now() + seconds) { [weak self] in
        self?.state.withLock { $0.waiting.removeValue(forKey: mine) }?.continuation.resume(returning: false)
      }
    }
    return isMet
  }

  var output: String { String(decoding: state.withLock { $0.output }, as: UTF8.self) }
  var errors: String { String(decoding: state.withLock { $0.errors }, as: UTF8.self) }

  /// Waits until standard error holds the text, and says so if it never does.
  func says(_ text: String, times: Int = 1, sourceLocation: SourceLocation = #_sourceLocation) async {
    let isSaid = await until { $0.errors.components(separatedBy: text).count > times }
    #expect(isSaid, "it never said '\(text)', but:\n\(errors)", sourceLocation: sourceLocation)
  }

  /// Waits for the end of the process; one that does not come to it is killed, and a failure.
  @discardableResult
  func ends(within seconds: Double = 120, sourceLocation: SourceLocation = #_sourceLocation) async -> Exit? {
    let hasEnded = await until({ $0.state.withLock { $0.exit != nil && $0.open == 0 } }, seconds: seconds)
    if !hasEnded {
      Issue.record("it did not end; it said:\n\(errors)", sourceLocation: sourceLocation)
      send(SIGKILL)
    }
    return state.withLock { $0.exit }
  }

  /// The processes of parts that joined, the last of each.
  var parts: [String: Int32] {
    var parts: [String: Int32] = [:]
    for line in errors.split(separator: "\n") where line.hasPrefix("part ") {
      let words = line.split(separator: " ")
      if words.count == 6, words[2] == "joined", let process = Int32(words[5]) {
        parts[String(words[1].dropLast())] = process
      }
    }
    return parts
  }

  func type(_ line: String) { try? input.fileHandleForWriting.write(contentsOf: Data((line + "\n").utf8)) }
  func closeInput() { try? input.fileHandleForWriting.close() }
  func send(_ signal: Int32) { kill(identifier, signal) }
}

/// Opened once.
final class Latch: Sendable {
  private let semaphore = DispatchSemaphore(value: 0)
  func open() { semaphore.signal() }
  func wait() { semaphore.wait() }
}

/// A folder of a test's own, removed with the object.
final class Scratch: Sendable {
  let path: String

  init() throws {
    let name = "antiphon-test-\(UUID().uuidString.prefix(8))"
    path = FileManager.default.temporaryDirectory.appendingPathComponent(name).path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { "\(path)/\(name)" }

  @discardableResult
  func write(_ text: String, to name: String) throws -> String {
    try Data(text.utf8).write(to: URL(fileURLWithPath: file(name)))
    return file(name)
  }

  func read(_ name: String) -> Data? { FileManager.default.contents(atPath: file(name)) }
}

/// Waits until something outside holds that nobody tells us of; fails after a while.
func eventually(
  _ what: String, within seconds: Double = 60, sourceLocation: SourceLocation = #_sourceLocation,
  _ condition: () -> Bool
) async throws {
  let end = Date(timeIntervalSinceNow: seconds)
  while !condition() {
    if Date() > end {
      Issue.record("never: \(what)", sourceLocation: sourceLocation)
      return
    }
    try await Task.sleep(for: .milliseconds(20))
  }
}

/// Whether the process is there and not merely waiting to be collected.
func isAlive(_ process: Int32) -> Bool {
  guard let status = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8) else { return false }
  return status.split(separator: ")").last?.split(separator: " ").first != "Z"
}

/// A program of the system, run to its end.
@discardableResult
func system(_ arguments: String...) -> Bool {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = arguments
  process.standardOutput = FileHandle.nullDevice
  process.standardError = FileHandle.nullDevice
  guard (try? process.run()) != nil else { return false }
  process.waitUntilExit()
  return process.terminationStatus == 0
}

/// The run's summary, as `--json` prints it.
struct Summary: Decodable {
  struct Turn: Decodable {
    var session: String
    var epoch: Int
    var outcome: [String: [String: String]]
    var isCompleted: Bool { outcome["completed"] != nil }
    var failure: String? { outcome["failed"]?["reason"] }
  }
  struct Timing: Decodable {
    var realTimeFactor: Double?
  }
  struct Node: Decodable {
    var node: String
    var received: Int
    var p50: Double?
    var p99: Double?
  }
  struct Refused: Decodable {
    var malformed: Int
    var strangers: Int
    var unauthenticated: Int
  }
  var turns: [Turn]
  var timings: [Timing]
  var nodes: [Node]
  var refused: Refused
  var failure: String?

  init(_ command: Command) throws { self = try JSONDecoder().decode(Summary.self, from: Data(command.output.utf8)) }
}

/// A WAV file of 16 bits whose sizes are what its header says.
func isPlayable(_ wave: Data?) -> Bool {
  guard let wave, wave.count >= 44, wave.prefix(4) == Data("RIFF".utf8) else { return false }
  func size(at offset: Int) -> Int { (0..<4).reduce(0) { $0 | Int(wave[offset + $1]) << (8 * $1) } }
  return size(at: 4) == wave.count - 8 && size(at: 40) == wave.count - 44
}
