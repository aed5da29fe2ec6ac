/// The middle of a picture as CLIP looks at it: the short side brought to `size` by Pillow's bicubic filter, the square in
/// the middle cut out, opacity dropped.
///
/// Results equal `Image.resize(..., BICUBIC).crop(...).convert("RGB")` of Pillow (before 13, which filters the columns of
/// some pictures first) in every bit. It filters rows first, then
/// columns, with weights of 22 fractional bits, and rounds to 8 bits after each; pixels with opacity are premultiplied
/// by it before, and divided by it after. Only what the square needs is computed, so that a picture of any proportions
/// takes bounded memory. (Pillow cannot smooth pictures with a palette and takes the nearest pixels; here they come as
/// colours and are smoothed.)
package struct BicubicCrop {
  let size: Int

  package init(size: Int) { self.size = size }

  /// [size, size, 3]
  package func pixels(of picture: PixelView) -> [UInt8] {
    let short = min(picture.width, picture.height)
    let width = picture.width == short ? size : size * picture.width / short
    let height = picture.height == short ? size : size * picture.height / short
    let columns = Weights(from: picture.width, to: width, wanted: middle(of: width))
    let rows = Weights(from: picture.height, to: height, wanted: middle(of: height))
    // Pillow hands a picture of the right size back as it is.
    let hasOpacity = picture.channels == 4 && (width, height) != (picture.width, picture.height)

    let channels = picture.channels
    var line = [UInt8](repeating: 0, count: picture.width * channels)
    var narrow = [UInt8](repeating: 0, count: rows.inputs.count * size * channels)
    var square = [UInt8](repeating: 0, count: size * size * channels)
    narrow.withUnsafeMutableBufferPointer { narrow in
      guard let narrow = narrow.baseAddress else { return }
      for (index, row) in rows.inputs.enumerated() {
        let source = picture.row(row)
        line.withUnsafeMutableBufferPointer { line in
          guard let line = line.baseAddress else { return }
          if hasOpacity { Self.premultiply(source, into: line, count: picture.width) }
          columns.apply(
            hasOpacity ? UnsafePointer(line) : source, stride: channels, lanes: channels, from: 0,
            into: narrow + index * size * channels)
        }
      }
      square.withUnsafeMutableBufferPointer { square in
        guard let square = square.baseAddress else { return }
        // A column's neighbours are filtered alike: all lanes of a row at once.
        let lanes = size * channels
        rows.apply(narrow, stride: lanes, lanes: lanes, from: rows.inputs.lowerBound, into: square)
        if hasOpacity { Self.divide(square, count: size * size) }
      }
    }
    guard channels != 3 else { return square }
    var colours = [UInt8](repeating: 0, count: size * size * 3)
    for pixel in 0..<size * size {
      for channel in 0..<3 { colours[pixel * 3 + channel] = square[pixel * channels + min(channel, channels - 1)] }
    }
    return colours
  }

  /// The places of the square along an axis. A half is rounded to the even neighbour.
  private func middle(of length: Int) -> Range<Int> {
    let start = Int((Double(length - size) / 2).rounded(.toNearestOrEven))
    return start..<start + size
  }

  // MARK: Opacity

  private static func premultiply(
    _ source: UnsafePointer<UInt8>, into out: UnsafeMutablePointer<UInt8>, count: Int
  ) {
    for pixel in 0..<count {
      let alpha = Int(source[4 * pixel + 3])
      for channel in 4 * pixel..<4 * pixel + 3 {
        // Division by 255, rounded.
        let product = Int(source[channel]) * alpha + 128
        out[channel] = UInt8(((product >> 8) + product) >> 8)
      }
      out[4 * pixel + 3] = UInt8(alpha)
    }
  }

  private static func divide(_ pixels: UnsafeMutablePointer<UInt8>, count: Int) {
    for pixel in 0..<count {
      let alpha = Int(pixels[4 * pixel + 3])
      guard alpha != 0, alpha != 255 else { continue }
      for channel in 4 * pixel..<4 * pixel + 3 {
        pixels[channel] = UInt8(min(255, 255 * Int(pixels[channel]) / alpha))
      }
    }
  }
}

// MARK: One axis

extension BicubicCrop {
  /// What each wanted place along an axis takes of which input places.
  fileprivate struct Weights {
    /// The input places that any output place needs.
    private(set) var inputs = 0..<0
    /// Whether places are only copied.
    private let isCopy: Bool
    private let wanted: Range<Int>
    private var firsts: [Int] = []
    private var counts: [Int] = []
    /// `longest` for each place, in units of 2^-22.
    private var weights: [Int32] = []
    private let longest: Int

    private static let bits: Int32 = 22

    init(from length: Int, to newLength: Int, wanted: Range<Int>) {
      self.wanted = wanted
      isCopy = length == newLength
      let scale = Double(length) / Double(newLength)
      let stretch = max(scale, 1)
      let reach = 2 * stretch
      longest = Int(reach.rounded(.up)) * 2 + 1
      guard !isCopy else {
        inputs = wanted
        return
      }
      weights = [Int32](repeating: 0, count: wanted.count * longest)
      for (index, place) in wanted.enumerated() {
        let center = (Double(place) + 0.5) * scale
        let first = max(0, Int(center - reach + 0.5))
        let count = min(length, Int(center + reach + 0.5)) - first
        let shares = (0..<count).map { Self.filter((Double($0 + first) - center + 0.5) * (1 / stretch)) }
        let total = shares.reduce(0, +)
        for (offset, share) in shares.enumerated() {
          let fixed = (total == 0 ? share : share / total) * Double(1 << Self.bits)
          weights[index * longest + offset] = Int32(fixed + (share / total < 0 ? -0.5 : 0.5))
        }
        firsts.append(first)
        counts.append(count)
        inputs = index == 0 ? first..<first + count : inputs.lowerBound..<max(inputs.upperBound, first + count)
      }
    }

    /// Keys' cubic with a = -0.5.
    private static func filter(_ x: Double) -> Double {
      let (x, a) = (abs(x), -0.5)
      if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
      if x < 2 { return (((x - 5) * x + 8) * x - 4) * a }
      return 0
    }

    /// Filters along an axis whose places are `stride` bytes apart, `lanes` neighbouring bytes alike.
    ///
    /// - Parameter origin: the input place that `source` begins with.
    func apply(
      _ source: UnsafePointer<UInt8>, stride: Int, lanes: Int, from origin: Int, into out: UnsafeMutablePointer<UInt8>
    ) {
      if isCopy {
        out.update(from: source + (wanted.lowerBound - origin) * stride, count: wanted.count * lanes)
        return
      }
      weights.withUnsafeBufferPointer { weights in
        for index in 0..<wanted.count {
          let from = source + (firsts[index] - origin) * stride
          let (first, count) = (index * longest, counts[index])
          for lane in 0..<lanes {
            var sum: Int32 = 1 << (Self.bits - 1)
            for offset in 0..<count {
              sum &+= Int32(from[offset * stride + lane]) &* weights[first + offset]
            }
            out[index * lanes + lane] = UInt8(clamping: sum >> Self.bits)
          }
        }
      }
    }
  }
}
