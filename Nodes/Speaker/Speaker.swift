public import Dataflow
public import Messages
internal import Sound

/// Plays sound: into WAV files at once, or on a sound device, or on one that is simulated by the clock.
///
/// The files are complete at every moment: a header is brought up to date with each piece, so an interrupted run leaves
/// what was played until then. A file is made when the first sound comes; until then, an older one of that name stays.
public struct SpeakerNode: Node {
  public static let kind = "speaker"
  public static let summary = "Plays sound into WAV files at once, or on a sound device, real or simulated."
  public static let ending = Ending.explicit

  public enum Pace: String, CaseIterable, Sendable {
    case fast
    case device
    case live
  }

  public enum Silence: String, CaseIterable, Sendable {
    case dropped
    case kept
  }

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let path: String
    public let pace: Pace
    public let device: String
    public let latency: Int
    public let silence: Silence
    public let referenceRate: Int
    public let drift: Double

    public init(_ read: inout ParameterReader) {
      path = read(
        "path", default: "answer.wav",
        help: """
          File to write, from the working directory. {session} stands for the session's name, as in \
          answers/{session}.wav; without it, the first session writes to this file and each further one to a file \
          with '-NAME' behind the stem. '' writes none, unless the pace is 'fast'.
          """)
      pace = read(
        "pace", default: .fast,
        help: """
          'fast': as fast as sound comes; 'device': like a sound device, by the clock, each session on one of its own; \
          'live': on a real one. Both go in blocks of 10 ms and fall silent within a block, without a click, when a turn \
          is interrupted.
          """)
      device = read(
        "device", default: "default",
        help: "The device at pace 'live': its name, a part of it, or its number in 'antiphon devices'.")
      latency = read(
        "latency", default: 20, in: 1...1_000, unit: "ms",
        help: "How much sound the device at pace 'live' may keep for itself; what is interrupted sounds for so long.")
      silence = read(
        "silence", default: .dropped,
        help: "What the file holds where nothing was played: nothing, or as much silence ('kept'; not at pace 'fast').")
      referenceRate = read(
        "reference-rate", default: 16_000, in: 8_000...48_000, unit: "Hz", help: "Rate of what 'reference' tells.")
      drift = read(
        "drift", default: 0.0, in: -1_000...1_000, unit: "ppm",
        help: "How much faster than it says a simulated device is, as real ones are by some tens.")
      if path.hasSuffix("/") || (path.isEmpty && pace == .fast) {
        read.reject("path", "'\(path)' names no file; write answer.wav")
      }
      if referenceRate % 100 != 0 {
        read.reject("reference-rate", "\(referenceRate) does not divide into blocks of 10 ms; take a multiple of 100")
      }
      if drift != 0, pace != .device { read.reject("drift", "only the device that pace 'device' simulates can drift") }
      if silence == .kept, pace == .fast {
        read.reject("silence", "pace 'fast' knows of no silence; take another pace")
      }
      if pace == .live, !LiveDevices.areBuiltIn { read.reject("pace", LiveDevices.missing) }
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let audio: Input<AudioChunk>
    public let reference: Output<AudioChunk>
    public let playhead: Output<Playhead>
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      audio = bind.input("audio", help: "Sound of any rate, which must stay the same within a session.")
      reference = bind.output(
        "reference", type: .audio(rate: parameters.referenceRate, channels: 1),
        help: """
          What the device plays, silence included, every 10 ms of the session, by when the device takes it; for echo \
          cancelling. Nothing at pace 'fast'.
          """)
      playhead = bind.output(
        "playhead", help: "How far the device has come, every 10 ms of the session. Nothing at pace 'fast'.")
    }
  }

  public static var libraries: [Library] { LiveDevices.libraries }
  public static func goesByTheClock(_ parameters: Parameters) -> Bool { parameters.pace != .fast }

  private let parameters: Parameters
  private let context: NodeContext
  private var names: OutputNames
  private let liveDevice: (any PlaybackDevice)?

  /// - Throws: `WaveFileError` if the file could not be written where the parameter says; `DeviceError` if there is no
  ///   such device.
  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    names = OutputNames(pattern: parameters.path)
    if !parameters.path.isEmpty { try WaveFile.checkWritable(parameters.path) }
    liveDevice =
      parameters.pace == .live
      ? try LiveDevices.playback(named: parameters.device, latency: parameters.latency, clock: context.clock) : nil
    try liveDevice?.start()
  }

  public mutating func run(_ ports: Ports) async throws {
    switch parameters.pace {
    case .fast: try await write(ports)
    case .device, .live:
      defer { liveDevice?.stop() }
      try await play(ports)
    }
  }

  // MARK: At once

  private mutating func write(_ ports: Ports) async throws {
    if ports.reference.isConnected || ports.playhead.isConnected {
      context.log("at pace 'fast' there is nothing to tell on 'reference' and 'playhead'; take pace 'device' or 'live'")
    }
    var files: [Session: WaveFile] = [:]
    var played: [Turn: Int64] = [:]
    for try await event in ports.audio.events {
      switch event {
      case .sessionBegan(let session): _ = names.path(for: session)
      case .message(let chunk):
        let audio = chunk.value
        if chunk.turn.isCut { continue }
        if let file = files[chunk.session], file.rate != audio.rate || file.channels != audio.channels {
          context.fail(
            chunk.turn,
            because: """
              sound at \(audio.rate) Hz with \(audio.channels) channels cannot follow sound at \(file.rate) Hz with \
              \(file.channels) in '\(file.path)'
              """)
          continue
        }
        let file =
          try files[chunk.session]
          ?? WaveFile(path: names.path(for: chunk.session), rate: audio.rate, channels: audio.channels)
        files[chunk.session] = file
        try audio.samples.withUnsafeBufferPointer { try file.append($0) }
        played[chunk.turn, default: 0] += audio.duration
        context.played(played[chunk.turn, default: 0], of: chunk.turn)
      case .turnEnded(let turn):
        played[turn] = nil
        context.endTurn(turn)
      case .turnCut(let cut):
        played = played.filter { $0.key.session != cut.session || $0.key.epoch > cut.epoch || $0.key.epoch == 0 }
      case .sessionEnded(let session):
        if files.removeValue(forKey: session) == nil {
          context.log("session \(session.name): there was nothing to play; no file was written")
        }
        played = played.filter { $0.key.session != session }
        context.endSession(session)
      }
    }
  }

  // MARK: By a device

  /// Sound that waits here for a device, at least and at most, nanoseconds. Beyond that whoever sends it waits.
  private static let plenty: Int64 = 200_000_000
  private static let most: Int64 = 30_000_000_000

  private mutating func play(_ ports: Ports) async throws {
    var players: [Player] = []
    var events = ports.audio.events.makeAsyncIterator()
    while true {
      if players.isEmpty {
        guard let event = try await events.next() else { return }
        try take(event, &players, ports)
      }
      while Self.hasRoom(players), let event = try events.waiting() { try take(event, &players, ports) }
      if events.isAtEnd { for player in players { player.endInput() } }
      for player in players { try await player.advance(ports.reference, ports.playhead) }
      for player in players where player.isDone {
        player.finish()
        context.endSession(player.session)
      }
      players.removeAll(where: \.isDone)
      if let time = players.map(\.nextTime).min() { try await context.clock.sleep(until: time) }
    }
  }

  /// Whether some player may want what waits, and none has too much.
  private static func hasRoom(_ players: [Player]) -> Bool {
    let waiting = players.filter(\.isOpen).map(\.waiting)
    return waiting.isEmpty || (waiting.contains { $0 < plenty } && waiting.allSatisfy { $0 < most })
  }

  private mutating func take(_ event: InputEvent<AudioChunk>, _ players: inout [Player], _ ports: Ports) throws {
    func player(_ session: Session) -> Player? { players.first { $0.session == session } }
    switch event {
    case .sessionBegan(let session):
      if parameters.pace == .live, let other = players.first {
        context.fail(
          Turn(session, epoch: 0), because: "the device plays session \(other.session.name); it has one at a time")
        return
      }
      let device =
        liveDevice ?? ClockedPlayback(rate: parameters.referenceRate, clock: context.clock, drift: parameters.drift)
      let recording =
        parameters.path.isEmpty
        ? nil : Recording(path: names.path(for: session), keepsSilence: parameters.silence == .kept)
      players.append(
        Player(
          session, on: device, recording: recording,
          referenceRate: ports.reference.isConnected ? parameters.referenceRate : nil, context))
    case .message(let chunk):
      if let problem = player(chunk.session)?.append(chunk) { context.fail(chunk.turn, because: problem) }
    case .turnEnded(let turn): if let player = player(turn.session) { player.end(turn) } else { context.endTurn(turn) }
    // The players see by themselves what is to be dropped.
    case .turnCut(let cut): player(cut.session)?.cut(through: cut.epoch)
    case .sessionEnded(let session):
      if let player = player(session) { player.endInput() } else { context.endSession(session) }
    }
  }
}
