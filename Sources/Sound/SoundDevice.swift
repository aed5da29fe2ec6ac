/// Where sound is played, one channel, at a rate of its own.
///
/// A device runs by a clock of its own, which is never quite the machine's: it is given sound ahead of time and says how far
/// it has come. Frames are counted from the first that is written after ``begin(at:)``, and what the device plays of its own
/// accord, because nothing has been written, counts as well.
package protocol PlaybackDevice: AnyObject {
  /// Frames per second, nominally.
  var rate: Int { get }
  /// How many frames should be written and not be played yet, lest it run dry.
  var ahead: Int { get }
  /// Frames between being taken by the device and being heard.
  var latency: Int { get }
  /// Whether its clock *is* the clock, so that nothing need be measured.
  var isExact: Bool { get }

  /// Sets it going, and waits until it runs steadily.
  func start() throws(DeviceError)
  /// A session begins, now.
  func begin(at time: Int64)
  func stop()
  var progress: DeviceProgress { get }
  /// Takes samples to play after those that were written before.
  func write(_ samples: UnsafeBufferPointer<Float>)
  /// When to look again, by the clock, if so many frames are the end of what has been written.
  func timeToWrite(behind frames: Int) -> Int64
}

/// Where sound is recorded, one channel, at a rate of its own; see ``PlaybackDevice`` for how it counts. What was recorded
/// before a session began is dropped.
package protocol CaptureDevice: AnyObject {
  /// Frames per second, nominally.
  var rate: Int { get }
  var isExact: Bool { get }

  func start() throws(DeviceError)
  func begin(at time: Int64)
  func stop()
  var progress: DeviceProgress { get }
  /// Moves what has been recorded behind `samples`.
  ///
  /// - Returns: false if that was the last.
  func read(into samples: inout [Float]) throws(AudioFileError) -> Bool
}

/// How far a device has come.
package struct DeviceProgress: Equatable, Sendable {
  /// Frames since the session began, those that were missed included.
  package var frames = 0
  /// Frames that it played as silence because nothing had been written, or that were recorded and lost because nobody
  /// read.
  package var missed = 0
  /// How often that happened, each stretch once, and how often the device itself told of such a thing.
  package var faults = 0
  /// When it was so, by the clock; nil if the device has not told.
  package var time: Int64?

  package init(frames: Int = 0, missed: Int = 0, faults: Int = 0, time: Int64? = nil) {
    (self.frames, self.missed, self.faults, self.time) = (frames, missed, faults, time)
  }
}

/// A device that cannot be used: which, why, and what to do about it.
package struct DeviceError: Error, Sendable, CustomStringConvertible {
  /// As the user named it.
  package let device: String
  package let problem: String
  package let fix: String

  package init(device: String, problem: String, fix: String) {
    (self.device, self.problem, self.fix) = (device, problem, fix)
  }

  package var description: String { "sound device '\(device)': \(problem); \(fix)" }
}
