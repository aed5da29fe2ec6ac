import DataflowRuntime
import Foundation

/// What became of a conversation, as its recorder wrote it down.
struct DuplexCourse {
  /// Those parts of the recorder's timeline that are of interest here; seconds.
  private struct Timeline: Decodable {
    struct Command: Decodable {
      var end: Double
      var told: Double
    }
    struct Answer: Decodable {
      var start: Double
      var end: Double
      var outcome: String
      var played: Double
      var heard: String
    }
    var commands: [Command]
    var answers: [Answer]
  }

  /// When the assistant began to answer; nil if it did not.
  let answered: Double?
  /// When its answer would have been over, had nobody interrupted it: nil if somebody did.
  let finished: Double?
  /// When each detection was told of.
  let told: [Double]
  /// How much of the answer was played, and what the context says was heard of it.
  let played: Double
  let heard: String
  /// What the runtime's record says: whether the turn was interrupted, and how much of it was played.
  let isInterrupted: Bool
  let recorded: Double?
  /// What was played, at 16 kHz from the session's beginning.
  let sound: [Float]

  init(record: String, turns: [TurnRecord]) throws {
    let data = try Data(contentsOf: URL(fileURLWithPath: record.dropLast(4) + ".json"))
    let timeline = try JSONDecoder().decode(Timeline.self, from: data)
    let answer = timeline.answers.first { $0.played > 0 }
    answered = answer?.start
    finished = answer?.outcome == "finished" ? answer?.end : nil
    told = timeline.commands.map(\.told)
    played = answer?.played ?? 0
    heard = answer?.heard ?? ""
    let turn = turns.first
    if case .interrupted? = turn?.outcome { isInterrupted = true } else { isInterrupted = false }
    recorded = turn?.played.map { Double($0) / 1e9 }
    sound = try WaveSamples.read(record, channel: 1, of: 2)
  }

  /// When the last sound was played that had begun before: the end of the last sample that is not nothing.
  func silence(after time: Double) -> Double {
    let start = min(sound.count, Int(time * 16_000))
    let end = min(sound.count, start + 32_000)
    let last = (start..<end).last { abs(sound[$0]) > 1e-4 }
    return last.map { Double($0 + 1) / 16_000 } ?? time
  }
}

/// WAV files of 16 bits at 16 kHz.
enum WaveSamples {
  static func read(_ path: String, channel: Int, of channels: Int) throws -> [Float] {
    let data = try Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped)
    guard data.count >= 44, data[22] == channels else { throw BenchError("\(path) has not \(channels) channels") }
    return data.dropFirst(44).withUnsafeBytes { bytes in
      (0..<bytes.count / (2 * channels)).map { frame in
        let sample = bytes.loadUnaligned(fromByteOffset: 2 * (frame * channels + channel), as: Int16.self)
        return Float(Int16(littleEndian: sample)) / 32_768
      }
    }
  }
}
