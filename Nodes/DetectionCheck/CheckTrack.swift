internal import Dataflow
internal import Messages
internal import ModelKit

/// A session on its way through the check: its last sound, and the detections that wait for theirs.
struct CheckTrack {
  /// In samples: how much is heard for a detection, and how much of that lies behind the detection's end.
  private let window: Int
  private let after: Int
  private var sound = AlignedSound(rate: LogMel.sampleRate, seconds: Self.kept)
  private var waiting: [Received<Detection>] = []
  private var soundIsOver = false
  private var detectionsAreOver = false

  /// Seconds of sound that are kept for detections that come late: a detector may lag behind by a queue of sound.
  private static let kept = 30
  /// Detections that wait at most; then the first of them is decided by the sound that there is.
  private static let mostWaiting = 64

  init(window: Int, after: Int) { (self.window, self.after) = (window, after) }

  /// Whether nothing more can come.
  var isOver: Bool { soundIsOver && detectionsAreOver && waiting.isEmpty }

  mutating func take(_ chunk: Received<AudioChunk>) { sound.write(chunk) }
  mutating func take(_ found: Received<Detection>) { waiting.append(found) }
  mutating func endSound() { soundIsOver = true }
  mutating func endDetections() { detectionsAreOver = true }

  /// Forgets the detections of turns that were interrupted.
  mutating func forget(through epoch: UInt32) { waiting.removeAll { $0.turn.epoch > 0 && $0.turn.epoch <= epoch } }

  /// The first detection that waits, once its sound is there: all of it, or as much as the session has.
  ///
  /// - Returns: nil for the sound if it is kept no longer.
  mutating func next() -> (Received<Detection>, [Float]?)? {
    guard let found = waiting.first else { return nil }
    // A peer's number may be any; no session is that long.
    let end = sound.position(of: min(found.value.end, 1 << 60)) + after
    guard end <= sound.end || soundIsOver || waiting.count > Self.mostWaiting else { return nil }
    waiting.removeFirst()
    let last = min(end, sound.end)
    let first = max(0, last - window)
    var samples = [Float](repeating: 0, count: max(0, last - first))
    let missing = samples.withUnsafeMutableBufferPointer { sound.read(at: first, into: $0) }
    return (found, missing == 0 ? samples : nil)
  }
}
