package import Dataflow

/// A sound device that is none: it plays what it is given by the clock, and nobody hears it.
///
/// Its rate may be off, as that of real devices is.
package final class ClockedPlayback: PlaybackDevice {
  package let rate: Int
  package let ahead = 1
  package let latency = 0
  package var isExact: Bool { pace.drift == 0 }
  private let clock: any TimeSource
  private var pace: Pace

  /// - Parameter drift: parts per million by which it is faster than it says.
  package init(rate: Int, clock: any TimeSource, drift: Double = 0) {
    (self.rate, self.clock) = (rate, clock)
    pace = Pace(rate: rate, drift: drift, start: clock.now)
  }

  package func start() {}
  package func begin(at time: Int64) { pace.start = time }
  package func stop() {}
  package func write(_ samples: UnsafeBufferPointer<Float>) {}

  package var progress: DeviceProgress { pace.progress(at: clock.now) }

  package func timeToWrite(behind frames: Int) -> Int64 { pace.time(of: frames) }
}

/// A microphone that hears a file, by the clock.
package final class ClockedCapture: CaptureDevice {
  package let rate: Int
  package var isExact: Bool { pace.drift == 0 }
  private let source: any SampleSource
  private let clock: any TimeSource
  private var pace: Pace
  private var taken = 0
  private var block: [Float] = []

  /// - Parameter drift: parts per million by which it is faster than it says.
  package init(_ source: any SampleSource, clock: any TimeSource, drift: Double = 0) {
    (rate, self.source, self.clock) = (source.rate, source, clock)
    pace = Pace(rate: source.rate, drift: drift, start: clock.now)
  }

  package func start() {}
  package func begin(at time: Int64) { pace.start = time }
  package func stop() {}

  package var progress: DeviceProgress { pace.progress(at: clock.now) }

  package func read(into samples: inout [Float]) throws(AudioFileError) -> Bool {
    // However long nobody came, no more than a second at once.
    let wanted = min(pace.frames(at: clock.now) - taken, rate)
    guard wanted > 0 else { return true }
    if block.count != wanted { block = [Float](repeating: 0, count: wanted) }
    let got = try source.read(into: &block)
    samples.append(contentsOf: block[..<got])
    taken += got
    return got == wanted
  }
}

/// How a clocked device counts.
private struct Pace {
  let rate: Int
  let drift: Double
  var start: Int64

  /// Whole frames since the start.
  func frames(at time: Int64) -> Int {
    let (seconds, rest) = (time - start).quotientAndRemainder(dividingBy: 1_000_000_000)
    let exact = Double(seconds * Int64(rate)) + Double(rest * Int64(rate)) / 1e9
    return Int(drift == 0 ? exact : exact * (1 + drift / 1e6))
  }

  func progress(at time: Int64) -> DeviceProgress {
    let frames = frames(at: time)
    // When the last of them was complete.
    return DeviceProgress(frames: frames, time: min(time, self.time(of: frames)))
  }

  /// The first moment at which so many frames have gone by.
  func time(of frames: Int) -> Int64 {
    let (seconds, rest) = frames.quotientAndRemainder(dividingBy: rate)
    if drift == 0 {
      let part = (Int64(rest) * 1_000_000_000 + Int64(rate) - 1) / Int64(rate)
      return start + Int64(seconds) * 1_000_000_000 + part
    }
    let exact = (Double(seconds) * 1e9 + Double(rest) * 1e9 / Double(rate)) / (1 + drift / 1e6)
    return start + Int64(exact.rounded(.up)) + 1
  }
}
