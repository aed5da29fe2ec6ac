internal import AudioCapture
public import Dataflow
internal import Speaker
internal import SpeechEnd
internal import TextInput
internal import TextOutput
internal import VoiceGate

#if Flite
  internal import FliteSpeech
#endif

/// Every kind of node that graphs can name.
public enum Catalog {
  public static let nodes: [any Node.Type] = core + optional

  private static let core: [any Node.Type] = [
    AudioCaptureNode.self,
    SpeakerNode.self,
    SpeechEndNode.self,
    TextInputNode.self,
    TextOutputNode.self,
    VoiceGateNode.self,
  ]

  /// Kinds that need a trait of the package.
  #if Flite
    private static let optional: [any Node.Type] = [FliteSpeechNode.self]
  #else
    private static let optional: [any Node.Type] = []
  #endif
}
