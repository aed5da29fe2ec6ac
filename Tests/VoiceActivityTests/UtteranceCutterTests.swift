import ModelKit
import Testing
import VoiceActivity

/// Sound made of pieces: each so many milliseconds of a level in dBFS.
private func sound(_ pieces: [(milliseconds: Int, level: Double)], offset: Float = 0) -> [Float] {
  var random: UInt64 = 0x9e37_79b9_7f4a_7c15
  return pieces.flatMap { piece in
    (0..<piece.milliseconds * 16).map { _ in
      random ^= random << 13
      random ^= random >> 7
      random ^= random << 17
      // Uniform noise of amplitude a has an RMS of a / √3.
      let unit = Float(Int64(bitPattern: random) >> 40) / Float(1 << 23)
      var amplitude: Float = 1.732
      for _ in 0..<Int(-piece.level / 10) { amplitude *= 0.316_228 }
      return offset + unit * amplitude
    }
  }
}

private struct Utterance: Equatable {
  var start = -1
  var samples: [Float] = []
  var milliseconds: Int { samples.count / 16 }
}

/// Cuts a sound that comes in chunks of so many samples.
private func utterances(
  _ samples: [Float], chunk: Int = 320, _ change: (inout UtteranceCutter.Settings) -> Void = { _ in }
) -> [Utterance] {
  var settings = UtteranceCutter.Settings()
  change(&settings)
  var cutter = UtteranceCutter(settings, rate: 16_000, judge: SpeechLevel(rate: 16_000))
  var cuts: [UtteranceCutter.Cut] = []
  var start = 0
  while start < samples.count {
    cuts += cutter.feed(samples[start..<min(start + chunk, samples.count)])
    start += chunk
  }
  cuts += cutter.finish()

  var all: [Utterance] = []
  var open: Utterance?
  for cut in cuts {
    switch cut {
    case .begin:
      #expect(open == nil)
      open = Utterance()
    case .audio(let samples, let position):
      if open?.start == -1 { open?.start = position }
      #expect(open.map { $0.start + $0.samples.count } == position, "a hole in the utterance")
      open?.samples += samples
    case .pause: #expect(open != nil)
    case .end:
      #expect(open != nil)
      if let utterance = open { all.append(utterance) }
      open = nil
    }
  }
  #expect(open == nil, "an utterance is left open")
  return all
}

@Suite struct UtteranceCutterTests {
  @Test func speechBetweenSilencesIsOneUtterance() {
    let found = utterances(sound([(1_000, -80), (1_200, -20), (1_500, -80)]))
    #expect(found.count == 1)
    #expect((600...1_000).contains((found.first?.start ?? 0) / 16), "the pre-roll comes before the speech")
    #expect((1_700...1_900).contains(found.first?.milliseconds ?? 0))
    let whole = utterances(sound([(1_000, -80), (1_200, -20), (1_500, -80)])) { $0.tail = 700 }
    #expect((2_000...2_400).contains(whole.first?.milliseconds ?? 0))
  }

  @Test func aPauseIsToldBeforeTheEndAndTakenBackBySpeech() {
    var cutter = UtteranceCutter(.init(), rate: 16_000, judge: SpeechLevel(rate: 16_000))
    let speech = sound([(1_000, -20), (400, -80)])
    let first = cutter.feed(speech)
    #expect(first.last == .pause)
    let second = cutter.feed(speech)
    guard case .audio(let held, let start)? = second.first else {
      Issue.record("what was held back does not come")
      return
    }
    #expect(held.count > 320)
    #expect(start + held.count <= speech.count + 320, "with the first of the new speech, and no hole")
    #expect(second.last == .pause)
    let third = cutter.feed([Float](repeating: 0, count: 16_000))
    #expect(third == [.end], "what was quiet beyond the tail is no part of it")
  }

  @Test func theEndOfTheStreamCutsAsSilenceDoes() {
    let silence = [Float](repeating: 0, count: 16_000)
    let speech = sound([(1_000, -20)])
    #expect(utterances(speech + silence) == utterances(speech + silence.prefix(9_600)))
  }

  @Test func aPauseDividesAndAShortOneDoesNot() {
    #expect(utterances(sound([(900, -20), (400, -80), (900, -20), (900, -80)])).count == 1)
    #expect(utterances(sound([(900, -20), (1_000, -80), (900, -20), (900, -80)])).count == 2)
  }

  @Test func speechMayFillTheWholeStream() {
    let all = sound([(800, -20)])
    #expect(utterances(all).map(\.samples) == [all])
  }

  @Test func silenceAndClicksAreNothing() {
    #expect(utterances([]).isEmpty)
    #expect(utterances([Float](repeating: 0, count: 48_000)).isEmpty)
    #expect(utterances([Float](repeating: 0.4, count: 48_000)).isEmpty, "an offset is no sound")
    #expect(utterances(sound([(500, -80), (40, -10), (500, -80), (40, -10), (500, -80)])).isEmpty)
  }

  @Test(arguments: [-10.0, -30, -50]) func theLevelDoesNotMatter(level: Double) {
    let found = utterances(sound([(1_000, level - 30), (1_200, level), (1_500, level - 30)]))
    #expect(found.count == 1)
  }

  @Test func steadyNoiseIsLearned() {
    let found = utterances(sound([(8_000, -40), (1_000, -10), (2_000, -40)]))
    #expect(found.last.map { (7_500...8_000).contains($0.start / 16) } == true)
    #expect(found.count <= 2, "at most the start of the noise is taken for speech")
  }

  @Test func theCutDoesNotDependOnTheChunks() {
    let all = sound([(300, -70), (700, -20), (900, -70), (500, -25), (2_000, -70)])
    let whole = utterances(all, chunk: all.count)
    #expect(whole.count == 2)
    for chunk in [1, 7, 160, 320, 1_000] { #expect(utterances(all, chunk: chunk) == whole) }
  }

  @Test func aLongUtteranceIsCutWhereItIsQuietest() {
    let all = sound([(3_500, -20), (120, -40), (3_000, -20), (1_000, -80)])
    let found = utterances(all) { $0.longest = 4 }
    #expect(found.count == 2)
    #expect((3_480...3_640).contains(found.first?.milliseconds ?? 0))
    #expect(found.first.map { $0.start + $0.samples.count } == found.last?.start, "nothing is lost in between")
  }

  @Test func noUtteranceIsLongerThanItMayBe() {
    // Syllables: without gaps it would be noise.
    let found = utterances(sound((0..<80).flatMap { _ in [(300, -20), (80, -60)] })) { $0.longest = 4 }
    #expect(found.allSatisfy { $0.milliseconds <= 4_000 })
    #expect(found.count >= 7)
  }

  @Test func afterAnInterruptionSpeechBeginsAnew() {
    var cutter = UtteranceCutter(.init(), rate: 16_000, judge: SpeechLevel(rate: 16_000))
    let speech = sound([(1_000, -20)])
    #expect(cutter.feed(speech).first == .begin)
    cutter.abandon()
    #expect(cutter.feed(speech).first == .begin)
    #expect(cutter.finish().last == .end)
  }

  @Test func samplesThatAreNotNumbersAreSilence() {
    #expect(utterances([Float](repeating: .nan, count: 32_000)).isEmpty)
    #expect(utterances([Float](repeating: .infinity, count: 32_000)).isEmpty)
  }
}
