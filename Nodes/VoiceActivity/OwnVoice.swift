package import Messages

/// What a detector hears in the assistant's own sound: what another hears in the microphone's at the same time is an echo
/// of it, and no command of the user's.
package struct OwnVoice {
  /// Ends of the last detections, nanoseconds since the session began.
  private var ends: [Int64] = []

  /// Nanoseconds that two hearings of the same word may lie apart: the room's delay, and how well detectors time what they
  /// hear.
  private static let slack: Int64 = 500_000_000
  private static let memory = 16

  package init() {}

  package mutating func note(_ detection: Detection) {
    if ends.count == Self.memory { ends.removeFirst() }
    ends.append(detection.end)
  }

  /// Whether the assistant said so itself.
  package func explains(_ detection: Detection) -> Bool { ends.contains { abs($0 - detection.end) <= Self.slack } }
}
