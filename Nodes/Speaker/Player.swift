internal import Dataflow
internal import Messages
internal import Sound

/// Plays a session's sound on a device, block by block of 10 ms, and says what comes out and how far it has come.
///
/// Three times run side by side: the blocks go by the device, which is given the next when it has room; what has been
/// heard is what has left the device by now; and the reference goes by the clock, since that is what a microphone's sound
/// is cut by. A device that is off is followed, so that the reference holds what came out in just those 10 ms.
final class Player {
  let session: Session
  private let device: any PlaybackDevice
  private let context: NodeContext
  private let recording: Recording?
  private let start: Int64
  private var queue = SoundQueue()
  private var log = HeardLog()
  private var inputIsOver = false

  // The device: frames that it was given or missed, since it was started.
  private var deviceClock: DeviceClock
  private var position = 0
  private var missed = 0
  private var faults = 0
  private var faultsBefore = 0
  /// Frames to be ahead more than the device asks for.
  private var margin = 0
  private var blocks = 0
  private var converter: RateConverter?
  /// Blocks of sound, which begin where the first sound did.
  private var soundBlocks = 0
  private var block: [Float] = []
  private var mono: [Float] = []
  private var deviceBlock: [Float]
  private var stretches: [SoundQueue.Stretch] = []

  private var reference: ClockedReader?
  private let referenceRate: Int
  /// Whether anybody needs the device's samples.
  private let needsSamples: Bool

  /// - Parameters:
  ///   - device: one that runs.
  ///   - recording: where the sound is kept, if it is.
  ///   - referenceRate: of the reference; nil if nobody wants it.
  init(
    _ session: Session, on device: any PlaybackDevice, recording: Recording?, referenceRate: Int?,
    _ context: NodeContext
  ) {
    (self.session, self.device, self.context, self.recording) = (session, device, context, recording)
    let start = context.clock.now
    self.start = start
    device.begin(at: start)
    deviceClock = DeviceClock(nominalRate: device.rate, start: start, isExact: device.isExact)
    self.referenceRate = referenceRate ?? 0
    reference = referenceRate.map {
      ClockedReader(from: device.rate, to: $0, block: $0 / 100, start: start)
    }
    needsSamples = reference != nil || !(device is ClockedPlayback)
    deviceBlock = [Float](repeating: 0, count: device.rate / 100 + 1)
  }

  // MARK: What comes in

  /// - Returns: what is wrong with the sound; it is not played then.
  func append(_ chunk: Received<AudioChunk>) -> String? {
    if queue.append(chunk) { return nil }
    return """
      sound at \(chunk.value.rate) Hz with \(chunk.value.channels) channels cannot follow sound at \(queue.rate) Hz with \
      \(queue.channels) in a session
      """
  }

  func end(_ turn: Turn) { queue.end(turn) }

  /// The turns up to this one were interrupted: what the device has of them will be heard, and what they fade out with.
  func cut(through epoch: UInt32) {
    for turn in log.underWay where turn.epoch > 0 && turn.epoch <= epoch {
      if let given = log.given(of: turn) { context.played(time(given + queue.fade(of: turn)), of: turn) }
      log.forget(turn)
    }
  }

  func endInput() { inputIsOver = true }

  /// Whether more sound may come.
  var isOpen: Bool { !inputIsOver }
  /// Nanoseconds of sound that wait.
  var waiting: Int64 { queue.rate == 0 ? 0 : Int64(queue.frames) * 1_000_000_000 / Int64(queue.rate) }
  /// No more will come, and all has been heard.
  var isDone: Bool { inputIsOver && queue.isEmpty && log.isEmpty }
  /// When to come back.
  var nextTime: Int64 { device.timeToWrite(behind: position) }

  // MARK: What goes out

  /// Gives the device what it has room for, and tells how far it has come.
  func advance(_ output: Output<AudioChunk>, _ playhead: Output<Playhead>) async throws {
    let now = context.clock.now
    let progress = device.progress
    deviceClock.observe(progress)
    // Before the first sound nobody hears that it ran dry.
    if soundBlocks == 0 { faultsBefore = progress.faults }
    if progress.faults - faultsBefore > faults {
      // The machine is busier than was thought: better a little later than with holes.
      margin = min(margin + device.rate / 100, device.rate / 10)
    }
    faults = progress.faults - faultsBefore
    if progress.missed > missed {
      reference?.appendSilence(progress.missed - missed)
      position += progress.missed - missed
      missed = progress.missed
    }
    let heard = Int(deviceClock.frames(at: now)) - device.latency
    log.heard(to: heard) { turn, frames in
      if turn.epoch > 0, !turn.isCut { context.played(time(frames), of: turn) }
    } ended: { turn in
      context.endTurn(turn)
    }
    let stream = Turn(session, epoch: 0)
    let wanted = progress.frames + device.ahead + margin
    if position < wanted {
      if playhead.isConnected {
        let rate = queue.rate == 0 ? device.rate : queue.rate
        let head = Playhead(frames: log.frames, rate: rate, underruns: queue.underruns + faults)
        try await playhead.send(head, turn: stream, time: now - start)
      }
      repeat { try play() } while position < wanted
    }
    while let time = reference?.next(by: now, deviceClock), let samples = reference?.block {
      let chunk = AudioChunk(samples: SharedBuffer(samples), rate: referenceRate)
      try await output.send(chunk, turn: stream, time: time)
    }
  }

  private func time(_ frames: Int) -> Int64 { Int64(frames) * 1_000_000_000 / Int64(max(1, queue.rate)) }

  /// Gives the device the next block.
  private func play() throws {
    let length = Self.length(of: blocks, at: device.rate)
    blocks += 1
    // Before any sound its form is unknown, and there is only silence.
    let frames = queue.rate == 0 ? 0 : Self.length(of: soundBlocks, at: queue.rate)
    if block.isEmpty, frames > 0 {
      block = [Float](repeating: 0, count: (queue.rate / 100 + 1) * queue.channels)
      mono = [Float](repeating: 0, count: queue.rate / 100 + 1)
      if needsSamples { converter = RateConverter(from: queue.rate, to: device.rate) }
    }
    stretches.removeAll(keepingCapacity: true)
    queue.render(frames, into: &block) { stretches.append($0) }
    if frames > 0 { soundBlocks += 1 } else { recording?.skipBlock() }
    try note(frames: frames, length: length)
    if needsSamples { write(frames: frames, length: length) }
    position += length
  }

  /// Keeps in mind where the device plays what, and records it.
  private func note(frames: Int, length: Int) throws {
    var filled = 0
    func place(_ frame: Int) -> Int {
      position + (converter?.delay ?? 0) + (frames == 0 ? 0 : frame * length / frames)
    }
    for stretch in stretches {
      let count: Int
      switch stretch {
      case .end(let turn):
        log.wroteEnd(of: turn, at: place(filled))
        continue
      case .sound(let turn, let frames), .fade(let turn, let frames):
        count = frames
        log.wrote(turn, frames: frames, at: place(filled)..<place(filled + frames))
      case .silence(let frames): count = frames
      }
      var isSilence = false
      if case .silence = stretch { isSilence = true }
      let range = filled * queue.channels..<(filled + count) * queue.channels
      try block.withUnsafeBufferPointer {
        try recording?.append(
          UnsafeBufferPointer(rebasing: $0[range]), rate: queue.rate, channels: queue.channels, isSilence: isSilence)
      }
      filled += count
    }
  }

  /// Gives the device its samples, and the reference the same.
  private func write(frames: Int, length: Int) {
    if frames > 0 {
      let (channels, share) = (queue.channels, 1 / Float(queue.channels))
      for frame in 0..<frames {
        var sum: Float = 0
        for channel in 0..<channels {
          let sample = block[frame * channels + channel]
          if sample.isFinite { sum += sample }
        }
        mono[frame] = max(-1, min(1, sum * share))
      }
      mono.withUnsafeBufferPointer { converter?.push(UnsafeBufferPointer(rebasing: $0[..<frames])) }
      converter?.pull(into: &deviceBlock, count: length)
    } else {
      for frame in 0..<length { deviceBlock[frame] = 0 }
    }
    deviceBlock.withUnsafeBufferPointer { samples in
      let samples = UnsafeBufferPointer(rebasing: samples[..<length])
      device.write(samples)
      reference?.append(samples)
    }
  }

  /// Frames of the block of that number, so that a hundred of them are a second at any rate.
  private static func length(of block: Int, at rate: Int) -> Int { (block + 1) * rate / 100 - block * rate / 100 }

  /// Says what there was to see.
  func finish() {
    if let recording, !recording.exists {
      context.log("session \(session.name): there was nothing to play; no file was written")
    }
    if queue.underruns > 0 {
      context.log("session \(session.name): ran out of sound \(Self.times(queue.underruns)) in the midst of an answer")
    }
    if faults > 0 { context.log("session \(session.name): the device ran dry \(Self.times(faults))") }
    if let reference, !device.isExact {
      let deviation = Int(deviceClock.deviation.rounded())
      context.log(
        """
        session \(session.name): the device ran at \(deviation >= 0 ? "+" : "")\(deviation) ppm of the clock, which the \
        reference was corrected for by \(reference.corrected) samples\
        \(deviceClock.jumps > 0 ? "; it jumped \(Self.times(deviceClock.jumps))" : "")
        """)
    }
  }

  private static func times(_ count: Int) -> String { count == 1 ? "once" : "\(count) times" }
}
