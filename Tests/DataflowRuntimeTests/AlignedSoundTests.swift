import Dataflow
import Messages
import Testing

@Suite struct AlignedSoundTests {
  private func read(_ sound: AlignedSound, at position: Int, _ count: Int) -> (samples: [Float], missing: Int) {
    var samples = [Float](repeating: 9, count: count)
    let missing = samples.withUnsafeMutableBufferPointer { sound.read(at: position, into: $0) }
    return (samples, missing)
  }

  private func chunk(_ samples: [Float], at time: Int64, rate: Int = 1_000) -> Received<AudioChunk> {
    Received(
      AudioChunk(samples: SharedBuffer(samples), rate: rate), turn: Turn(WireVector.session, epoch: 0),
      stamp: Stamp(time: time))
  }

  @Test func whatWasWrittenIsReadWhereItsStampsSay() {
    var sound = AlignedSound(rate: 1_000, seconds: 1)
    #expect(!sound.hasBegun)
    sound.write(chunk([1, 2, 3], at: 100_000_000))
    sound.write(chunk([4, 5], at: 103_000_000))
    #expect(read(sound, at: 99, 7).samples == [0, 1, 2, 3, 4, 5, 0])
    #expect(read(sound, at: 99, 7).missing == 1, "before its beginning there was silence")
    #expect((sound.written, sound.gaps, sound.late) == (5, 0, 0))
    #expect(read(sound, at: -3, 2) == ([0, 0], 0))
  }

  @Test func holesAreSilenceAndCounted() {
    var sound = AlignedSound(rate: 1_000, seconds: 1)
    sound.write([1, 1], at: 10)
    sound.write([2, 2], at: 16)
    #expect(read(sound, at: 10, 8) == ([1, 1, 0, 0, 0, 0, 2, 2], 0))
    #expect(sound.gaps == 4)
  }

  @Test func aStampThatIsRoundedMakesNoHole() {
    var sound = AlignedSound(rate: 1_000, seconds: 1)
    sound.write([1, 1], at: 10)
    sound.write([2, 2], at: 13)
    sound.write([3, 3], at: 13)
    #expect(read(sound, at: 10, 6) == ([1, 1, 2, 2, 3, 3], 0))
    #expect((sound.gaps, sound.late) == (0, 0))
  }

  @Test func whatComesAgainOrTooLateIsLeftOut() {
    var sound = AlignedSound(rate: 1_000, seconds: 1)
    sound.write([1, 1, 1, 1, 1, 1], at: 10)
    sound.write([2, 2, 2, 2, 2, 2], at: 12)
    #expect(read(sound, at: 10, 8) == ([1, 1, 1, 1, 1, 1, 2, 2], 0))
    #expect(sound.late == 4)
  }

  @Test func onlyTheLastSecondsAreHeld() {
    var sound = AlignedSound(rate: 10, seconds: 1)
    sound.write((0..<25).map { Float($0) }, at: 100)
    #expect(read(sound, at: 113, 3) == ([0, 0, 15], 2))
    #expect(read(sound, at: 124, 2) == ([24, 0], 1))
    sound.write([7], at: 1_000)
    #expect(read(sound, at: 990, 11).samples == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7])
    #expect(read(sound, at: 124, 1).missing == 1)
  }

  @Test func positionsAreThoseOfTheNearestSample() {
    let sound = AlignedSound(rate: 16_000, seconds: 1)
    for (time, position) in [(0, 0), (62_500, 1), (62_499, 1), (31_249, 0), (-62_500, -1), (-30_000_000, -480)] {
      #expect(sound.position(of: Int64(time)) == position, "\(time) ns")
    }
  }

  @Test func noStampAndNoSampleDoesHarm() {
    var sound = AlignedSound(rate: 16_000, seconds: 1)
    for time in [Int64.min, -1, 0, 1 << 40, .max] { sound.write(chunk([.nan, .infinity, 1], at: time)) }
    #expect(read(sound, at: sound.position(of: 1 << 60), 4).samples.allSatisfy { $0.isFinite })
    #expect(sound.written == 15)
  }

  @Test func samplesLieWhereTheLastStampSays() {
    var clock = SampleClock(rate: 16_000)
    #expect(clock.take(chunk([Float](repeating: 0, count: 320), at: 0)) == 0)
    #expect(clock.time(of: 320) == 20_000_000)
    // A device whose clock goes differently.
    #expect(clock.take(chunk([Float](repeating: 0, count: 320), at: 20_004_000)) == 320)
    #expect(clock.time(of: 640) == 40_004_000)
    #expect(clock.time(of: 16_000 * 3_600 * 24 * 30) == 3_600 * 24 * 30 * 1_000_000_000 + 4_000)
    #expect(clock.position == 640)
  }
}
