public import Dataflow
public import Messages
public import ModelKit
internal import Tensors

/// Turns pictures into CLIP's features: every token's, not the class token's alone.
public struct VisionEncoderNode: Node {
  public static let kind = "vision-encoder"
  public static let summary = "CLIP's vision transformer: a picture in, a feature for each of its patches out."

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let model: String
    public let weights: WeightPrecision
    public init(_ read: inout ParameterReader) {
      model = read.model(
        "model", default: "mini-omni2",
        help: """
          The CLIP model: a file such as ViT-B-32.pt, or the folder that it lies in, which may be a Mini-Omni2's, by its \
          path or its name in the model cache.
          """)
      weights = read(
        "weights", default: .bf16,
        help: """
          How the matrices are kept and multiplied: 'stored' computes with what the file holds in 32 bits, as f32 does; \
          bf16, int8 and int4 round weights and activations, and are faster (docs/performance.md).
          """)
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let image: Input<ImageFrame>
    public let features: Output<Features>
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      image = bind.input(
        "image",
        help: "Pictures of any size, grey, RGB or RGBA; their middle is looked at, where they are not square.")
      features = bind.output(
        "features", found: .features(dim: try ModelHeader.visionWidth(parameters.model)),
        help: "A row for the picture as a whole, then one for each patch, from the top left: 50 of ViT-B/32.")
    }
  }

  private let context: NodeContext
  private let encoder: ClipEncoder

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.context = context
    Compute.setThreads(context.threads)
    encoder = ClipEncoder(
      try ModelStore.shared.clip(at: ModelFolder.path(parameters.model), weights: parameters.weights) {
        if context.isStopping { throw CancellationError() }
      })
  }

  public mutating func run(_ ports: Ports) async throws {
    for try await picture in ports.image {
      guard let features = try encode(picture) else { continue }
      try await ports.features.send(
        Features(values: SharedBuffer(features.values), rows: features.rows, dim: features.columns), following: picture)
    }
  }

  /// Nil when the turn was interrupted, which is noticed at the next layer, or the picture cannot be looked at.
  private func encode(_ picture: Received<ImageFrame>) throws -> Matrix? {
    let (context, turn, frame) = (context, picture.turn, picture.value)
    do {
      return try frame.pixels.withUnsafeBufferPointer { pixels in
        let view = try PixelView(pixels, width: frame.width, height: frame.height, channels: frame.channels)
        return try encoder.encode(view) {
          if context.isStopping { throw CancellationError() }
          try turn.check()
        }
      }
    } catch is TurnCut {
      return nil
    } catch let error as ModelInputError {
      context.fail(turn, because: "\(error)")
      return nil
    }
  }
}
