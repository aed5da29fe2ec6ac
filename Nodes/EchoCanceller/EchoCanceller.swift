#if EchoCancelling
  public import Dataflow
  public import Messages

  /// Takes out of a microphone's sound what a loudspeaker played, so that an assistant does not hear itself.
  ///
  /// The two streams are laid side by side by session time. It never waits for what was played: where that is not there,
  /// nothing is taken out.
  public struct EchoCancellerNode: Node {
    public static let kind = "echo-canceller"
    public static let summary = "Takes out of a microphone's sound what a loudspeaker plays (libspeexdsp)."
    public static var libraries: [Library] { [SpeexEcho.library] }

    /// What graph files set; `antiphon nodes` tells of each.
    public struct Parameters: NodeParameters {
      let tail: Int
      let delay: Int
      let suppress: Bool

      public init(_ read: inout ParameterReader) {
        tail = read(
          "tail", default: 200, in: 20...1_000, unit: "ms",
          help: "How long an echo lasts behind the delay; what reaches further stays. Longer is slower to learn.")
        delay = read(
          "delay", default: 20, in: 0...1_000, unit: "ms",
          help: """
            What an echo takes at least from loudspeaker to microphone. What was played has so long to get here: below 20 ms \
            it may come too late.
            """)
        suppress = read(
          "suppress", default: true,
          help: """
            Whether to make quieter what the filter leaves of the echo. It delays the sound by 10 ms, and what is said \
            meanwhile suffers a little.
            """)
      }
    }

    /// What graph files connect; `antiphon nodes` tells of each.
    public struct Ports: PortSet {
      public let audio: Input<AudioChunk>
      public let reference: Input<AudioChunk>
      public let clean: Output<AudioChunk>
      public let meter: Output<Control>
      public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
        let type = PortType.audio(rate: SpeexEcho.rate, channels: 1)
        audio = bind.input("audio", type: type, help: "What the microphone hears, from the session's start.")
        reference = bind.input(
          "reference", type: type, help: "What the loudspeaker plays, stamped with when; a feedback edge brings it.")
        clean = bind.output("audio", type: type, help: "What the microphone hears, without the loudspeaker.")
        meter = bind.output(
          "meter",
          help: "'erle', the echo return loss enhancement in dB, for each second in which the loudspeaker sounded.")
      }
    }

    private let parameters: Parameters
    private let context: NodeContext
    private var tracks: [Session: EchoTrack] = [:]

    public init(_ parameters: Parameters, _ context: NodeContext) throws {
      self.parameters = parameters
      self.context = context
    }

    public mutating func run(_ ports: Ports) async throws {
      for try await arrival in arrivals(on: ports.audio, ports.reference) {
        if let event = try ports.audio.event(of: arrival) {
          switch event {
          case .message(let chunk):
            let track = try tracks[chunk.session] ?? newTrack(chunk.session)
            let clean = track.hear(chunk)
            try await send(clean, of: track, chunk.turn, ports)
          case .sessionEnded(let session):
            guard let track = tracks.removeValue(forKey: session) else { continue }
            try await send(track.finish(), of: track, Turn(session, epoch: 0), ports)
            context.log("session \(session.name): \(track.report)")
          case .sessionBegan(let session): _ = try newTrack(session)
          case .turnEnded, .turnCut: break
          }
        } else if case .message(let chunk)? = try ports.reference.event(of: arrival) {
          // Of a session that is over nothing more is heard.
          tracks[chunk.session]?.reference.write(chunk)
        }
      }
    }

    private mutating func newTrack(_ session: Session) throws -> EchoTrack {
      let perMillisecond = SpeexEcho.rate / 1_000
      let track = EchoTrack(
        try SpeexEcho(tail: parameters.tail * perMillisecond, suppresses: parameters.suppress),
        delay: Int64(parameters.delay) * 1_000_000, latency: parameters.suppress ? SpeexEcho.frame : 0)
      tracks[session] = track
      return track
    }

    private func send(_ clean: EchoTrack.Clean?, of track: EchoTrack, _ turn: Turn, _ ports: Ports) async throws {
      if let clean {
        try await ports.clean.send(
          AudioChunk(samples: SharedBuffer(clean.samples), rate: SpeexEcho.rate), turn: turn, time: clean.time)
      }
      while let second = track.measured() {
        try await ports.meter.send(Control("erle", detail: "\(second.erle)"), turn: turn, time: second.time)
      }
    }
  }
#endif
