import ArgumentParser
import Foundation
import ModelKit
import Parity
import Tensors

/// Compares what this machine computes with PyTorch's results, stage by stage.
@main struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "antiphon-check", abstract: "Prints the parity table: each stage beside PyTorch.",
    discussion: """
      Without options, the micro checkpoint of Tests/Goldens/mini-omni2. Errors are the greatest difference over the \
      greatest magnitude of what is expected.
      """)

  @Option(help: "The folder of the goldens.")
  var goldens = Goldens.shippedFolder

  @Option(
    help: """
      Instead of the micro checkpoint, one of any size: a folder with mini-omni2 and snac_24khz in it. tools/models random \
      makes one, tools/golden mini-omni2-full what to compare it with.
      """)
  var full: String?

  @Option(help: "What tools/golden mini-omni2-full wrote for that checkpoint.")
  var reference: String?

  func validate() throws {
    guard (full == nil) == (reference == nil) else {
      throw ValidationError("--full and --reference go together; see --help")
    }
  }

  @Option(help: "Threads a computation may use.")
  var threads = min(ProcessInfo.processInfo.activeProcessorCount, 64)

  func run() throws {
    try Compute.check()
    Compute.setThreads(threads)
    print("# \(Compute.description)")
    print("# error: greatest difference / greatest magnitude")
    print(Self.line("stage", "what", "error", "bound", "equal"))
    var failed = 0
    func tell(_ row: ParityRow) {
      print(Self.line(row))
      if !row.holds { failed += 1 }
    }
    if let full, let reference {
      let table = try FullParity(folder: full, reference: reference)
      _ = try table.rows(tell)
      print("# models loaded in \(String(format: "%.2f", table.loading)) s; peak memory \(Self.peakMemory)")
    } else {
      _ = try MicroParity(Goldens(folder: goldens)).rows(tell)
    }
    guard failed == 0 else {
      FileHandle.standardError.write(Data("\(failed) rows do not hold\n".utf8))
      throw ExitCode(1)
    }
  }

  /// The process at its largest, pages of mapped files included, as the system tells.
  private static var peakMemory: String {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    let kilobytes = line.flatMap { Int($0.split(whereSeparator: { !$0.isNumber }).first ?? "") }
    return kilobytes.map { "\($0 >> 10) MB" } ?? "unknown"
  }

  private static func line(_ row: ParityRow) -> String {
    let error = row.error.map { String(format: "%.1e", $0) } ?? ""
    let bound = row.error == nil ? "" : String(format: "%.0e", row.bound)
    let equal = row.equal.map { "\($0.found) of \($0.of)" } ?? ""
    let end = [row.remark, row.holds ? "" : "DOES NOT HOLD"].filter { !$0.isEmpty }.joined(separator: ", ")
    return line(row.stage, row.what, error, bound, equal) + (end.isEmpty ? "" : "  \(end)")
  }

  private static func line(_ stage: String, _ what: String, _ error: String, _ bound: String, _ equal: String) -> String
  {
    func padded(_ text: String, _ width: Int) -> String { text.padding(toLength: width, withPad: " ", startingAt: 0) }
    return "\(padded(stage, 18)) \(padded(what, 52)) \(padded(error, 9)) \(padded(bound, 7)) \(equal)"
  }
}
