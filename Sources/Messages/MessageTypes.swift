public import Dataflow

/// Every message type, so that what comes off the wire finds its decoder by name.
public enum MessageTypes {
  public static let all: [any Message.Type] = [
    AnswerState.self, AudioChunk.self, AudioCodes.self, Control.self, Detection.self, Features.self, ImageFrame.self,
    Playhead.self, Said.self, Text.self, Tokens.self,
  ]
}
