import Dataflow
import DataflowTesting
import Messages
import ModelKit
import SnacDecoder
import Testing

@Suite struct SnacDecoderNodeTests {
  let codec: Codec

  init() throws { codec = try Codec() }

  private func parameters(_ more: [String: Dataflow.ParameterValue] = [:]) -> [String: Dataflow.ParameterValue] {
    Codec.parameters.merging(more) { $1 }
  }

  private func samples(_ chunks: [AudioChunk]) -> [Float] { chunks.flatMap { Array($0.samples) } }

  @Test(arguments: Carrier.allCases)
  func anAnswerIsDecodedAsItComes(over carrier: Carrier) async throws {
    let frames = try codec.frames("random")
    let expected = try codec.golden("random.wave")
    let most = expected.map(abs).max() ?? 0
    try await withNode(SnacDecoderNode.self, parameters: parameters(["noise": .double(0)]), over: carrier) { node in
      let session = try await node.beginSession("a")
      for size in [1, 4] {
        let turn = try await node.beginTurn(in: session)
        // The first sound comes with the third frame, before the answer is complete.
        try await node.send(codec.message(frames[..<3]), to: "codes", turn: turn)
        let first = try #require(try await node.next(AudioChunk.self, from: "audio"))
        #expect(first.rate == 24_000 && first.channels == 1 && first.frames == 3 * 2048 - 4757)
        for start in stride(from: 3, to: frames.count, by: size) {
          let message = codec.message(frames[start..<min(start + size, frames.count)])
          try await node.send(message, to: "codes", turn: turn)
        }
        node.endTurn(turn)
        let wave = try await samples([first] + node.turn(AudioChunk.self, from: "audio"))
        #expect(wave.count == expected.count)
        #expect(zip(wave, expected).allSatisfy { abs($0 - $1) <= 1e-4 * most })
        #expect(try wave == codec.decoder.decode(Array(frames.joined())))
      }
    }
  }

  @Test func timesAreThoseOfTheSamples() async throws {
    try await withNode(SnacDecoderNode.self, parameters: parameters(["early": .int(1)])) { node in
      let session = try await node.beginSession("a")
      for _ in 0..<2 {
        let turn = try await node.beginTurn(in: session)
        for frame in try codec.frames("random") {
          try await node.send(codec.message([frame]), to: "codes", turn: turn, time: 77)
        }
        node.endTurn(turn)
        var position = 0
        reading: while let event = try await node.next() {
          switch event {
          case .message(_, let value, _, let time):
            #expect(time == Int64(position) * 1_000_000_000 / 24_000)
            if position == 0 { #expect((value as? AudioChunk)?.frames == 2048 - 512, "early") }
            position += (value as? AudioChunk)?.frames ?? 0
          case .turnEnded: break reading
          case .turnCut, .sessionEnded: break
          }
        }
        #expect(position == 11 * 2048)
      }
    }
  }

  @Test func noiseFollowsFromTheSeedAndTheTurn() async throws {
    let frames = try codec.frames("answer")
    func waves(_ more: [String: Dataflow.ParameterValue], size: Int, over carrier: Carrier) async throws -> [[Float]] {
      var waves: [[Float]] = []
      try await withNode(SnacDecoderNode.self, parameters: parameters(more), over: carrier, seed: 5) { node in
        let session = try await node.beginSession("a")
        for _ in 0..<2 {
          let turn = try await node.beginTurn(in: session)
          for start in stride(from: 0, to: frames.count, by: size) {
            let message = codec.message(frames[start..<min(start + size, frames.count)])
            try await node.send(message, to: "codes", turn: turn)
          }
          node.endTurn(turn)
          waves.append(try await samples(node.turn(AudioChunk.self, from: "audio")))
        }
      }
      return waves
    }
    let one = try await waves([:], size: 1, over: .direct)
    #expect(one[0] != one[1], "each turn has noise of its own")
    #expect(try await waves([:], size: 4, over: .ipc) == one, "the same bytes, however they travel")
    #expect(try await waves(["seed": .int(9)], size: 1, over: .direct) != one)
    let quiet = try codec.decoder.decode(Array(frames.joined()))
    #expect(one[0] != quiet)
    #expect(try await waves(["noise": .int(0)], size: 3, over: .direct) == [quiet, quiet])
  }

  @Test(arguments: Carrier.allCases)
  func anInterruptedTurnFallsSilentAndTheNextIsWhole(over carrier: Carrier) async throws {
    let frames = try codec.frames("random")
    try await withNode(SnacDecoderNode.self, parameters: parameters(["noise": .int(0)]), over: carrier) { node in
      let session = try await node.beginSession("a")
      let turn = try await node.beginTurn(in: session)
      try await node.send(codec.message(frames[..<5]), to: "codes", turn: turn)
      #expect(try await node.next(AudioChunk.self, from: "audio") != nil)
      node.interrupt(session)
      while node.turns.isEmpty { await Task.yield() }
      // Nothing of it is left in the next.
      let next = try await node.beginTurn(in: session)
      try await node.send(codec.message(frames[5...]), to: "codes", turn: next)
      node.endTurn(next)
      var wave: [Float] = []
      reading: while let event = try await node.next() {
        switch event {
        case .message(_, let value, let from, _) where from == next:
          wave += (value as? AudioChunk).map { Array($0.samples) } ?? []
        case .turnEnded(_, let ended) where ended == next: break reading
        default: break
        }
      }
      #expect(try wave == codec.decoder.decode(Array(frames[5...].joined())))
    }
  }

  @Test func sessionsKeepTheirStateApart() async throws {
    let all = try [codec.frames("random"), Array(codec.frames("answer")[..<11])]
    try await withNode(SnacDecoderNode.self, parameters: parameters(["noise": .int(0)])) { node in
      var turns: [Turn] = []
      for name in ["a", "b"] { turns.append(try await node.beginTurn(in: node.beginSession(name))) }
      for frame in 0..<11 {
        for index in 0..<2 {
          try await node.send(codec.message([all[index][frame]]), to: "codes", turn: turns[index])
        }
      }
      for turn in turns { node.endTurn(turn) }
      var (waves, open) = ([Turn: [Float]](), 2)
      while open > 0, let event = try await node.next() {
        switch event {
        case .message(_, let value, let turn, _):
          waves[turn, default: []] += (value as? AudioChunk).map { Array($0.samples) } ?? []
        case .turnEnded: open -= 1
        default: break
        }
      }
      for index in 0..<2 {
        #expect(try waves[turns[index]] == codec.decoder.decode(Array(all[index].joined())))
      }
    }
  }

  @Test(arguments: Carrier.allCases)
  func codesThatAreNoneFailTheirTurnAlone(over carrier: Carrier) async throws {
    let frames = try codec.frames("random")
    let garbage = [
      codec.message([[1, 2, 3, 64, 5, 6, 7]]), codec.message([[-1, 2, 3, 4, 5, 6, 7]]),
      AudioCodes(codes: SharedBuffer<Int32>([1, 2, 3]), layers: 3, size: 64),
      AudioCodes(codes: SharedBuffer<Int32>(0..<7), layers: 7, size: 4096),
    ]
    try await withNode(SnacDecoderNode.self, parameters: parameters(["noise": .int(0)]), over: carrier) { node in
      let session = try await node.beginSession("a")
      for message in garbage {
        let turn = try await node.beginTurn(in: session)
        try await node.send(codec.message(frames[..<2]), to: "codes", turn: turn)
        try await node.send(message, to: "codes", turn: turn)
        try await node.send(codec.message(frames), to: "codes", turn: turn)
        node.endTurn(turn)
        #expect(try await node.turn(AudioChunk.self, from: "audio").isEmpty)
      }
      let turn = try await node.beginTurn(in: session)
      try await node.send(codec.message(frames), to: "codes", turn: turn)
      node.endTurn(turn)
      let wave = try await samples(node.turn(AudioChunk.self, from: "audio"))
      #expect(try wave == codec.decoder.decode(Array(frames.joined())))
      while node.turns.count < garbage.count { await Task.yield() }
      let reasons = node.turns.prefix(garbage.count).map { "\($0)" }
      #expect(reasons[0].contains("code 64 of layer 3 in frame 0 is outside the codebook of 64"), "\(reasons[0])")
      #expect(reasons[1].contains("code -1 of layer 0"))
      #expect(reasons[2].contains("codes[layers=3, size=64] cannot be decoded"))
      #expect(reasons[3].contains("takes codes[layers=7, size=64]"))
    }
  }

  @Test func aTurnWithoutCodesIsSilent() async throws {
    try await withNode(SnacDecoderNode.self, parameters: parameters()) { node in
      let session = try await node.beginSession("a")
      let turn = try await node.beginTurn(in: session)
      try await node.send(codec.message([]), to: "codes", turn: turn)
      node.endTurn(turn)
      #expect(try await node.turn(AudioChunk.self, from: "audio").isEmpty)
    }
  }

  @Test func itsTypesAreReadFromTheModel() {
    let manifest = SnacDecoderNode.manifest(reading: ParameterReader(parameters())).manifest
    #expect(manifest.inputs.map(\.knownType) == [.codes(layers: 7, size: 64)])
    #expect(manifest.outputs.map(\.knownType) == [.audio(rate: 24_000, channels: 1)])
    let missing = SnacDecoderNode.manifest(reading: ParameterReader(["model": .string("./nowhere")])).manifest
    #expect(missing.inputs.map(\.knownType) == [.codes()])
  }
}
