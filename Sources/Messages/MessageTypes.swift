public import Dataflow

/// Every message type, so that what comes off the wire finds its decoder by name.
public enum MessageTypes {
  public static let all: [any Message.Type] = [
    AudioChunk.self, AudioCodes.self, Control.self, Features.self, ImageFrame.self, Text.self, Tokens.self,
  ]
}
