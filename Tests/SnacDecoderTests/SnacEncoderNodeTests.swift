import Dataflow
import DataflowTesting
import Messages
import SnacEncoder
import Testing

@Suite struct SnacEncoderNodeTests {
  let codec: Codec

  init() throws { codec = try Codec() }

  @Test(arguments: Carrier.allCases)
  func soundBecomesCodesAsItComes(over carrier: Carrier) async throws {
    let samples = try codec.golden("encoded.samples").map { $0 / 32768 }
    let expected = try Array(codec.frames("encoded").joined())
    try await withNode(SnacEncoderNode.self, parameters: Codec.parameters, over: carrier) { node in
      let session = try await node.beginSession("a")
      for size in [480, 5000] {
        let turn = try await node.beginTurn(in: session)
        for start in stride(from: 0, to: samples.count, by: size) {
          let piece = samples[start..<min(start + size, samples.count)]
          try await node.send(
            AudioChunk(samples: SharedBuffer(piece), rate: 24_000), to: "audio", turn: turn,
            time: 1_000_000 + Int64(start))
        }
        node.endTurn(turn)
        var (codes, frames) = ([Int32](), 0)
        reading: while let event = try await node.next() {
          switch event {
          case .message(_, let value as AudioCodes, _, let time):
            #expect(value.layers == 7 && value.size == 64)
            #expect(time == 1_000_000 + Int64(frames) * 2048 * 1_000_000_000 / 24_000)
            codes += value.codes
            frames += value.frames
          case .turnEnded: break reading
          default: break
          }
        }
        #expect(codes == expected)
      }
    }
  }

  @Test func aSessionWithoutTurnsIsEncodedToo() async throws {
    let samples = try codec.golden("encoded.samples").map { $0 / 32768 }
    try await withNode(SnacEncoderNode.self, parameters: Codec.parameters) { node in
      let session = try await node.beginSession("a")
      try await node.send(
        AudioChunk(samples: SharedBuffer(samples), rate: 24_000), to: "audio", turn: Turn(session, epoch: 0))
      node.endSession(session)
      var codes: [Int32] = []
      while let event = try await node.next() {
        if case .message(_, let value as AudioCodes, _, _) = event { codes += value.codes }
        if case .sessionEnded = event { break }
      }
      #expect(try codes == Array(codec.frames("encoded").joined()))
    }
  }

  @Test func soundOfAnotherRateFailsItsTurnAlone() async throws {
    try await withNode(SnacEncoderNode.self, parameters: Codec.parameters) { node in
      let session = try await node.beginSession("a")
      for rate in [16_000, 24_000] {
        let turn = try await node.beginTurn(in: session)
        let chunk = AudioChunk(samples: SharedBuffer([Float](repeating: 0.1, count: 3000)), rate: rate)
        try await node.send(chunk, to: "audio", turn: turn)
        node.endTurn(turn)
        let codes = try await node.turn(AudioCodes.self, from: "codes")
        #expect(codes.reduce(0) { $0 + $1.frames } == (rate == 24_000 ? 2 : 0))
      }
      while node.turns.isEmpty { await Task.yield() }
      #expect("\(node.turns[0])".contains("audio[channels=1, rate=16000] cannot be encoded"), "\(node.turns[0])")
    }
  }
}
