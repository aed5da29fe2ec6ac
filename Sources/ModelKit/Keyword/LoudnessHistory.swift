/// How loud the last two seconds were, to tell where what was said begins and ends.
struct LoudnessHistory {
  /// Mean log powers of the last frames, round and round.
  private var levels: [Float]
  private var count = 0
  private let frameRate: Int

  init(frameRate: Int) {
    self.frameRate = frameRate
    levels = [Float](repeating: 0, count: 2 * frameRate)
  }

  mutating func add(_ level: Float) {
    levels[count % levels.count] = level
    count += 1
  }

  /// The level of so many frames ago, averaged with its neighbours'.
  private func level(_ age: Int) -> Float {
    let (newest, oldest) = (max(0, age - 1), min(age + 1, min(count, levels.count) - 1))
    guard newest <= oldest else { return 0 }
    var sum: Float = 0
    for age in newest...oldest { sum += levels[(count - 1 - age) % levels.count] }
    return sum / Float(oldest - newest + 1)
  }

  /// Ages, in frames, of the end and the beginning of the last thing that sounded: its end is at most 0.6 s ago, gaps of
  /// 0.15 s belong to it, and it is at most 1.5 s long.
  ///
  /// - Parameter now: the age of the frame at which it is asked; younger ones do not count.
  func extent(asOf now: Int = 0) -> Range<Int> {
    let known = min(count, levels.count)
    guard now >= 0, known > now else { return now..<now }
    var (lowest, highest) = (Float.infinity, -Float.infinity)
    for age in now..<known {
      let level = level(age)
      lowest = min(lowest, level)
      if age < now + frameRate { highest = max(highest, level) }
    }
    let loud = lowest + (highest - lowest) * 0.4
    let latest = min(known - 1, now + frameRate * 6 / 10)
    let end = (now...latest).first { level($0) >= loud } ?? now
    var (start, gap) = (end, 0)
    for age in end..<min(known, end + frameRate * 3 / 2) {
      if level(age) >= loud { (start, gap) = (age, 0) } else { gap += 1 }
      if gap > frameRate * 15 / 100 { break }
    }
    return end..<start + 1
  }
}
