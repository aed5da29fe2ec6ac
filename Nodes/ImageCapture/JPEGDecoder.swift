#if Images
  internal import CTurboJPEG
  internal import Dataflow
  internal import Messages

  /// JPEG by libjpeg-turbo: with the exact transform and smooth chroma, as Pillow decodes.
  enum JPEGDecoder {
    /// The library does not tell its version.
    static var library: Library { Library("libturbojpeg", version: "2 or later") }

    static func recognizes(_ bytes: [UInt8]) -> Bool { bytes.starts(with: [0xff, 0xd8, 0xff]) }

    /// - Returns: RGB, and what the decoder found odd, if it harms little.
    static func decode(_ bytes: [UInt8]) throws(PictureFault) -> (ImageFrame, remark: String?) {
      guard let decoder = tjInitDecompress() else { throw PictureFault("libjpeg-turbo does not start") }
      defer { tjDestroy(decoder) }
      func text() -> String { tjGetErrorStr2(decoder).map { String(cString: $0) } ?? "for no reason it tells" }

      var (width, height, sampling, colours): (Int32, Int32, Int32, Int32) = (0, 0, 0, -1)
      let status = bytes.withUnsafeBufferPointer {
        tjDecompressHeader3(decoder, $0.baseAddress, UInt($0.count), &width, &height, &sampling, &colours)
      }
      // Subsampling that the library has no name for, it can decode all the same.
      guard status == 0 || (width > 0 && height > 0 && sampling < 0) else { throw fault(text()) }
      try PictureFile.checkSize(width: Int(width), height: Int(height))

      let isPrint = colours == Int32(TJCS_CMYK.rawValue) || colours == Int32(TJCS_YCCK.rawValue)
      let format = Int32((isPrint ? TJPF_CMYK : TJPF_RGB).rawValue)
      let channels = isPrint ? 4 : 3
      // Thousands of scans in a few bytes would take hours.
      let flags = Int32(TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS)
      var decoded: Int32 = 0
      let pixels = SharedBuffer<UInt8>(count: Int(width) * Int(height) * channels) { target in
        decoded = bytes.withUnsafeBufferPointer {
          tjDecompress2(
            decoder, $0.baseAddress, UInt($0.count), target.baseAddress, width, 0, height, format, flags)
        }
      }
      var remark: String?
      if decoded != 0 {
        remark = text()
        // Padding between markers, as some cameras leave, harms nothing; all other warnings are of pixels that are lost.
        let isHarmless =
          tjGetErrorCode(decoder) == Int32(TJERR_WARNING.rawValue)
          && remark?.contains("extraneous bytes") == true
        guard isHarmless else { throw fault(text()) }
      }
      let frame = ImageFrame(
        pixels: isPrint ? rgb(pixels) : pixels, width: Int(width), height: Int(height), channels: 3)
      return (frame, remark.map { "it has a fault that harms little (\($0))" })
    }

    private static func fault(_ text: String) -> PictureFault {
      text.contains("Premature end")
        ? .cutOff("the picture's data end early")
        : PictureFault("it is damaged or of an unsupported kind (libjpeg-turbo: \(text))")
    }

    /// From inks, which JPEG files hold inverted, as Pillow does.
    private static func rgb(_ inks: SharedBuffer<UInt8>) -> SharedBuffer<UInt8> {
      inks.withUnsafeBufferPointer { inks in
        SharedBuffer(count: inks.count / 4 * 3) { out in
          for pixel in 0..<inks.count / 4 {
            let white = Int(inks[4 * pixel + 3])
            for channel in 0..<3 {
              let product = (255 - Int(inks[4 * pixel + channel])) * white + 128
              out[3 * pixel + channel] = UInt8(clamping: white - ((product >> 8) + product) >> 8)
            }
          }
        }
      }
    }
  }
#endif
