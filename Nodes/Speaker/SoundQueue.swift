internal import Dataflow
internal import Messages

/// What a session has been given to play and has not played: pieces of sound in order, and the ends of turns.
///
/// A plain value without clocks or devices: ``render(_:into:)`` takes the next block out of it, and says what is in it.
///
/// Of a turn that may go on, the last 5 ms are held back, so that there is something to fade out with when it is
/// interrupted. Sound of the session's own stream (epoch 0) cannot be interrupted, and is played as it comes.
struct SoundQueue {
  /// A stretch of a block.
  enum Stretch: Equatable {
    /// So many frames of what was given.
    case sound(Turn, frames: Int)
    /// What an interrupted turn fades out with.
    case fade(Turn, frames: Int)
    /// Nothing was there to play.
    case silence(frames: Int)
    /// All of the turn has been taken out.
    case end(Turn)
  }

  /// The sound's form, once some has come; it never changes.
  private(set) var rate = 0
  private(set) var channels = 0
  /// How often more came of something that had fallen silent for want of it.
  private(set) var underruns = 0
  /// Frames that wait.
  private(set) var frames = 0

  private enum Item {
    case sound(Piece)
    case end(Turn)
  }
  private struct Piece {
    let turn: Turn
    let audio: AudioChunk
    /// Presentation time of its end, nanoseconds.
    let endTime: Int64
    var played = 0
    var left: Int { audio.frames - played }
  }
  private var items: [Item] = []
  /// What the last block ended in the middle of.
  private var sounding: Turn?
  /// What has fallen silent without having ended, the time at which it would go on, and how long it has been silent.
  private var dry: (turn: Turn, time: Int64, frames: Int)?
  /// Presentation time up to which the last piece has been played out.
  private var playedTo: Int64 = 0

  /// Nothing is left to play.
  var isEmpty: Bool { items.isEmpty }
  /// Frames that are held back or faded over.
  private var margin: Int { rate / 200 }

  /// - Returns: false if the sound is of another form than what came before it.
  mutating func append(_ chunk: Received<AudioChunk>) -> Bool {
    let audio = chunk.value
    if audio.frames == 0 { return true }
    if rate == 0 { (rate, channels) = (audio.rate, audio.channels) }
    guard rate == audio.rate, channels == audio.channels else { return false }
    if let dry, dry.turn == chunk.turn {
      // A stream has no ends. Its times say whether it goes on where it stopped, but so they may after a rest.
      let goesOn = abs(chunk.stamp.time - dry.time) <= 1_000_000 && dry.frames < rate / 2
      if chunk.turn.epoch > 0 || goesOn { underruns += 1 }
    }
    dry = nil
    items.append(.sound(Piece(turn: chunk.turn, audio: audio, endTime: chunk.stamp.time + audio.duration)))
    frames += audio.frames
    return true
  }

  mutating func end(_ turn: Turn) {
    items.append(.end(turn))
    if dry?.turn == turn { dry = nil }
  }

  /// Takes the next block out.
  ///
  /// - Parameters:
  ///   - count: its length in frames.
  ///   - block: interleaved samples, at least `count` frames; the rest is left alone.
  mutating func render(_ count: Int, into block: inout [Float], _ found: (Stretch) -> Void) {
    for index in 0..<count * channels { block[index] = 0 }
    let last = sounding
    var filled = fade(into: &block, upTo: count)
    if filled > 0, let last { found(.fade(last, frames: filled)) }
    taking: while let item = items.first {
      switch item {
      case .end(let turn):
        if sounding == turn { sounding = nil }
        items.removeFirst()
        found(.end(turn))
      case .sound(var piece):
        let taken = min(count - filled, piece.left, playable(piece))
        if taken <= 0 { break taking }
        let start = piece.played * channels
        for index in 0..<taken * channels {
          block[filled * channels + index] = piece.audio.samples[start + index]
        }
        (filled, frames) = (filled + taken, frames - taken)
        piece.played += taken
        (sounding, playedTo) = (piece.turn, piece.endTime)
        found(.sound(piece.turn, frames: taken))
        if piece.left > 0 { items[0] = .sound(piece) } else { items.removeFirst() }
      }
    }
    guard filled < count else { return }
    if let turn = sounding { dry = (turn, playedTo, 0) }
    dry?.frames += count - filled
    sounding = nil
    found(.silence(frames: count - filled))
  }

  /// Frames that a turn which is interrupted now will fade out with.
  func fade(of turn: Turn) -> Int {
    guard turn == sounding else { return 0 }
    let left = items.reduce(0) { sum, item in
      if case .sound(let piece) = item, piece.turn == turn { sum + piece.left } else { sum }
    }
    return min(margin, left)
  }

  /// Drops what was interrupted, and fades out what of it was to be heard just now.
  ///
  /// - Returns: how many frames were filled.
  private mutating func fade(into block: inout [Float], upTo count: Int) -> Int {
    if let turn = dry?.turn, turn.isCut { dry = nil }
    var filled = 0
    let kept = items.filter { item in
      switch item {
      case .end(let turn): return !turn.isCut
      case .sound(let piece):
        guard piece.turn.isCut else { return true }
        frames -= piece.left
        if piece.turn == sounding {
          let length = min(margin, count)
          for frame in piece.played..<piece.audio.frames where filled < length {
            let gain = 1 - Float(filled + 1) / Float(length + 1)
            for channel in 0..<channels {
              block[filled * channels + channel] = gain * piece.audio.samples[frame * channels + channel]
            }
            filled += 1
          }
        }
        return false
      }
    }
    if kept.count < items.count { items = kept }
    if let turn = sounding, turn.isCut { sounding = nil }
    return filled
  }

  /// How many frames of a piece at the front may be played now.
  private func playable(_ piece: Piece) -> Int {
    if piece.turn.epoch == 0 { return piece.left }
    var known = 0
    for item in items {
      guard case .sound(let next) = item, next.turn == piece.turn else { return piece.left }
      known += next.left
      if known >= piece.left + margin { return piece.left }
    }
    return known - margin
  }
}
