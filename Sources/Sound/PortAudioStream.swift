#if LiveAudio
  internal import CPortAudio
  internal import CSoundRing
  internal import Dataflow
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

    func start() throws(DeviceError) {
      sound_ring_reset(ring)
      let code = LiveDevices.gate.withLock { _ in Pa_StartStream(stream) }
      if code != paNoError.rawValue { throw PortAudioSession.error(name, code) }
    }

    func stop() { LiveDevices.gate.withLock { _ in _ = Pa_AbortStream(stream) } }

    /// Frames that the callback asked for at once, at most.
    var largest: Int { Int(sound_ring_progress(ring).largest) }

    var progress: DeviceProgress {
      let progress = sound_ring_progress(ring)
      // The callback has the machine's time; the graph may have another.
      let time = progress.time == 0 ? nil : clock.now - (SystemTime().now - progress.time)
      return DeviceProgress(
        frames: Int(clamping: progress.frames), missed: Int(clamping: progress.missed),
        faults: Int(clamping: progress.gaps + progress.faults), time: time)
    }

    /// In a few milliseconds.
    var soon: Int64 { clock.now + 5_000_000 }
  }

  final class PortAudioPlayback: PlaybackDevice {
    private let stream: PortAudioStream
    init(_ stream: PortAudioStream) { self.stream = stream }

    var rate: Int { stream.rate }
    /// What the callback takes at once, and one block more for a thread that is late.
    var ahead: Int { max(stream.largest, rate / 100) + rate / 100 }
    var latency: Int { stream.latency }
    var isExact: Bool { false }
    var progress: DeviceProgress { stream.progress }
    func start() throws(DeviceError) { try stream.start() }
    func stop() { stream.stop() }
    func timeToWrite(behind frames: Int) -> Int64 { stream.soon }

    func write(_ samples: UnsafeBufferPointer<Float>) {
      _ = sound_ring_write(stream.ring, samples.baseAddress, UInt32(samples.count))
    }
  }

  final class PortAudioCapture: CaptureDevice {
    private let stream: PortAudioStream
    private var block: [Float]

    init(_ stream: PortAudioStream) {
      self.stream = stream
      block = [Float](repeating: 0, count: stream.rate / 10)
    }

    var rate: Int { stream.rate }
    var latency: Int { stream.latency }
    var isExact: Bool { false }
    var progress: DeviceProgress { stream.progress }
    func start() throws(DeviceError) { try stream.start() }
    func stop() { stream.stop() }

    func read(into samples: inout [Float]) throws(AudioFileError) -> Bool {
      let count = Int(sound_ring_read(stream.ring, &block, UInt32(block.count)))
      samples.append(contentsOf: block[..<count])
      return true
    }
  }
#endif
