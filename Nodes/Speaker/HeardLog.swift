internal import Dataflow

/// What was written to a device and has not been heard yet, so that what has been heard is known to the frame.
struct HeardLog {
  /// Frames of what the session was given that have been heard.
  private(set) var frames = 0
  /// The same, turn by turn, as long as the turn goes on.
  private var turns: [Turn: Int] = [:]

  private struct Entry {
    var turn: Turn
    /// Frames of what was given.
    var frames: Int
    /// The device's frames, from and to.
    var start: Int
    var end: Int
    var isEnd = false
    var heard = 0
  }
  private var entries: [Entry] = []
  /// Turns that are known to have been interrupted.
  private var cut: Set<Turn> = []

  /// All that was written has been heard.
  var isEmpty: Bool { entries.isEmpty }

  /// - Parameters:
  ///   - frames: of what was given.
  ///   - range: where the device plays them, in frames of its own.
  mutating func wrote(_ turn: Turn, frames: Int, at range: Range<Int>) {
    entries.append(Entry(turn: turn, frames: frames, start: range.lowerBound, end: range.upperBound))
  }

  /// The turn is complete with what was written so far.
  mutating func wroteEnd(of turn: Turn, at frame: Int) {
    entries.append(Entry(turn: turn, frames: 0, start: frame, end: frame, isEnd: true))
  }

  /// Frames of the turn that the device was given, whether or not they have been heard; nil if it was given none.
  func given(of turn: Turn) -> Int? {
    let waiting = entries.filter { $0.turn == turn && !$0.isEnd }
    if turns[turn] == nil, waiting.isEmpty { return nil }
    return waiting.reduce(turns[turn, default: 0]) { $0 + $1.frames - $1.heard }
  }

  /// The turn was interrupted, and is of interest only until what was given has been heard.
  mutating func forget(_ turn: Turn) { cut.insert(turn) }

  /// Turns of which something waits to be heard, or has been.
  var underWay: Set<Turn> { Set(turns.keys).union(entries.map(\.turn)) }

  /// The device has come to a frame.
  ///
  /// - Parameters:
  ///   - advanced: is told the frames that have been heard of a turn that has got on.
  ///   - ended: is told of turns that have been heard to their end.
  mutating func heard(to frame: Int, advanced: (Turn, Int) -> Void, ended: (Turn) -> Void) {
    var gone = 0
    var grown: Turn?
    func tell() { if let turn = grown { advanced(turn, turns[turn, default: 0]) } }
    for index in entries.indices {
      let entry = entries[index]
      guard entry.start < frame || entry.end <= frame else { break }
      let turn = entry.turn
      let length = max(1, entry.end - entry.start)
      let heard = frame >= entry.end ? entry.frames : entry.frames * (frame - entry.start) / length
      if heard > entry.heard {
        if let last = grown, last != turn { tell() }
        grown = turn
        frames += heard - entry.heard
        turns[turn, default: 0] += heard - entry.heard
        entries[index].heard = heard
      }
      if entry.isEnd {
        tell()
        grown = nil
        turns[turn] = nil
        ended(turn)
      }
      if entry.end > frame { break }
      gone = index + 1
    }
    tell()
    entries.removeFirst(gone)
    // What has been handed over is heard even if the turn was interrupted; then nothing more comes.
    for turn in cut where !entries.contains(where: { $0.turn == turn }) {
      turns[turn] = nil
      cut.remove(turn)
    }
  }
}
