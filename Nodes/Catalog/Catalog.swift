internal import Adapter
internal import AudioCapture
internal import AudioTokenHead
internal import ChatPrompt
internal import ConversationRecorder
public import Dataflow
internal import DetectionCheck
internal import KeywordDetector
internal import LLMStep
internal import ListenerDetector
internal import Microphone
internal import OmniPrompt
internal import PlaybackGate
internal import Room
internal import SnacDecoder
internal import SnacEncoder
internal import Speaker
internal import SpeechDetector
internal import TextHead
internal import TextInput
internal import TextOutput
internal import TranscriptDetector
internal import VisionEncoder
internal import VoiceActivity
internal import VoiceGate
internal import WhisperDecoder
internal import WhisperEncoder

#if EchoCancelling
  internal import EchoCanceller
#endif
#if Flite
  internal import FliteSpeech
#endif
#if Images
  internal import ImageCapture
#endif

/// Every kind of node that graphs can name.
public enum Catalog {
  public static let nodes: [any Node.Type] = core + cancellers + voices + eyes

  private static let core: [any Node.Type] = [
    AdapterNode.self,
    AudioCaptureNode.self,
    AudioTokenHeadNode.self,
    ChatPromptNode.self,
    ConversationRecorderNode.self,
    DetectionCheckNode.self,
    KeywordDetectorNode.self,
    LLMStepNode.self,
    ListenerDetectorNode.self,
    MicrophoneNode.self,
    OmniPromptNode.self,
    PlaybackGateNode.self,
    RoomNode.self,
    SnacDecoderNode.self,
    SnacEncoderNode.self,
    SpeakerNode.self,
    SpeechDetectorNode.self,
    TextHeadNode.self,
    TextInputNode.self,
    TextOutputNode.self,
    TranscriptDetectorNode.self,
    VisionEncoderNode.self,
    VoiceActivityNode.self,
    VoiceGateNode.self,
    WhisperDecoderNode.self,
    WhisperEncoderNode.self,
  ]

  // Kinds that need a trait of the package.
  #if EchoCancelling
    private static let cancellers: [any Node.Type] = [EchoCancellerNode.self]
  #else
    private static let cancellers: [any Node.Type] = []
  #endif
  #if Flite
    private static let voices: [any Node.Type] = [FliteSpeechNode.self]
  #else
    private static let voices: [any Node.Type] = []
  #endif
  #if Images
    private static let eyes: [any Node.Type] = [ImageCaptureNode.self]
  #else
    private static let eyes: [any Node.Type] = []
  #endif
}
