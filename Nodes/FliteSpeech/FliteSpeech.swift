#if Flite
  public import Dataflow
  public import Messages

  /// Speaks text, each sentence as soon as it is complete, while what follows is still being written.
  public struct FliteSpeechNode: Node {
    public static let kind = "flite-speech"
    public static let summary = "Speaks English text with flite, sentence by sentence."

    public enum Voice: String, CaseIterable, Sendable {
      case slt, rms, kal16
    }

    /// What graph files set; `antiphon nodes` tells of each.
    public struct Parameters: NodeParameters {
      public let voice: Voice
      public let speed: Double
      public init(_ read: inout ParameterReader) {
        voice = read(
          "voice", default: .rms,
          help: "rms: male, the easiest to understand; slt: female; kal16: male, small and quick to compute.")
        speed = read("speed", default: 1, in: 0.5...3, help: "How fast it speaks; 2 is twice as fast.")
      }
    }

    /// What graph files connect; `antiphon nodes` tells of each.
    public struct Ports: PortSet {
      public let text: Input<Text>
      public let audio: Output<AudioChunk>
      public let said: Output<Said>
      public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
        text = bind.input("text", help: "Pieces of text; a sentence may come in any number of them.")
        audio = bind.output(
          "audio", type: .audio(rate: Flite.rate, channels: 1),
          help: "Speech in chunks of 100 ms; its time starts at 0 in each turn.")
        said = bind.output("said", help: "The words, each with the time by which it will have been heard.")
      }
    }

    public static var libraries: [Library] { [Library("flite", version: Flite.version)] }

    /// What is known of a turn.
    private struct Speech {
      var sentences = SentenceSplitter()
      /// Frames sent.
      var position = 0
    }

    private let parameters: Parameters
    private let context: NodeContext
    private var turns: [Turn: Speech] = [:]

    public init(_ parameters: Parameters, _ context: NodeContext) throws {
      self.parameters = parameters
      self.context = context
      // The voice's tables are read in here, not in the first answer.
      _ = try Flite.speak("ready", voice: parameters.voice.rawValue, speed: parameters.speed)
    }

    public mutating func run(_ ports: Ports) async throws {
      for try await event in ports.text.events {
        switch event {
        case .message(let piece):
          let sentences = turns[piece.turn, default: Speech()].sentences.append(piece.value.string)
          for sentence in sentences { try await speak(sentence, in: piece.turn, trace: piece.stamp.trace, ports) }
        case .turnEnded(let turn):
          if var speech = turns[turn], let sentence = speech.sentences.finish() {
            turns[turn] = speech
            try await speak(sentence, in: turn, trace: nil, ports)
          }
          turns[turn] = nil
        case .turnCut(let cut):
          turns = turns.filter { $0.key.session != cut.session || $0.key.epoch > cut.epoch }
        case .sessionEnded(let session): turns = turns.filter { $0.key.session != session }
        case .sessionBegan: break
        }
      }
    }

    private mutating func speak(
      _ sentence: String, in turn: Turn, trace: UInt64?, _ ports: Ports
    ) async throws {
      let text = SpokenText.normalized(sentence)
      guard !turn.isCut, text.contains(where: { $0.isLetter || $0.isNumber }) else { return }
      let spoken = try Flite.speak(text, voice: parameters.voice.rawValue, speed: parameters.speed)
      let (samples, first) = (spoken.samples, turns[turn, default: Speech()].position)
      // Sentences are apart by a space, which nobody hears.
      let said = spoken.words.enumerated().map { index, word in
        SaidText(first > 0 && index == 0 ? " " + word.text : word.text, end: Self.time(first + word.end))
      }
      context.said(said, of: turn)
      try await ports.said.send(Said(said), turn: turn, trace: trace)
      var start = 0
      while start < samples.count, !turn.isCut {
        let end = min(start + Flite.rate / 10, samples.count)
        let position = turns[turn, default: Speech()].position
        let chunk = AudioChunk(samples: SharedBuffer(samples[start..<end]), rate: Flite.rate)
        try await ports.audio.send(chunk, turn: turn, time: Self.time(position), trace: trace)
        turns[turn, default: Speech()].position = position + end - start
        start = end
      }
    }

    /// Nanoseconds of so many frames.
    private static func time(_ frames: Int) -> Int64 { Int64(frames) * 1_000_000_000 / Int64(Flite.rate) }
  }
#endif
