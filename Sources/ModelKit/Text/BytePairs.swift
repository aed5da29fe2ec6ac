/// The merge rules of byte-pair encoding, by token.
struct BytePairs: Sendable {
  /// What a pair of neighbours becomes, and how early.
  struct Merge: Sendable {
    var rank: Int32
    var token: Int32
  }

  private let merges: [UInt64: Merge]
  /// The token of each single byte; -1 where the vocabulary has none.
  private let byteTokens: [Int32]

  init(merges: [UInt64: Merge], byteTokens: [Int32]) {
    self.merges = merges
    self.byteTokens = byteTokens
  }

  static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  /// Appends the tokens of one piece. A heap of candidate merges keeps this n log n, whatever the piece.
  func encode(_ piece: ArraySlice<UInt8>, into tokens: inout [Int32]) {
    var symbols: [Int32] = []
    for byte in piece where byteTokens[Int(byte)] >= 0 { symbols.append(byteTokens[Int(byte)]) }
    guard symbols.count > 1 else { return tokens.append(contentsOf: symbols) }
    // A linked list over the symbols; those merged away get the token -1.
    var next = Array(1...symbols.count)
    var previous = Array(-1..<symbols.count - 1)
    var heap = MergeHeap()
    func consider(_ left: Int) {
      let right = next[left]
      guard right < symbols.count, let merge = merges[Self.key(symbols[left], symbols[right])] else { return }
      heap.push(.init(rank: merge.rank, position: Int32(truncatingIfNeeded: left), token: merge.token))
    }
    for left in 0..<symbols.count - 1 { consider(left) }
    while let candidate = heap.pop() {
      let left = Int(candidate.position)
      // Neighbours may have merged since; the candidate holds only if its pair still makes the same token.
      guard symbols[left] >= 0, next[left] < symbols.count,
        let merge = merges[Self.key(symbols[left], symbols[next[left]])], merge.token == candidate.token
      else { continue }
      let right = next[left]
      symbols[left] = merge.token
      symbols[right] = -1
      next[left] = next[right]
      if next[left] < symbols.count { previous[next[left]] = left }
      if previous[left] >= 0 { consider(previous[left]) }
      consider(left)
    }
    for symbol in symbols where symbol >= 0 { tokens.append(symbol) }
  }
}

/// Candidate merges: the lowest rank first, then the leftmost.
private struct MergeHeap {
  struct Candidate {
    var rank: Int32
    var position: Int32
    var token: Int32

    func precedes(_ other: Candidate) -> Bool { (rank, position) < (other.rank, other.position) }
  }

  private var items: [Candidate] = []

  mutating func push(_ item: Candidate) {
    items.append(item)
    var child = items.count - 1
    while child > 0, items[child].precedes(items[(child - 1) / 2]) {
      items.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func pop() -> Candidate? {
    guard let first = items.first, let last = items.popLast() else { return nil }
    guard !items.isEmpty else { return first }
    items[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < items.count && items[child].precedes(items[least]) {
        least = child
      }
      if least == parent { return first }
      items.swapAt(parent, least)
      parent = least
    }
  }
}
