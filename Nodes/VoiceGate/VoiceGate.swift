public import Dataflow
public import Messages

/// Passes speech on and drops silence: the smallest node worth having, and the example of `docs/writing-a-node.md`.
public struct VoiceGateNode: Node {
  public static let kind = "voice-gate"
  public static let summary = "Passes speech on and drops silence, chunk by chunk."

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let threshold: Float
    public init(_ read: inout ParameterReader) {
      threshold = read("threshold", default: 0.01, in: 0...1, help: "RMS level below which a chunk is silence.")
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let audio: Input<AudioChunk>
    public let speech: Output<AudioChunk>
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      audio = bind.input("audio", help: "Sound of any rate.")
      speech = bind.output("speech", help: "The chunks that are not silent, as they came.")
    }
  }

  private let threshold: Float

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    threshold = parameters.threshold
  }

  public mutating func run(_ ports: Ports) async throws {
    for try await chunk in ports.audio where chunk.value.rms >= threshold {
      try await ports.speech.send(chunk.value, following: chunk)
    }
  }
}
