import Foundation
import Sound
import Testing

/// A tone of so many Hz and half of full scale.
func tone(_ frequency: Double, rate: Double, frames: Int, from first: Double = 0) -> [Float] {
  (0..<frames).map { Float(0.5 * sin(2 * Double.pi * frequency * (first + Double($0)) / rate)) }
}

private func distance(_ a: some Collection<Float>, _ b: some Collection<Float>) -> Float {
  zip(a, b).map { abs($0 - $1) }.max() ?? 1
}

extension SoundTrack {
  fileprivate mutating func append(_ samples: [Float]) { samples.withUnsafeBufferPointer { append($0) } }
}

@Suite struct SoundTrackTests {
  @Test func atItsOwnRateItGivesBackWhatItWasGiven() {
    let sound = (0..<1_000).map { Float(sin(Double($0 * $0))) }
    var track = SoundTrack(rate: 16_000, readAt: 16_000)
    track.append(sound)
    var out = [Float](repeating: 1, count: 1_020)
    track.read(into: &out, count: 1_020, from: -10, step: 1)
    #expect(Array(out[10..<1_010]) == sound)
    #expect(out[..<10].allSatisfy { $0 == 0 } && out[1_010...].allSatisfy { $0 == 0 }, "silence before and behind")
    #expect(track.covers(999) && !track.covers(1_000))
  }

  @Test(arguments: [(16_000, 48_000), (24_000, 16_000), (48_000, 16_000), (44_100, 16_000), (22_050, 44_100)])
  func aToneStaysWhatItIsAtAnotherRate(from rate: Int, to target: Int) {
    var track = SoundTrack(rate: rate, readAt: target)
    track.append(tone(440, rate: Double(rate), frames: rate))
    let count = target / 2
    var out = [Float](repeating: 0, count: count)
    track.read(into: &out, count: count, from: Double(rate) / 4, step: Double(rate) / Double(target))
    let expected = tone(440, rate: Double(target), frames: count, from: Double(target) / 4)
    #expect(distance(out, expected) < 0.001)
  }

  @Test func whatTheLowerRateCannotHoldIsTakenOut() {
    var track = SoundTrack(rate: 48_000, readAt: 16_000)
    track.append(tone(11_000, rate: 48_000, frames: 48_000))
    var out = [Float](repeating: 0, count: 8_000)
    track.read(into: &out, count: 8_000, from: 12_000, step: 3)
    #expect(out.allSatisfy { abs($0) < 0.001 }, "not folded down to 5 kHz")
  }

  @Test func placesBetweenFramesAreFound() {
    var track = SoundTrack(rate: 16_000, readAt: 16_000)
    track.append(tone(1_000, rate: 16_000, frames: 1_600))
    var out = [Float](repeating: 0, count: 1_000)
    track.read(into: &out, count: 1_000, from: 300.37, step: 1.0002)
    let expected = (0..<1_000).map {
      Float(0.5 * sin(2 * Double.pi * 1_000 * (300.37 + Double($0) * 1.0002) / 16_000))
    }
    #expect(distance(out, expected) < 0.0005)
  }

  @Test func whatIsForgottenIsNotMissed() {
    var (whole, short) = (SoundTrack(rate: 16_000, readAt: 16_000), SoundTrack(rate: 16_000, readAt: 16_000))
    var (a, b) = ([Float](repeating: 0, count: 160), [Float](repeating: 0, count: 160))
    for block in 0..<200 {
      let sound = tone(300, rate: 16_000, frames: 160, from: Double(block * 160))
      whole.append(sound)
      short.append(sound)
      let place = Double(block * 160) - 100.5
      whole.read(into: &a, count: 160, from: place, step: 1)
      short.read(into: &b, count: 160, from: place, step: 1)
      short.forget(before: place + 160)
      #expect(a == b)
    }
  }

  @Test(arguments: [(16_000, 16_000), (24_000, 16_000), (22_050, 48_000), (16_000, 44_100)])
  func aConverterGivesAsMuchAsItTakes(from rate: Int, to target: Int) {
    var converter = RateConverter(from: rate, to: target)
    var out: [Float] = []
    func length(_ block: Int, _ rate: Int) -> Int { (block + 1) * rate / 100 - block * rate / 100 }
    var taken = 0
    for block in 0..<100 {
      let sound = tone(440, rate: Double(rate), frames: length(block, rate), from: Double(taken))
      taken += sound.count
      sound.withUnsafeBufferPointer { converter.push($0) }
      var piece = [Float](repeating: 0, count: length(block, target))
      converter.pull(into: &piece, count: piece.count)
      out += piece
    }
    #expect(out.count == target)
    let expected = tone(440, rate: Double(target), frames: target - converter.delay)
    let skip = target / 10
    #expect(distance(out[(converter.delay + skip)...], expected[skip...]) < 0.001)
  }
}
