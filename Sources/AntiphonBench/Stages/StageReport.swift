import Foundation

/// Everything `antiphon-bench stages` measured.
struct StageReport: Codable {
  /// One way of computing a stage.
  struct Entry: Codable {
    var name: String
    /// How our weights are kept, or nil for a peer.
    var weights: String?
    var isOurs: Bool
    /// In the stage's unit.
    var values = Samples()
    /// Of ours: the shortest time that this machine allows, in the stage's unit.
    var bound: Double?
  }
  /// Whether one of ours reaches what it should.
  struct Verdict: Codable, Equatable {
    var name: String
    var goal: String
    var found: String
    var isMet: Bool

    var description: String { "\(isMet ? "met   " : "missed") \(name): \(goal); \(found)" }
  }
  struct Result: Codable {
    var stage: Stage
    var unit: Stage.Unit
    var entries: [Entry] = []
    var verdicts: [Verdict] = []
  }

  var machine: Machine
  /// What our results depend on.
  var kernels: String
  var threads: Int
  var rounds: Int
  var roofline: Roofline
  var results: [Result] = []
  /// What was not measured, and why.
  var missing: [String] = []

  func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }

  var description: String {
    let header = """
      Stages beside their peers, \(threads) threads, \(rounds) rounds in alternating order, medians (least-most)
      \(machine.description)
      \(kernels)
      \(roofline.description)
      """
    return ([header] + results.map(\.description) + missing.map { "not measured: \($0)" }).joined(separator: "\n\n")
  }
}

extension StageReport.Result {
  /// A row for each way, how many times as fast ours are as each peer, and what came of the targets.
  var description: String {
    let peers = entries.filter { !$0.isOurs }
    var table = TextTable(["", unit == .milliseconds ? "ms" : "RTF", "", "of roofline"] + peers.map { "x \($0.name)" })
    for entry in entries {
      let values = entry.values
      table.add(
        [
          entry.name, text(values.median), "(\(text(values.least))-\(text(values.most)))",
          entry.bound.map { String(format: "%.0f %%", $0 / values.median * 100) } ?? "",
        ] + peers.map { entry.isOurs ? String(format: "%.2f", $0.values.median / values.median) : "" })
    }
    return ([stage.title, table.description] + verdicts.map(\.description)).joined(separator: "\n")
  }

  /// What the targets say of the entries; of what was not measured, nothing.
  func judged() -> [StageReport.Verdict] {
    stage.targets.flatMap { target -> [StageReport.Verdict] in
      let ours = entries.filter { $0.isOurs && !$0.values.isEmpty }
      let meant =
        if let weights = target.weights { ours.first { $0.name == weights } } else {
          ours.min { $0.values.median < $1.values.median }
        }
      guard let meant else { return [] }
      return target.goals.compactMap { judge(meant, $0) }
    }
  }

  private func judge(_ entry: StageReport.Entry, _ goal: Target.Goal) -> StageReport.Verdict? {
    let value = entry.values.median
    func other(_ name: String) -> Double? {
      let meant = entries.filter { ($0.name == name || $0.name.hasPrefix("\(name), ")) && !$0.isOurs }
      return meant.filter { !$0.values.isEmpty }.map(\.values.median).min()
    }
    func verdict(_ goal: String, _ found: String, _ isMet: Bool) -> StageReport.Verdict {
      StageReport.Verdict(name: entry.name, goal: goal, found: found, isMet: isMet)
    }
    switch goal {
    case .most(let most):
      let unit = unit == .milliseconds ? " ms" : " of real time"
      return verdict("at most \(text(most))\(unit)", text(value), value <= most)
    case .faster(let peer, let factor):
      return other(peer).map {
        verdict(
          String(format: "%g x as fast as %@", factor, peer), String(format: "%.2f", $0 / value), $0 / value >= factor)
      }
    case .share(let name, let most):
      return entries.first { $0.name == name }.map(\.values.median).map {
        verdict(
          String(format: "at most %.0f %% of %@", most * 100, name), String(format: "%.0f %%", value / $0 * 100),
          value / $0 <= most)
      }
    }
  }

  private func text(_ value: Double) -> String {
    if unit == .realTimeFactor { return String(format: "%.3f", value) }
    return String(format: value < 100 ? "%.1f" : "%.0f", value)
  }
}
