#if LiveAudio
  internal import CPortAudio
  internal import CSoundRing
  internal import Dataflow
  internal import Glibc
  internal import Synchronization

  /// A PortAudio stream whose samples go through a ring: its callback is in C, and neither waits nor allocates.
  final class PortAudioStream {
    let rate: Int
    /// Frames between the callback and the air, as the device says.
    let latency: Int
    let ring: OpaquePointer
    private let name: String
    private let clock: any TimeSource
    private let session: PortAudioSession
    private let stream: UnsafeMutableRawPointer
    private var missedBefore = 0
    private var faultsBefore = 0
    private var movedBefore = 0

    /// - Parameters:
    ///   - rate: the one to try first; nil for the device's own.
    ///   - latency: milliseconds that the device may keep to itself.
    init(
      _ name: String, records: Bool, rate: Int?, latency: Int, _ clock: any TimeSource
    ) throws(DeviceError) {
      let session = try PortAudioSession(for: name)
      let device = try session.device(named: name, records: records)
      guard let ring = sound_ring_create(UInt32(2 * max(rate ?? 0, device.rate, 8_000))) else {
        throw DeviceError(device: name, problem: "there is no memory for its sound", fix: "close other programs")
      }
      let most = min(2, records ? device.inputs : device.outputs)
      let rates = [rate, device.rate].compactMap(\.self).filter { $0 > 0 }
      let opened = LiveDevices.gate.withLock { _ in
        var failure = PortAudioSession.error(name, paInvalidSampleRate.rawValue)
        for rate in rates {
          for channels in 1...max(1, most) {
            var stream: UnsafeMutableRawPointer?
            let code = sound_ring_open(
              ring, Int32(device.number), records, UInt32(channels), Double(rate), Double(latency) / 1_000, &stream)
            if code == paNoError.rawValue, let stream {
              let info = Pa_GetStreamInfo(stream)?.pointee
              let delay = (records ? info?.inputLatency : info?.outputLatency) ?? 0
              return Result<_, DeviceError>.success(Opened(stream: stream, rate: rate, delay: delay))
            }
            failure = PortAudioSession.error(name, code)
          }
        }
        return .failure(failure)
      }
      guard case .success(let found) = opened else {
        sound_ring_destroy(ring)
        if case .failure(let error) = opened { throw error }
        throw PortAudioSession.error(name, paInternalError.rawValue)
      }
      (self.name, self.clock, self.session, self.ring) = (name, clock, session, ring)
      self.rate = found.rate
      self.latency = Int((max(0, min(10, found.delay)) * Double(found.rate)).rounded())
      stream = found.stream
    }

    private struct Opened: @unchecked Sendable {  // the pointer leaves a lock, and no other thread has it
      let stream: UnsafeMutableRawPointer
      let rate: Int
      let delay: Double
    }

    deinit {
      LiveDevices.gate.withLock { _ in _ = Pa_CloseStream(stream) }
      sound_ring_destroy(ring)
    }

    /// Sets it going, and waits until it runs steadily: a sound server may take a second or two to find its pace.
    func start() throws(DeviceError) {
      sound_ring_reset(ring)
      let code = LiveDevices.gate.withLock { _ in Pa_StartStream(stream) }
      if code != paNoError.rawValue { throw PortAudioSession.error(name, code) }
      let steps = 25
      var seen: [UInt64] = []
      for _ in 0..<Self.patience / Self.step {
        usleep(UInt32(Self.step) * 1_000)
        seen.append(sound_ring_progress(ring).frames)
        guard seen.count > steps, let last = seen.last else { continue }
        let window = seen.suffix(steps + 1)
        let expected = Double(rate * steps * Self.step) / 1_000
        let isEven = zip(window, window.dropFirst()).allSatisfy { $0 < $1 }
        if isEven, abs(Double(last - (window.first ?? 0)) / expected - 1) < 0.1 { return }
      }
      guard seen.last == 0 else { return }
      throw DeviceError(
        device: name, problem: "it was opened and does nothing",
        fix: "see 'antiphon devices', and whether another program has it")
    }

    /// Milliseconds between looks at a device that starts, and until no more is to be hoped for.
    private static let (step, patience) = (20, 5_000)

    /// Frames are counted from the next that is written or read.
    ///
    /// - Parameter moved: frames that have been written or read so far.
    func begin(after moved: Int) {
      let progress = sound_ring_progress(ring)
      missedBefore = Int(clamping: progress.missed)
      faultsBefore = Int(clamping: progress.gaps + progress.faults)
      movedBefore = moved
    }

    func stop() { LiveDevices.gate.withLock { _ in _ = Pa_AbortStream(stream) } }

    /// Frames that the callback asked for at once, at most.
    var largest: Int { Int(sound_ring_progress(ring).largest) }

    var progress: DeviceProgress {
      let progress = sound_ring_progress(ring)
      // The callback has the machine's time; the graph may have another.
      let time = progress.time == 0 ? nil : clock.now - (SystemTime().now - progress.time)
      return DeviceProgress(
        frames: Int(clamping: progress.frames) - missedBefore - movedBefore,
        missed: Int(clamping: progress.missed) - missedBefore,
        faults: Int(clamping: progress.gaps + progress.faults) - faultsBefore, time: time)
    }

    /// In a few milliseconds.
    var soon: Int64 { clock.now + 5_000_000 }
  }

  final class PortAudioPlayback: PlaybackDevice {
    private let stream: PortAudioStream
    private var written = 0
    init(_ stream: PortAudioStream) { self.stream = stream }

    var rate: Int { stream.rate }
    /// What the callback takes at once, and half of what the device may keep, for a thread that is late.
    var ahead: Int { max(stream.largest, rate / 100) + max(stream.latency / 2, rate / 100) }
    var latency: Int { stream.latency }
    var isExact: Bool { false }
    var progress: DeviceProgress { stream.progress }
    func start() throws(DeviceError) { try stream.start() }
    func stop() { stream.stop() }
    func begin(at time: Int64) { stream.begin(after: written) }
    func timeToWrite(behind frames: Int) -> Int64 { stream.soon }

    func write(_ samples: UnsafeBufferPointer<Float>) {
      written += Int(sound_ring_write(stream.ring, samples.baseAddress, UInt32(samples.count)))
    }
  }

  final class PortAudioCapture: CaptureDevice {
    private let stream: PortAudioStream
    private var block: [Float]
    private var taken = 0

    init(_ stream: PortAudioStream) {
      self.stream = stream
      block = [Float](repeating: 0, count: stream.rate / 10)
    }

    var rate: Int { stream.rate }
    var isExact: Bool { false }
    var progress: DeviceProgress { stream.progress }
    func start() throws(DeviceError) { try stream.start() }
    func stop() { stream.stop() }

    func begin(at time: Int64) {
      while take() > 0 {}
      stream.begin(after: taken)
    }

    func read(into samples: inout [Float]) throws(AudioFileError) -> Bool {
      samples.append(contentsOf: block[..<take()])
      return true
    }

    /// Moves what has been recorded into the block.
    private func take() -> Int {
      let count = Int(sound_ring_read(stream.ring, &block, UInt32(block.count)))
      taken += count
      return count
    }
  }
#endif
