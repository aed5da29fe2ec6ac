public import Dataflow
public import Messages
internal import Sound

/// Writes sound to WAV files, a file a session, its turns one after the other.
///
/// The file is complete at every moment: its header is brought up to date with each piece, so an interrupted run leaves
/// what was played until then. It is made when the first sound comes; until then, an older file of that name stays.
public struct SpeakerNode: Node {
  public static let kind = "speaker"
  public static let summary = "Plays sound into WAV files (16 bits), at once or at the pace of a sound device."

  public enum Pace: String, CaseIterable, Sendable {
    case fast
    case device
  }

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let path: String
    public let pace: Pace

    public init(_ read: inout ParameterReader) {
      path = read(
        "path", default: "answer.wav",
        help: """
          File to write, from the working directory. {session} stands for the session's name, as in \
          answers/{session}.wav; without it, the first session writes to this file and each further one to a file \
          with '-NAME' behind the stem.
          """)
      pace = read(
        "pace", default: .fast,
        help: """
          'fast': as fast as sound comes; 'device': like a sound device, in blocks of 10 ms, one session after the \
          other, silent within a block when a turn is interrupted.
          """)
      if path.isEmpty || path.hasSuffix("/") { read.reject("path", "'\(path)' names no file; write answer.wav") }
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let audio: Input<AudioChunk>
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      audio = bind.input("audio", help: "Sound of any rate, which must stay the same within a session.")
    }
  }

  public static func goesByTheClock(_ parameters: Parameters) -> Bool { parameters.pace != .fast }

  /// Nanoseconds that a device plays at once.
  private static let block: Int64 = 10_000_000

  private let parameters: Parameters
  private let context: NodeContext
  private var names: OutputNames
  private var files: [Session: WaveFile] = [:]
  private var played: [Turn: Int64] = [:]
  /// When the device will have played all it was given, by the clock.
  private var deviceIsFreeAt: Int64 = 0

  /// - Throws: ``WaveFileError`` if the file could not be written where the parameter says.
  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    names = OutputNames(pattern: parameters.path)
    try WaveFile.checkWritable(parameters.path)
  }

  public mutating func run(_ ports: Ports) async throws {
    for try await event in ports.audio.events {
      switch event {
      case .sessionBegan(let session): _ = names.path(for: session)
      case .message(let chunk): try await play(chunk)
      case .turnEnded(let turn): played[turn] = nil
      case .turnCut(let cut):
        played = played.filter { $0.key.session != cut.session || $0.key.epoch > cut.epoch || $0.key.epoch == 0 }
      case .sessionEnded(let session):
        if files.removeValue(forKey: session) == nil {
          context.log("session \(session.name): there was nothing to play; no file was written")
        }
        played = played.filter { $0.key.session != session }
      }
    }
  }

  private mutating func play(_ chunk: Received<AudioChunk>) async throws {
    let audio = chunk.value
    guard let file = try file(for: chunk) else { return }
    let blockFrames = parameters.pace == .fast ? max(1, audio.frames) : max(1, audio.rate / 100)
    var frame = 0
    while frame < audio.frames {
      if chunk.turn.isCut { return }
      let count = min(blockFrames, audio.frames - frame)
      let range = frame * audio.channels..<(frame + count) * audio.channels
      try audio.samples.withUnsafeBufferPointer { try file.append(UnsafeBufferPointer(rebasing: $0[range])) }
      frame += count
      let length = Int64(count) * 1_000_000_000 / Int64(audio.rate)
      if parameters.pace == .device {
        deviceIsFreeAt = max(deviceIsFreeAt, context.clock.now) + length
        try await context.clock.sleep(until: deviceIsFreeAt)
      }
      played[chunk.turn, default: 0] += length
      context.played(played[chunk.turn, default: 0], of: chunk.turn)
    }
  }

  /// The session's file, made if need be; nil if the sound does not fit it, and the turn has failed.
  private mutating func file(for chunk: Received<AudioChunk>) throws -> WaveFile? {
    let audio = chunk.value
    if let file = files[chunk.session] {
      if file.rate == audio.rate, file.channels == audio.channels { return file }
      context.fail(
        chunk.turn,
        because: """
          sound at \(audio.rate) Hz with \(audio.channels) channels cannot follow sound at \(file.rate) Hz with \
          \(file.channels) in '\(file.path)'
          """)
      return nil
    }
    let path = names.path(for: chunk.session)
    let file = try WaveFile(path: path, rate: audio.rate, channels: audio.channels)
    files[chunk.session] = file
    return file
  }
}
