public import Dataflow
public import Messages

/// The last gate before the device: holds the answer's sound until the device wants it, so that an interruption silences
/// all but a few milliseconds; fades instead of clicking; and knows what has been heard.
///
/// What comes in belongs to turns, what goes out to the session as a whole. Whatever is said of an answer to those who must
/// know, such as ``voice-activity``, is said here.
public struct PlaybackGateNode: Node {
  public static let kind = "playback-gate"
  public static let summary = "Hands answers to a sound device bit by bit; silences what is interrupted."
  public static let ending = Ending.explicit

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let ahead: Int
    public let fade: Int

    public init(_ read: inout ParameterReader) {
      ahead = read(
        "ahead", default: 30, in: 10...1_000, unit: "ms",
        help: """
          How much sound the device is given before it has played it; what is interrupted sounds for so long. Too little \
          and the device runs dry on a busy machine.
          """)
      fade = read(
        "fade", default: 5, in: 0...100, unit: "ms", help: "How long it takes to fall silent, and to come back.")
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let audio: Input<AudioChunk>
    public let said: Input<Said>
    public let control: Input<Control>
    public let playhead: Input<Playhead>
    public let output: Output<AudioChunk>
    public let answer: Output<AnswerState>

    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      audio = bind.input(
        "audio", help: "Answers, each in its turn, of any rate, which must stay the same in a session.")
      said = bind.input("said", optional: true, help: "What the answers say and by when.")
      control = bind.input(
        "control", optional: true,
        help: "'pause' holds the answer back, 'resume' lets it go on where it stopped; other events are not for here.")
      playhead = bind.input(
        "playhead", optional: true,
        help: """
          How far the device has come; a feedback edge brings it. Without it sound is handed on as it comes, and counts as \
          played.
          """)
      output = bind.output("audio", help: "What is to be played now, in pieces of 10 ms, of the session as a whole.")
      answer = bind.output(
        "answer", help: "Where the answers stand: speaking, paused, finished or cut, and what was heard.")
    }
  }

  private let parameters: Parameters
  private let context: NodeContext
  private var tracks: [Session: AnswerTrack] = [:]

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
  }

  public mutating func run(_ ports: Ports) async throws {
    var all = arrivals(on: ports.audio, ports.said, ports.control, ports.playhead).makeAsyncIterator()
    var signals = arrivals(on: ports.said, ports.control, ports.playhead).makeAsyncIterator()
    let isPaced = ports.playhead.isConnected
    while true {
      // Whoever makes the answer waits at the edge while there is enough here. A session that has enough does not hold up
      // others: what they wait for may stand behind what is its.
      let isHungry = tracks.isEmpty || tracks.values.contains(where: \.isHungry)
      var next = isHungry ? try await all.next() : try await signals.next()
      // Those that pace it have ended: what is left goes as it is.
      if next == nil, !isHungry { next = try await all.next() }
      guard let arrival = next else { return }
      if let session = try take(arrival, ports, isPaced) { try await hand(on: session, ports) }
    }
  }

  /// - Returns: the session that it is about.
  private mutating func take(_ arrival: AnyArrival, _ ports: Ports, _ isPaced: Bool) throws -> Session? {
    if let cut = arrival.cut {
      tracks[cut.session]?.cut(through: cut.epoch)
      return cut.session
    }
    if let event = try ports.audio.event(of: arrival) {
      switch event {
      case .sessionBegan(let session): begin(session, isPaced)
      case .message(let chunk):
        if let problem = tracks[chunk.session]?.add(chunk.value, of: chunk.turn.epoch) {
          context.fail(chunk.turn, because: problem)
        }
        return chunk.session
      case .turnEnded(let turn):
        tracks[turn.session]?.complete(turn.epoch)
        return turn.session
      case .sessionEnded(let session):
        tracks[session]?.isComplete = true
        return session
      case .turnCut: break
      }
      return nil
    }
    if let event = try ports.said.event(of: arrival) {
      switch event {
      case .sessionBegan(let session): begin(session, isPaced)
      case .message(let said): tracks[said.session]?.note(said.value, of: said.turn.epoch)
      default: break
      }
    } else if case .message(let head)? = try ports.playhead.event(of: arrival) {
      tracks[head.session]?.played(through: head.value.frames, at: head.stamp.time)
      return head.session
    } else if let event = try ports.control.event(of: arrival) {
      switch event {
      case .sessionBegan(let session): begin(session, isPaced)
      case .message(let control):
        switch control.value.name {
        case "pause": tracks[control.session]?.pause()
        case "resume": tracks[control.session]?.resume()
        default: break
        }
        return control.session
      default: break
      }
    }
    return nil
  }

  /// A session begins on one of the inputs, whichever it comes on first.
  private mutating func begin(_ session: Session, _ isPaced: Bool) {
    tracks[session] = AnswerTrack(ahead: parameters.ahead, fade: parameters.fade, isPaced: isPaced)
  }

  /// Hands on what the device has room for, and tells what there is to tell.
  private mutating func hand(on session: Session, _ ports: Ports) async throws {
    guard var track = tracks[session] else { return }
    let stream = Turn(session, epoch: 0)
    while let block = track.nextBlock() {
      try await ports.output.send(block, turn: stream, time: track.time(of: block))
    }
    for (note, time) in track.takeNotes() {
      if note.phase != .paused { context.played(note.played, of: Turn(session, epoch: note.epoch)) }
      try await ports.answer.send(note, turn: stream, time: time)
      if note.phase == .finished { context.endTurn(Turn(session, epoch: note.epoch)) }
    }
    if let (epoch, played) = track.progress() { context.played(played, of: Turn(session, epoch: epoch)) }
    tracks[session] = track
    if track.isOver {
      tracks[session] = nil
      context.endSession(session)
    }
  }
}
