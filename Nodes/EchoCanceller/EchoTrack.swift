#if EchoCancelling
  internal import Dataflow
  internal import Messages

  /// A session on its way through the canceller.
  final class EchoTrack {
    /// Sound without echo, and the session time of its first sample.
    struct Clean {
      var samples: [Float]
      var time: Int64
    }

    /// What the loudspeaker plays.
    var reference = AlignedSound(rate: SpeexEcho.rate, seconds: 4)

    private let echo: SpeexEcho
    private let delay: Int64
    /// Samples by which what comes out lags behind what goes in.
    private let latency: Int
    private var clock = SampleClock(rate: SpeexEcho.rate)
    /// What has come and does not fill a frame yet.
    private var pending: [Float] = []
    /// Samples that have been through the canceller, and those that have been given out.
    private var done = 0
    private var given = 0
    /// Where the reference for a sample lies, relative to it.
    private var offset: Int?

    private var meter = EchoMeter()
    private var measuredBlocks: [Float] = []
    private var seconds: [(erle: Int, time: Int64)] = []
    /// Samples whose reference was not there, of those that were heard since it began.
    private var missing = 0
    private var accompanied = 0
    private var realigned = 0

    private var played = [Float](repeating: 0, count: SpeexEcho.frame)
    private var before = [Float](repeating: 0, count: SpeexEcho.frame)
    /// What came in a frame earlier.
    private var earlier = [Float](repeating: 0, count: SpeexEcho.frame)
    /// Samples that were left as they came.
    private var untouched = 0

    /// The streams' clocks may drift so many samples apart before the reference is moved: less is rounding.
    private static let slack = 8

    init(_ echo: SpeexEcho, delay: Int64, latency: Int) {
      (self.echo, self.delay, self.latency) = (echo, delay, latency)
    }

    func hear(_ chunk: Received<AudioChunk>) -> Clean? {
      clock.take(chunk)
      pending.append(contentsOf: chunk.value.samples)
      let count = pending.count / SpeexEcho.frame * SpeexEcho.frame
      guard count > 0 else { return nil }
      var samples = Array(pending[..<count])
      pending.removeFirst(count)
      run(&samples)
      return give(samples)
    }

    /// The rest, when nothing more comes.
    func finish() -> Clean? {
      let left = done + pending.count - given
      guard left > 0 else { return nil }
      var samples = pending
      let frames = (pending.count + latency + SpeexEcho.frame - 1) / SpeexEcho.frame
      samples += [Float](repeating: 0, count: frames * SpeexEcho.frame - samples.count)
      pending = []
      run(&samples)
      return give(samples, atMost: left)
    }

    private func run(_ samples: inout [Float]) {
      samples.withUnsafeMutableBufferPointer { samples in
        for start in stride(from: 0, to: samples.count, by: SpeexEcho.frame) {
          cancel(UnsafeMutableBufferPointer(rebasing: samples[start..<start + SpeexEcho.frame]))
        }
      }
    }

    private func cancel(_ frame: UnsafeMutableBufferPointer<Float>) {
      let wanted = reference.position(of: clock.time(of: done) - delay) - done
      var offset = offset ?? wanted
      if abs(wanted - offset) > Self.slack { (offset, realigned) = (wanted, realigned + 1) }
      self.offset = offset
      let absent = played.withUnsafeMutableBufferPointer { reference.read(at: done + offset, into: $0) }
      if reference.hasBegun { (missing, accompanied) = (missing + absent, accompanied + frame.count) }
      swap(&before, &earlier)
      for index in frame.indices { before[index] = frame[index] }
      played.withUnsafeBufferPointer { echo.cancel($0, from: frame) }
      leave(frame)
      done += frame.count
      measure(UnsafeBufferPointer(frame))
    }

    /// Puts back what came in where the canceller makes it louder: with headphones there is no echo, and a filter that has
    /// learned one from talk over talk would add what it means to take out.
    private func leave(_ frame: UnsafeMutableBufferPointer<Float>) {
      func energy(_ samples: some Sequence<Float>) -> Float {
        samples.reduce(0) { $0 + ($1.isFinite ? $1 * $1 : 0) }
      }
      let came = latency > 0 ? earlier : before
      // Twice as much, and more than rounding to 16 bits makes.
      guard energy(frame) > 2 * energy(came) + Float(frame.count) * 1e-8 else { return }
      for index in frame.indices { frame[index] = came[index].isFinite ? min(1, max(-1, came[index])) : 0 }
      untouched += frame.count
    }

    private func measure(_ after: UnsafeBufferPointer<Float>) {
      before.withUnsafeBufferPointer { before in
        played.withUnsafeBufferPointer { played in
          meter.add(incoming: before, outgoing: after, reference: played)
        }
      }
      guard done % EchoMeter.block == 0 else { return }
      if let erle = meter.last { measuredBlocks.append(erle) }
      guard done % SpeexEcho.rate == 0 else { return }
      if !measuredBlocks.isEmpty {
        let middle = measuredBlocks.sorted()[measuredBlocks.count / 2]
        seconds.append((Int(middle.rounded()), clock.time(of: done)))
      }
      measuredBlocks.removeAll(keepingCapacity: true)
    }

    private func give(_ samples: [Float], atMost most: Int = .max) -> Clean? {
      // The first frame of a canceller that lags stands for nothing that was heard.
      let early = given == 0 ? max(0, latency - (done - samples.count)) : 0
      let kept = samples.dropFirst(early).prefix(most)
      guard !kept.isEmpty else { return nil }
      defer { given += kept.count }
      return Clean(samples: Array(kept), time: clock.time(of: given))
    }

    /// The ERLE of the next second that has not been asked for.
    func measured() -> (erle: Int, time: Int64)? { seconds.isEmpty ? nil : seconds.removeFirst() }

    /// How it went, for the log.
    var report: String {
      guard reference.hasBegun else { return "nothing was played" }
      let erle = meter.median.map {
        "echo return loss enhancement \($0) dB (median of \(meter.blocks) blocks of 100 ms)"
      }
      var parts = [erle ?? "there was no echo to take out"]
      func seconds(_ samples: Int) -> String { "\((samples * 100 / SpeexEcho.rate) / 100).\(hundredths(samples)) s" }
      func hundredths(_ samples: Int) -> String {
        let part = samples * 100 / SpeexEcho.rate % 100
        return part < 10 ? "0\(part)" : "\(part)"
      }
      if missing > 0 {
        parts.append("for \(seconds(missing)) of \(seconds(accompanied)) what was played was not there")
      }
      if untouched > 0 { parts.append("\(seconds(untouched)) were left as they came, which was quieter") }
      if reference.gaps > 0 { parts.append("it had holes of \(seconds(reference.gaps))") }
      if reference.late > 0 { parts.append("\(seconds(reference.late)) of it came too late") }
      if realigned > 0 { parts.append("it was moved \(realigned) times") }
      return parts.joined(separator: "; ")
    }
  }
#endif
