#if Flite
  import Dataflow
  import DataflowTesting
  import FliteSpeech
  import Messages
  import Testing

  @Suite struct FliteSpeechNodeTests {
    @Test func aSentenceIsSpokenBeforeTheNextIsWritten() async throws {
      try await withNode(FliteSpeechNode.self, parameters: ["voice": .string("kal16")]) { node in
        let session = try await node.beginSession("a")
        let turn = try await node.beginTurn(in: session)
        try await node.send(Text("Hello there. How "), to: "text", turn: turn)
        let first = try #require(try await node.next(AudioChunk.self, from: "audio"))
        #expect(first.rate == 16_000 && first.channels == 1 && first.rms >= 0)
        try await node.send(Text("are you?"), to: "text", turn: turn)
        node.endTurn(turn)
        let rest = try await node.turn(AudioChunk.self, from: "audio")
        #expect(rest.count > 5)
        #expect(rest.contains { $0.rms > 0.01 })
      }
    }

    @Test func timesStartAnewInEachTurn() async throws {
      try await withNode(FliteSpeechNode.self, parameters: ["voice": .string("kal16")]) { node in
        let session = try await node.beginSession("a")
        for _ in 0..<2 {
          let turn = try await node.beginTurn(in: session)
          try await node.send(Text("One. Two."), to: "text", turn: turn)
          node.endTurn(turn)
          var next: Int64 = 0
          reading: while let event = try await node.next() {
            switch event {
            case .message("audio", let value, _, let time):
              #expect(time == next, "no gap and no overlap, from 0 on")
              next += (value as? AudioChunk)?.duration ?? 0
            case .turnEnded("audio", _): break reading
            case .message, .turnEnded, .turnCut, .sessionEnded: break
            }
          }
          #expect(next > 500_000_000)
        }
      }
    }

    @Test func nothingSpeakableIsNoSound() async throws {
      try await withNode(FliteSpeechNode.self, parameters: ["voice": .string("kal16")]) { node in
        let session = try await node.beginSession("a")
        for text in ["", " \n ", "😀", "你好。", "***", "..."] {
          let turn = try await node.beginTurn(in: session)
          try await node.send(Text(text), to: "text", turn: turn)
          node.endTurn(turn)
          #expect(try await node.turn(AudioChunk.self, from: "audio").isEmpty)
        }
      }
    }

    @Test func anInterruptedTurnIsForgotten() async throws {
      try await withNode(FliteSpeechNode.self, parameters: ["voice": .string("kal16")]) { node in
        let session = try await node.beginSession("a")
        let turn = try await node.beginTurn(in: session)
        try await node.send(Text("This will not be said to its"), to: "text", turn: turn)
        node.interrupt(session)
        while node.turns.isEmpty { await Task.yield() }
        let next = try await node.beginTurn(in: session)
        node.endTurn(next)
        #expect(try await node.turn(AudioChunk.self, from: "audio").isEmpty)
      }
    }

    @Test func speedChangesTheLength() async throws {
      var lengths: [Int] = []
      for speed in [0.7, 1, 1.6] {
        try await withNode(
          FliteSpeechNode.self, parameters: ["voice": .string("kal16"), "speed": .double(speed)]
        ) { node in
          let session = try await node.beginSession("a")
          let turn = try await node.beginTurn(in: session)
          try await node.send(Text("A sentence of some length, said in a while."), to: "text", turn: turn)
          node.endTurn(turn)
          lengths.append(try await node.turn(AudioChunk.self, from: "audio").reduce(0) { $0 + $1.frames })
        }
      }
      #expect(lengths[0] > lengths[1] && lengths[1] > lengths[2])
    }
  }
#endif
