import CSoundRing
import Foundation
import Sound
import Testing

/// A device that tells of itself now and then, in blocks, and late.
private struct Teller {
  let rate: Int
  /// Parts per million.
  let drift: Double
  let block: Int
  /// Up to how many nanoseconds late it tells.
  let lateness: Int64
  private var blocks = 0
  private var random: UInt64 = 1

  init(rate: Int, drift: Double, block: Int, lateness: Int64) {
    (self.rate, self.drift, self.block, self.lateness) = (rate, drift, block, lateness)
  }

  func frames(at time: Int64) -> Double { Double(time) / 1e9 * Double(rate) * (1 + drift / 1e6) }

  mutating func next() -> DeviceProgress {
    blocks += 1
    random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    let late = lateness == 0 ? 0 : Int64(random >> 33) % lateness
    let time = Double(blocks * block) / Double(rate) / (1 + drift / 1e6) * 1e9
    return DeviceProgress(frames: blocks * block, time: Int64(time) + late)
  }
}

@Suite struct DeviceClockTests {
  @Test(arguments: [-250.0, 0, 47, 900]) func aDeviceIsFollowedForHours(drift: Double) {
    var teller = Teller(rate: 48_000, drift: drift, block: 1_024, lateness: 4_000_000)
    var clock = DeviceClock(nominalRate: 48_000, start: 0)
    var worst = 0.0
    for _ in 0..<(3 * 3_600 * 48_000 / 1_024) {
      let progress = teller.next()
      clock.observe(progress)
      guard let time = progress.time, time > 120_000_000_000 else { continue }
      // It is late by 2 ms in the mean, which cannot be known.
      let error = clock.frames(at: time) - teller.frames(at: time - 2_000_000)
      worst = max(worst, abs(error))
    }
    #expect(worst < 48, "within a millisecond all the time; it was \(worst) frames off")
    #expect(abs(clock.deviation - drift) < 20)
    #expect(clock.jumps == 0)
  }

  @Test func aPauseIsAJump() {
    var teller = Teller(rate: 48_000, drift: 0, block: 480, lateness: 0)
    var clock = DeviceClock(nominalRate: 48_000, start: 0)
    var last = DeviceProgress()
    for _ in 0..<1_000 {
      last = teller.next()
      clock.observe(last)
    }
    last.time? += 1_000_000_000
    last.frames += 480
    clock.observe(last)
    #expect(clock.jumps == 1)
    #expect(clock.frames(at: last.time ?? 0) == Double(last.frames))
  }

  @Test func byTheClockItselfFramesAreWhole() {
    let clock = DeviceClock(nominalRate: 44_100, start: 7, isExact: true)
    for block in [0, 1, 99, 100, 360_000_000] {
      #expect(clock.frames(at: 7 + Int64(block) * 10_000_000) == Double(block * 441))
    }
  }
}

@Suite struct ClockedReaderTests {
  /// A device that is off plays a tone; ten minutes later, too, the reference holds what came out just then.
  @Test(arguments: [400.0, -400]) func theReferenceStaysWithTheClock(drift: Double) {
    let (rate, seconds) = (16_000, 600)
    let actual = Double(rate) * (1 + drift / 1e6)
    var clock = DeviceClock(nominalRate: rate, start: 0)
    var reader = ClockedReader(from: rate, to: rate, block: 160, start: 0)
    var worst: Float = 0
    var count = 0
    for block in 1...seconds * 100 {
      // The device was given 10 ms of sound as it counts, and tells of it at the time at which it has played that.
      let sound = tone(200, rate: actual, frames: 160, from: Double((block - 1) * 160))
      sound.withUnsafeBufferPointer { reader.append($0) }
      let now = Int64(Double(block * 160) / actual * 1e9)
      clock.observe(DeviceProgress(frames: block * 160, time: now))
      while let time = reader.next(by: now, clock) {
        count += 1
        guard time > 60_000_000_000 else { continue }
        let expected = tone(200, rate: Double(rate), frames: 160, from: Double(time) / 1e9 * Double(rate))
        worst = max(worst, zip(reader.block, expected).map { abs($0 - $1) }.max() ?? 1)
      }
    }
    // 0.005 of a tone of 200 Hz and amplitude 0.5 is an eighth of a sample's time.
    #expect(worst < 0.005, "off by \(worst)")
    #expect(abs(count - seconds * 100) < 60)
    let expected = -drift * 1e-6 * Double(rate * seconds)
    #expect(abs(Double(reader.corrected) - expected) < 0.02 * abs(expected) + 20, "\(reader.corrected)")
  }
}

@Suite struct SoundRingTests {
  /// What the device plays is what was written, in order, whoever is late.
  @Test(arguments: [1, 2]) func everySampleGoesThroughOnce(channels: Int) async {
    let ring = Ring(frames: 1_000)
    let total = 200_000
    async let written: Void = Task.detached {
      var next = 1
      while next <= total {
        let block = (next..<min(next + 37, total + 1)).map { Float($0) }
        let count = block.withUnsafeBufferPointer { sound_ring_write(ring.pointer, $0.baseAddress, UInt32($0.count)) }
        next += Int(count)
        if count == 0 { await Task.yield() }
      }
    }.value
    var heard: [Float] = []
    var block = [Float](repeating: 0, count: 64 * channels)
    var missed: UInt64 = 0
    while heard.count < total {
      sound_ring_play(ring.pointer, &block, 64, UInt32(channels), false)
      let before = missed
      missed = sound_ring_progress(ring.pointer).missed
      let count = 64 - Int(missed - before)
      let frames = (0..<64).map { block[$0 * channels..<($0 + 1) * channels] }
      #expect(frames.allSatisfy { Set($0).count == 1 } && frames[count...].allSatisfy { $0.first == 0 })
      heard += frames[..<count].compactMap(\.first)
      if count == 0 { await Task.yield() }
    }
    await written
    #expect(heard == (1...total).map { Float($0) })
    let progress = sound_ring_progress(ring.pointer)
    #expect(progress.frames == UInt64(total) + missed)
    #expect(progress.largest == 64)
  }

  @Test func whatIsRecordedIsMixedAndCounted() {
    let ring = Ring(frames: 64)
    let block: [Float] = (0..<200).map { $0 % 2 == 0 ? 1 : 0.5 }
    sound_ring_record(ring.pointer, block, 50, 2, false)
    sound_ring_record(ring.pointer, block, 50, 2, true)
    sound_ring_record(ring.pointer, block, 50, 2, false)
    var progress = sound_ring_progress(ring.pointer)
    #expect((progress.frames, progress.missed, progress.gaps, progress.faults) == (150, 86, 1, 1))
    var heard = [Float](repeating: 0, count: 100)
    #expect(sound_ring_read(ring.pointer, &heard, 100) == 64)
    #expect(heard[..<64].allSatisfy { $0 == 0.75 })
    sound_ring_reset(ring.pointer)
    progress = sound_ring_progress(ring.pointer)
    #expect((progress.frames, progress.missed, progress.time) == (0, 0, 0))
    #expect(sound_ring_waiting(ring.pointer) == 0)
  }

  /// A ring for a test, gone when the test is.
  ///
  /// @unchecked: what it points to is made for one thread at either end.
  private final class Ring: @unchecked Sendable {
    let pointer: OpaquePointer
    init(frames: UInt32) { pointer = sound_ring_create(frames) }
    deinit { sound_ring_destroy(pointer) }
  }
}
