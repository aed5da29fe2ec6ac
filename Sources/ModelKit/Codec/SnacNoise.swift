/// The noise that SNAC's decoder adds, scaled by what it hears in each row: breath and hiss.
public enum SnacNoise: Sendable {
  /// None: the decoder's output depends on the codes alone.
  case none
  /// Numbers that follow from a seed; at level 1 about normally distributed, as those in the release are.
  case seeded(UInt64, level: Float = 1)
  /// Numbers of each block, row by row, and zeros behind them.
  case given([[Float]])

  var isSilent: Bool {
    switch self {
    case .none: true
    case .seeded(_, let level): level == 0
    case .given: false
    }
  }

  /// Writes the numbers of a block's rows. Each depends on its place alone and not on how many are asked for at once.
  func fill(_ block: Int, rows: Range<Int>, into out: UnsafeMutablePointer<Float>) {
    switch self {
    case .none:
      out.update(repeating: 0, count: rows.count)
    case .given(let values):
      let row = block < values.count ? values[block] : []
      for (index, place) in rows.enumerated() { out[index] = place < row.count ? row[place] : 0 }
    case .seeded(let seed, let level):
      let start = seed &+ UInt64(block) &* 0xd1b5_4a32_d192_ed03
      for (index, place) in rows.enumerated() {
        out[index] = level * Self.number(start &+ UInt64(place) &* 3 &* Self.step)
      }
    }
  }

  /// The increment of SplitMix64 (Steele, Lea, Flood 2014).
  private static let step: UInt64 = 0x9e37_79b9_7f4a_7c15

  /// The sum of twelve uniform numbers has a variance of 1 and is nearly normal (Irwin, Hall 1927). In whole numbers it
  /// is the same on every machine.
  private static func number(_ state: UInt64) -> Float {
    var (state, sum) = (state, 0)
    for _ in 0..<3 {
      state &+= step
      var bits = state
      bits = (bits ^ bits >> 30) &* 0xbf58_476d_1ce4_e5b9
      bits = (bits ^ bits >> 27) &* 0x94d0_49bb_1331_11eb
      bits ^= bits >> 31
      sum += Int(bits & 0xffff) + Int(bits >> 16 & 0xffff) + Int(bits >> 32 & 0xffff) + Int(bits >> 48)
    }
    return Float(sum - 6 * 0xffff) / 65536
  }
}
