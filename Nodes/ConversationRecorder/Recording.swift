internal import Dataflow
internal import Foundation
internal import Messages
internal import Sound

/// The files of one session.
final class Recording {
  enum Side: Int { case user, assistant }

  var timeline: Timeline
  /// Inputs on which the session has ended.
  var ends = 0
  /// By the clock.
  let began: Int64
  private let path: String
  private let rate: Int
  private let file: WaveFile
  /// Both sides' sound from frame ``written`` on.
  private var waiting: [[Float]] = [[], []]
  private var written = 0
  /// Frames since the depths of queues were looked at.
  private var sinceQueues = 0

  /// Seconds that one side may be behind the other before it is taken to be silent.
  private static let patience = 5

  init(_ session: String, path: String, rate: Int, began: Int64) throws {
    (self.path, self.rate, self.began) = (path, rate, began)
    timeline = Timeline(session: session, rate: rate)
    file = try WaveFile(path: path, rate: rate, channels: 2)
  }

  /// - Parameter time: nanoseconds of the session.
  func add(_ chunk: AudioChunk, at time: Int64, to side: Side) throws {
    let place = Int((Double(time) * Double(rate) / 1e9).rounded()) - written
    var samples = Array(chunk.samples)
    // What comes too late has been written as silence.
    if place < 0 { samples.removeFirst(min(samples.count, -place)) }
    let gap = max(0, place) - waiting[side.rawValue].count
    if gap > 0 { waiting[side.rawValue] += [Float](repeating: 0, count: min(gap, 3_600 * rate)) }
    // Clocks that differ by a sample make an overlap of one.
    if gap < 0, place >= 0 { samples.removeFirst(min(samples.count, -gap)) }
    waiting[side.rawValue] += samples
    if side == .user { sinceQueues += samples.count }
    let counts = waiting.map(\.count)
    try write(max(min(counts[0], counts[1]), max(counts[0], counts[1]) - Self.patience * rate))
  }

  /// Looks at the queues ten times a second.
  func note(queues: @autoclosure () -> [QueueDepth]) {
    guard sinceQueues >= rate / 10 else { return }
    sinceQueues = 0
    timeline.note(queues(), at: Double(written + waiting[Side.user.rawValue].count) / Double(rate))
  }

  func finish() throws {
    try write(waiting.map(\.count).max() ?? 0)
    timeline.length = Double(written) / Double(rate)
    let stem = String(path.dropLast(4))
    try write(Data(timeline.json), to: stem + ".json")
    try write(Data(TimelinePicture(timeline).svg.utf8), to: stem + ".svg")
  }

  private func write(_ data: Data, to path: String) throws {
    do {
      try data.write(to: URL(fileURLWithPath: path))
    } catch {
      throw WaveFileError(path: path, problem: error.localizedDescription, fix: "free some space, or write elsewhere")
    }
  }

  private func write(_ frames: Int) throws {
    guard frames > 0 else { return }
    for side in waiting.indices where waiting[side].count < frames {
      waiting[side] += [Float](repeating: 0, count: frames - waiting[side].count)
    }
    var interleaved: [Float] = []
    interleaved.reserveCapacity(2 * frames)
    for frame in 0..<frames { interleaved += [waiting[0][frame], waiting[1][frame]] }
    try interleaved.withUnsafeBufferPointer { try file.append($0) }
    for side in waiting.indices {
      timeline.add(waiting[side][..<frames], to: side)
      waiting[side].removeFirst(frames)
    }
    written += frames
  }
}
