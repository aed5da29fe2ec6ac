/// A picture's pixels, wherever they lie: 8 bits a channel, rows from the top, channels interleaved.
///
/// A view is good for as long as the memory that it was made of.
public struct PixelView {
  /// 1: grey; 3: red, green and blue; 4: these and opacity.
  public static let channelCounts = [1, 3, 4]

  let pixels: UnsafePointer<UInt8>
  public let width: Int
  public let height: Int
  public let channels: Int

  /// - Throws: ``ModelInputError`` for an empty picture, another number of channels, or pixels that do not fill it.
  public init(
    _ pixels: UnsafeBufferPointer<UInt8>, width: Int, height: Int, channels: Int
  ) throws(ModelInputError) {
    let (area, overflow) = width.multipliedReportingOverflow(by: height)
    let (count, overflowed) = area.multipliedReportingOverflow(by: channels)
    guard width > 0, height > 0, Self.channelCounts.contains(channels), !overflow, !overflowed,
      pixels.count == count, let start = pixels.baseAddress
    else {
      throw .shape(
        expected: "a picture of 1, 3 or 4 channels",
        found: "\(pixels.count) bytes for [\(height), \(width), \(channels)]")
    }
    (self.pixels, self.width, self.height, self.channels) = (start, width, height, channels)
  }

  func row(_ index: Int) -> UnsafePointer<UInt8> { pixels + index * width * channels }
}
