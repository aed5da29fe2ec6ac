import Foundation
import ModelKit
import Parity
import Testing

@Suite struct SnacTests {
  let goldens: SnacGoldens
  let decoder: SnacDecoder

  init() throws {
    goldens = try SnacGoldens()
    decoder = try SnacDecoder(goldens.model)
  }

  private func stream(_ frames: [Int32], atOnce count: Int, _ stream: SnacStream) throws -> [[Float]] {
    var pieces: [[Float]] = []
    for start in Swift.stride(from: 0, to: frames.count, by: 7 * count) {
      var samples: [Float] = []
      try decoder.push(frames[start..<min(frames.count, start + 7 * count)], to: stream, into: &samples)
      pieces.append(samples)
    }
    var samples: [Float] = []
    try decoder.finish(stream, into: &samples)
    return pieces + [samples]
  }

  // MARK: Parity with PyTorch

  @Test(arguments: ["random", "one", "answer"])
  func wholeAnswersAreThoseOfPyTorch(name: String) throws {
    let wave = try decoder.decode(goldens.frames(name))
    let error = relativeError(wave, try goldens.floats("\(name).wave"))
    #expect(error <= 1e-4)
  }

  @Test func withTheSameNoiseTheSoundIsThatOfPyTorch() throws {
    let noise = try (0..<4).map { try goldens.floats("noisy.noise.\($0)") }
    let (frames, expected) = (try goldens.frames("noisy"), try goldens.floats("noisy.wave"))
    let wave = try decoder.decode(frames, noise: .given(noise))
    #expect(relativeError(wave, expected) <= 1e-4)
    #expect(relativeError(try decoder.decode(frames), expected) > 0.01, "noise is heard")
  }

  @Test func theEncoderIsThatOfPyTorch() throws {
    let encoder = try SnacEncoder(goldens.model)
    let stream = SnacEncoderStream(goldens.model)
    var latents: [Float] = []
    stream.observe = { latents += $0 }
    let samples = try goldens.floats("encoded.samples").map { $0 / 32768 }
    var codes: [Int32] = []
    // In pieces of any length.
    for start in Swift.stride(from: 0, to: samples.count, by: 777) {
      try encoder.push(samples[start..<min(samples.count, start + 777)], to: stream, into: &codes)
    }
    #expect(codes.count > 0 && codes.count < 35, "frames come while sound does")
    try encoder.finish(stream, into: &codes)
    #expect(try codes == goldens.frames("encoded"))
    #expect(relativeError(latents, try goldens.rows("encoded.latent")) <= 1e-4)
    // The stream is as new, and the whole at once is the same.
    var again: [Int32] = []
    try encoder.push(samples, to: stream, into: &again)
    try encoder.finish(stream, into: &again)
    #expect(again == codes)
    #expect(try encoder.encode(samples) == codes)
    #expect(try encoder.encode([Float]()).isEmpty)
    #expect(try encoder.encode([Float](repeating: 0, count: 2049)).count == 14)
  }

  // MARK: Streaming

  @Test func aStreamIsTheWholeWithAConstantDelay() throws {
    let frames = try goldens.frames("random")
    let expected = try goldens.floats("random.wave")
    let whole = try SnacDecoder(goldens.model, framesAtOnce: 100).decode(frames)
    let delay = goldens.model.configuration.decoderDelay
    #expect(delay == 4757)
    for count in [1, 2, 3, 11] {
      let pieces = try stream(frames, atOnce: count, SnacStream(goldens.model))
      var given = 0
      for (index, piece) in pieces.dropLast().enumerated() {
        given += piece.count
        #expect(given == max(0, min(11, (index + 1) * count) * 2048 - delay))
      }
      let joined = Array(pieces.joined())
      #expect(joined == whole, "\(count) frames at a time, bit by bit")
      #expect(relativeError(joined, expected) <= 1e-4)
    }
  }

  @Test func answersOfAnyLengthEndWhole() throws {
    let frames = try goldens.frames("random")
    let one = SnacStream(goldens.model)
    for count in 1...6 {
      let part = Array(frames[..<(7 * count)])
      let pieces = try stream(part, atOnce: 1, one)
      #expect(try pieces.joined().elementsEqual(decoder.decode(part)))
      #expect(pieces.joined().count == 2048 * count)
    }
    #expect(try stream([], atOnce: 1, one).joined().isEmpty)
  }

  @Test func streamsOfOneDecoderDoNotMix() throws {
    let (first, second) = (try goldens.frames("random"), try goldens.frames("answer"))
    let streams = [SnacStream(goldens.model), SnacStream(goldens.model, noise: .seeded(3))]
    var samples: [[Float]] = [[], []]
    for frame in 0..<11 {
      for (index, frames) in [first, second].enumerated() {
        try decoder.push(frames[(7 * frame)..<(7 * frame + 7)], to: streams[index], into: &samples[index])
      }
    }
    for index in 0..<2 { try decoder.finish(streams[index], into: &samples[index]) }
    #expect(try samples[0] == decoder.decode(first))
    #expect(try samples[1] == decoder.decode(second[..<77], noise: .seeded(3)))
  }

  @Test func seededNoiseIsRepeatable() throws {
    let frames = try goldens.frames("random")
    let quiet = try decoder.decode(frames)
    let one = try decoder.decode(frames, noise: .seeded(1))
    #expect(try Array(stream(frames, atOnce: 3, SnacStream(goldens.model, noise: .seeded(1))).joined()) == one)
    #expect(try decoder.decode(frames, noise: .seeded(2)) != one)
    #expect(try decoder.decode(frames, noise: .seeded(1, level: 0)) == quiet)
    let differences = try [0.25, 1].map {
      relativeError(try decoder.decode(frames, noise: .seeded(1, level: $0)), quiet)
    }
    #expect(differences[0] > 1e-3 && differences[1] > 2 * differences[0])
  }

  @Test(arguments: [1, 2, 4])
  func earlySoundFadesIntoTheExactSignal(early: Int) throws {
    let frames = try goldens.frames("random")
    let exact = try decoder.decode(frames)
    let hop = goldens.model.configuration.hop
    let one = SnacStream(goldens.model, early: early)
    for count in [11, early, 1] {
      let part = Array(frames[..<(7 * count)])
      let pieces = try stream(part, atOnce: 1, one)
      #expect(pieces[0].count == 2048 - hop, "heard with the first frame")
      let joined = Array(pieces.joined())
      #expect(joined.count == 2048 * count)
      if count == 11 {
        let seam = early * 2048 - hop
        #expect(joined[(seam + hop)...] == exact[(seam + hop)...], "exact from the seam on")
        // No step at the seam that the signal itself does not have.
        let steps = zip(joined, joined.dropFirst()).map { abs($0 - $1) }
        let most = zip(exact, exact.dropFirst()).map { abs($0 - $1) }.max() ?? 0
        #expect((steps.max() ?? .infinity) < 1.5 * most)
      }
    }
  }

  // MARK: Wrong input

  @Test(arguments: [-1, 64, 4096, Int32.max, Int32.min])
  func codesOutsideTheCodebookAreRefused(code: Int32) throws {
    var frames = try goldens.frames("random")
    let stream = SnacStream(goldens.model)
    var samples: [Float] = []
    try decoder.push(frames[..<35], to: stream, into: &samples)
    var wrong = frames
    wrong[38] = code
    #expect(throws: ModelInputError.codeOutOfRange(code, frame: 0, layer: 3, codebook: 64)) {
      try decoder.push(wrong[35...], to: stream, into: &samples)
    }
    #expect(throws: ModelInputError.self) { try decoder.push(frames[35..<41], to: stream, into: &samples) }
    // What was refused has left no trace.
    try decoder.push(frames[35...], to: stream, into: &samples)
    try decoder.finish(stream, into: &samples)
    #expect(try samples == decoder.decode(frames))
    frames.removeLast()
    #expect(throws: ModelInputError.self) { try decoder.decode(frames) }
  }

  @Test func aStreamOfAnotherModelIsRefused() throws {
    let other = try SnacModel(directory: SnacGoldens.modelFolder)
    var samples: [Float] = []
    #expect(throws: ModelInputError.foreign("stream")) {
      try decoder.push([Int32](repeating: 0, count: 7), to: SnacStream(other), into: &samples)
    }
  }
}
