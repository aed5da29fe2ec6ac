public import Dataflow
internal import Foundation
public import Messages
internal import Sound

/// Writes down a conversation as it was heard: a WAV file of two channels, what happened when as JSON, and a picture of it.
///
/// The left channel is the user's, the right one the assistant's; both go by the session's time.
public struct ConversationRecorderNode: Node {
  public static let kind = "conversation-recorder"
  public static let summary = "Records a conversation: sound of both sides, a timeline, and its picture (SVG)."

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let path: String
    public let rate: Int

    public init(_ read: inout ParameterReader) {
      path = read(
        "path", default: "conversation.wav",
        help: """
          Sound file to write, from the working directory; beside it, the timeline (.json) and its picture (.svg). \
          {session} stands for the session's name; without it, the first session writes to this file and each further one \
          to a file with '-NAME' behind the stem.
          """)
      rate = read("rate", default: 16_000, in: 4_000...192_000, unit: "Hz", help: "Rate of both sides' sound.")
      if !path.hasSuffix(".wav") { read.reject("path", "'\(path)' is no WAV file's name; write conversation.wav") }
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let user: Input<AudioChunk>
    public let assistant: Input<AudioChunk>
    public let speech: Input<AudioChunk>
    public let text: Input<Text>
    public let detections: Input<Detection>
    public let answer: Input<AnswerState>

    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      let sound = PortType.audio(rate: parameters.rate, channels: 1)
      user = bind.input("user", type: sound, help: "What the microphone hears.")
      assistant = bind.input(
        "assistant", type: sound, optional: true, help: "What is played, silence included: the speaker's reference.")
      speech = bind.input(
        "speech", type: sound, optional: true, help: "What is taken for a question, each in its turn.")
      text = bind.input("text", optional: true, help: "What was understood of the questions.")
      detections = bind.input("detections", optional: true, help: "What the detector heard.")
      answer = bind.input("answer", optional: true, help: "Where the answers stand, and what was heard of them.")
    }
  }

  private let parameters: Parameters
  private let context: NodeContext
  private var names: OutputNames
  private var recordings: [Session: Recording] = [:]

  /// - Throws: ``WaveFileError`` if the file could not be written where the parameter says.
  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    names = OutputNames(pattern: parameters.path)
    try WaveFile.checkWritable(parameters.path)
  }

  public mutating func run(_ ports: Ports) async throws {
    let inputs = arrivals(
      on: ports.user, ports.assistant, ports.speech, ports.text, ports.detections, ports.answer)
    let sources = [
      ports.user.isConnected, ports.assistant.isConnected, ports.speech.isConnected, ports.text.isConnected,
      ports.detections.isConnected, ports.answer.isConnected,
    ].count { $0 }
    let context = context
    for try await arrival in inputs {
      if arrival.cut != nil { continue }
      let ended: Session? =
        if let event = try ports.user.event(of: arrival) {
          try note(event) { recording, chunk in
            try recording.add(chunk.value, at: chunk.stamp.time, to: .user)
            recording.note(queues: context.queues)
          }
        } else if let event = try ports.assistant.event(of: arrival) {
          try note(event) { try $0.add($1.value, at: $1.stamp.time, to: .assistant) }
        } else if let event = try ports.speech.event(of: arrival) {
          try note(event) { $0.timeline.hear($1.value, of: $1.turn.epoch, at: $1.stamp.time) }
        } else if let event = try ports.text.event(of: arrival) {
          try note(event) { $0.timeline.understand($1.value.string, of: $1.turn.epoch) }
        } else if let event = try ports.detections.event(of: arrival) {
          try note(event) { $0.timeline.note($1.value, told: context.clock.now - $0.began) }
        } else if let event = try ports.answer.event(of: arrival) {
          try note(event) { $0.timeline.note($1.value, at: $1.stamp.time) }
        } else {
          nil
        }
      // A side may go on when the other has ended.
      guard let ended, let recording = recordings[ended] else { continue }
      recording.ends += 1
      if recording.ends == sources {
        recordings[ended] = nil
        try recording.finish()
      }
    }
    for recording in recordings.values { try recording.finish() }
  }

  /// - Returns: the session, if that is its end on the input.
  private mutating func note<Value: Message>(
    _ event: InputEvent<Value>, _ write: (Recording, Received<Value>) throws -> Void
  ) throws -> Session? {
    switch event {
    case .sessionBegan(let session): _ = try recording(of: session)
    case .message(let message): try write(recording(of: message.session), message)
    case .sessionEnded(let session): return session
    case .turnEnded, .turnCut: break
    }
    return nil
  }

  private mutating func recording(of session: Session) throws -> Recording {
    if let recording = recordings[session] { return recording }
    let recording = try Recording(
      session.name, path: names.path(for: session), rate: parameters.rate, began: context.clock.now)
    recordings[session] = recording
    return recording
  }
}
