public import Dataflow

/// A picture: 8 bits a channel, rows from the top, channels interleaved.
///
/// Type `image[channels=C]`. Fields: none. Buffer: uint8 [height, width, channels].
public struct ImageFrame: Message, Equatable {
  public static let typeName = "image"

  /// `height * width * channels` values, 0 to 255.
  public let pixels: SharedBuffer<UInt8>
  public let width: Int
  public let height: Int
  public let channels: Int

  /// `pixels` must hold `height * width * channels` values.
  public init(pixels: SharedBuffer<UInt8>, width: Int, height: Int, channels: Int = 3) {
    self.pixels = pixels
    self.width = width
    self.height = height
    self.channels = channels
  }

  public var type: PortType { .image(channels: channels) }

  public func encode(into encoder: inout MessageEncoder) {
    encoder.put(pixels, shape: [height, width, channels])
  }

  public init(from decoder: inout MessageDecoder) throws(MessageCodingError) {
    let (pixels, shape) = try decoder.takeBuffer(of: UInt8.self, rank: 3)
    self.init(pixels: pixels, width: shape[1], height: shape[0], channels: shape[2])
  }
}

extension PortType {
  public static func image(channels: Int? = nil) -> PortType {
    PortType(ImageFrame.typeName, channels.map { ["channels": .number($0)] } ?? [:])
  }
}
