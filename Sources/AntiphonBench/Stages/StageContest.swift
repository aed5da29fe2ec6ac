import ModelKit

/// All ways of computing one stage, timed in turns so that none has the machine's quieter moments.
struct StageContest {
  let stage: Stage
  let ours: [OwnStage]
  let peers: [PeerWorker]
  let roofline: Roofline

  /// What a turn should take, more or less: short stages are run several times in it.
  private static let turn = 0.5
  private static let mostRuns = 20

  /// - Parameter missing: gets the peers that fail on the way.
  /// - Throws: what our stages throw.
  func result(rounds: Int, missing: inout [String]) throws -> StageReport.Result {
    var entries = ours.map { own in
      StageReport.Entry(
        name: own.name, weights: own.weights?.rawValue, isOurs: true,
        bound: roofline.bound(own.work) * factor(isOurs: true))
    }
    entries += peers.map { StageReport.Entry(name: $0.name, isOurs: false) }
    let contestants: [any Contestant] = ours + peers
    var runs = [Int](repeating: 0, count: contestants.count)
    var failed: Set<Int> = []
    for round in 0..<rounds {
      let order = Array(contestants.indices)
      for index in round % 2 == 0 ? order : order.reversed() where !failed.contains(index) {
        let isOurs = index < ours.count
        do {
          for time in try times(contestants[index], &runs[index]) {
            entries[index].values.add(time * factor(isOurs: isOurs))
          }
        } catch let error where !isOurs {
          failed.insert(index)
          missing.append("\(contestants[index].name), \(stage.rawValue): \(error)")
        }
      }
    }
    var result = StageReport.Result(stage: stage, unit: stage.unit, entries: entries.filter { !$0.values.isEmpty })
    result.verdicts = result.judged()
    return result
  }

  /// One turn. Its first run finds caches full of others' weights and threads asleep, and does not count, unless a run
  /// takes so long that this makes no difference.
  private func times(_ contestant: any Contestant, _ runs: inout Int) throws -> [Double] {
    if runs == 0 {
      let first = try contestant.run(2)[1]
      runs = min(max(1, Int(Self.turn / first)), Self.mostRuns)
    } else if runs > 1 {
      _ = try contestant.run(1)
    }
    return try contestant.run(runs)
  }

  /// Seconds of a run to the stage's unit.
  private func factor(isOurs: Bool) -> Double {
    switch stage.unit {
    case .milliseconds: 1e3
    case .realTimeFactor: 1 / (Self.frame * (isOurs ? 1 : Self.peersFrames))
    }
  }

  /// Seconds of sound that our run makes, and how many times as much a peer's does (`snac` in `torch_stages.py`).
  private static let frame = 2048.0 / 24_000
  private static let peersFrames = 12.0
}
