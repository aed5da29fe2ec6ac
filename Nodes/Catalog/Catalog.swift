internal import AudioCapture
public import Dataflow
internal import Speaker
internal import SpeechEnd
internal import TextOutput
internal import VoiceGate

/// Every kind of node that graphs can name.
public enum Catalog {
  public static let nodes: [any Node.Type] = [
    AudioCaptureNode.self,
    SpeakerNode.self,
    SpeechEndNode.self,
    TextOutputNode.self,
    VoiceGateNode.self,
  ]
}
