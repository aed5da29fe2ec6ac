internal import AudioCapture
internal import ChatPrompt
public import Dataflow
internal import LLMStep
internal import OmniPrompt
internal import Speaker
internal import SpeechEnd
internal import TextHead
internal import TextInput
internal import TextOutput
internal import VoiceGate
internal import WhisperDecoder
internal import WhisperEncoder

#if Flite
  internal import FliteSpeech
#endif

/// Every kind of node that graphs can name.
public enum Catalog {
  public static let nodes: [any Node.Type] = core + optional

  private static let core: [any Node.Type] = [
    AudioCaptureNode.self,
    ChatPromptNode.self,
    LLMStepNode.self,
    OmniPromptNode.self,
    SpeakerNode.self,
    SpeechEndNode.self,
    TextHeadNode.self,
    TextInputNode.self,
    TextOutputNode.self,
    VoiceGateNode.self,
    WhisperDecoderNode.self,
    WhisperEncoderNode.self,
  ]

  /// Kinds that need a trait of the package.
  #if Flite
    private static let optional: [any Node.Type] = [FliteSpeechNode.self]
  #else
    private static let optional: [any Node.Type] = []
  #endif
}
