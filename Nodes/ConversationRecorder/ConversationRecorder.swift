public import Dataflow
internal import Foundation
public import Messages
internal import Sound

/// Writes down a conversation as it was heard: a WAV file of two channels, what happened when as JSON, and a picture of it.
///
/// The left channel is the user's, the right one the assistant's; both go by the session's time.
public struct ConversationRecorderNode: Node {
  public static let kind = "conversation-recorder"
  public static let summary = "Records a conversation: sound of both sides, a timeline as JSON, and a picture of it (SVG)."

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
      speech = bind.input("speech", type: sound, optional: true, help: "What is taken for a question, each in its turn.")
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
    for try await arrival in inputs {
      if arrival.cut != nil { continue }
      if let event = try ports.user.event(of: arrival) {
        switch event {
        case .message(let chunk):
          let recording = try recording(of: chunk.session)
          try recording.add(chunk.value, at: chunk.stamp.time, to: .user)
          recording.note(queues: context.queues)
        case .sessionEnded(let session):
          if let recording = recordings.removeValue(forKey: session) { try recording.finish() }
        case .sessionBegan(let session): _ = try recording(of: session)
        case .turnEnded, .turnCut: break
        }
      } else if case .message(let chunk)? = try ports.assistant.event(of: arrival) {
        try recording(of: chunk.session).add(chunk.value, at: chunk.stamp.time, to: .assistant)
      } else if case .message(let chunk)? = try ports.speech.event(of: arrival) {
        try recording(of: chunk.session).timeline.hear(chunk.value, of: chunk.turn.epoch, at: chunk.stamp.time)
      } else if case .message(let text)? = try ports.text.event(of: arrival) {
        try recording(of: text.session).timeline.understand(text.value.string, of: text.turn.epoch)
      } else if case .message(let found)? = try ports.detections.event(of: arrival) {
        let recording = try recording(of: found.session)
        recording.timeline.note(found.value, told: context.clock.now - recording.began)
      } else if case .message(let state)? = try ports.answer.event(of: arrival) {
        try recording(of: state.session).timeline.note(state.value, at: state.stamp.time)
      }
    }
    for recording in recordings.values { try recording.finish() }
  }

  private mutating func recording(of session: Session) throws -> Recording {
    if let recording = recordings[session] { return recording }
    let recording = try Recording(
      session.name, path: names.path(for: session), rate: parameters.rate, began: context.clock.now)
    recordings[session] = recording
    return recording
  }
}
