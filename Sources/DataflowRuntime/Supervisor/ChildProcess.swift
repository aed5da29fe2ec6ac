import Foundation
import Synchronization

/// A process that the supervisor started.
final class ChildProcess: Sendable {
  enum Exit: Sendable, Equatable {
    case status(Int32)
    case signal(Int32)
  }
  private let process: Mutex<Process>
  let identifier: Int32

  /// - Parameters:
  ///   - arguments: program and arguments; no shell reads them. A program without a slash is looked for in PATH, any
  ///     other in `directory`.
  ///   - ended: called once, on some thread.
  init(
    _ arguments: [String], directory: String?, environment: [String: String],
    ended: @escaping @Sendable (Exit) -> Void
  ) throws {
    let process = Process()
    guard let name = arguments.first, let program = Self.find(name, in: directory) else {
      throw ProgramMissing(program: arguments.first ?? "")
    }
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = Array(arguments.dropFirst())
    if let directory, !directory.isEmpty { process.currentDirectoryURL = URL(fileURLWithPath: directory) }
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
    // Standard output is for results, and they come over the control connection.
    process.standardOutput = FileHandle.standardError
    process.terminationHandler = { process in
      ended(
        process.terminationReason == .uncaughtSignal
          ? .signal(process.terminationStatus) : .status(process.terminationStatus))
    }
    try process.run()
    identifier = process.processIdentifier
    self.process = Mutex(process)
  }

  func send(signal: Int32) {
    process.withLock { process in
      // Not after it has ended: the number may be another's by then.
      if process.isRunning { kill(process.processIdentifier, signal) }
    }
  }

  private static func find(_ name: String, in directory: String?) -> String? {
    if name.contains("/") {
      let path = URL(fileURLWithPath: name, relativeTo: directory.map { URL(fileURLWithPath: $0) }).path
      return FileManager.default.isExecutableFile(atPath: path) ? path : nil
    }
    let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
    return path.split(separator: ":").map { "\($0)/\(name)" }.first {
      FileManager.default.isExecutableFile(atPath: $0)
    }
  }
}

/// The program of an external node, or of a part, is not there.
struct ProgramMissing: Error, CustomStringConvertible {
  let program: String
  var description: String { "program '\(program)' is not there or cannot be run" }
}
