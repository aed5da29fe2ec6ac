import DataflowRuntime
import Foundation

/// Shows a run's events to the user.
struct RunReporter: Sendable {
  /// Leave results out, because the summary will be the only output.
  let quiet: Bool

  func show(_ event: RunEvent) {
    switch event {
    case .nodeReady(let node, let missing):
      let rest = missing.isEmpty ? "all nodes are ready" : "waiting for \(missing.joined(separator: ", "))"
      Console.status("\(node) is ready; \(rest)", final: missing.isEmpty)
    case .started: break
    case .progress(let node, let what, let fraction):
      let text = "\(node): \(what)"
      Console.status(fraction < 1 ? text + String(format: " %3.0f %%", fraction * 100) : text, final: fraction >= 1)
    case .show(_, let text): Console.status(text)
    case .log(let node, let text): Console.say("\(node): \(text)")
    case .print(_, let text): if !quiet { Console.result(text) }
    case .sessionBegan(let name): Console.say("session \(name)")
    case .turnBegan: break
    case .turnEnded(let record):
      switch record.outcome {
      case .completed: break
      case .interrupted(let reason):
        Console.say("turn \(record.session)#\(record.epoch) interrupted: \(reason)\(heard(record))")
      case .failed(let reason):
        let what = record.epoch == 0 ? "session \(record.session)" : "turn \(record.session)#\(record.epoch)"
        Console.say("\(what) failed: \(reason)\(heard(record))")
      }
    case .part(let name, let what): Console.say("part \(name): \(what)")
    }
  }

  private func heard(_ record: TurnRecord) -> String {
    var played = record.played.map { String(format: "; %.2f s of it had been played", Double($0) / 1e9) } ?? ""
    if let heard = record.heard { played += ", in which was heard: '\(heard)'" }
    if record.unacknowledged.isEmpty { return played }
    return played + "; not acknowledged by " + record.unacknowledged.joined(separator: ", ")
  }
}
