internal import Sound

/// What a device has recorded, cut into chunks by the clock.
struct Recorder {
  private let isExact: Bool
  private let chunk: Int64
  private let start: Int64
  /// Nanoseconds from the end of a chunk until all of it can be there.
  private let delay: Int64
  private var reader: ClockedReader
  private var clock: DeviceClock
  private var taken: [Float] = []
  private var missed = 0
  private var faults = 0
  private var chunks: Int64 = 0

  /// - Parameters:
  ///   - rate: of the chunks, Hz.
  ///   - chunk: their length, milliseconds.
  ///   - start: when the session began, nanoseconds.
  init(_ device: any CaptureDevice, rate: Int, chunk: Int, start: Int64) {
    isExact = device.isExact
    (self.chunk, self.start) = (Int64(chunk) * 1_000_000, start)
    reader = ClockedReader(from: device.rate, to: rate, block: rate * chunk / 1_000, start: start)
    clock = DeviceClock(nominalRate: device.rate, start: start, isExact: isExact)
    let late = isExact ? 0 : reader.reach + 2
    delay = Int64(late) * 1_000_000_000 / Int64(device.rate)
  }

  /// The last chunk's samples.
  var block: [Float] { reader.block }

  /// When there should be another chunk: in a moment if it is overdue, as it is while a device keeps more to itself than
  /// it said.
  func nextTime(_ now: Int64) -> Int64 {
    let due = start + (chunks + 1) * chunk + delay
    return due > now || isExact ? due : now + 2_000_000
  }

  /// Takes what there is from the device.
  ///
  /// - Returns: false if no more will come.
  /// - Throws: `AudioFileError`.
  mutating func take(from device: any CaptureDevice) throws -> Bool {
    var progress: DeviceProgress
    repeat {
      progress = device.progress
      clock.observe(progress)
      faults = progress.faults
      taken.removeAll(keepingCapacity: true)
      let isMore = try device.read(into: &taken)
      taken.withUnsafeBufferPointer { reader.append($0) }
      // What was lost came after what waited.
      if progress.missed > missed { reader.appendSilence(progress.missed - missed) }
      missed = progress.missed
      if !isMore { return false }
    } while !taken.isEmpty && reader.end < progress.frames
    return true
  }

  /// - Returns: when the next chunk begins, nanoseconds of the session; nil if it is not complete.
  mutating func next(by now: Int64) -> Int64? {
    guard let time = reader.next(by: now, clock) else { return nil }
    chunks += 1
    return time
  }

  /// - Returns: the same for the last, with the number of its samples.
  mutating func rest() -> (time: Int64, count: Int)? { reader.rest(clock) }

  /// What there was to see, for the user.
  var remarks: [String] {
    var remarks: [String] = []
    if missed > 0 { remarks.append("\(missed) frames of the device were lost, and taken as silence") }
    if faults > 0 { remarks.append("the device overran \(faults == 1 ? "once" : "\(faults) times")") }
    if !isExact {
      let deviation = Int(clock.deviation.rounded())
      remarks.append(
        """
        the device ran at \(deviation >= 0 ? "+" : "")\(deviation) ppm of the clock, for which its sound was corrected by \
        \(reader.corrected) samples\(clock.jumps > 0 ? "; it jumped \(clock.jumps) times" : "")
        """)
    }
    return remarks
  }
}
