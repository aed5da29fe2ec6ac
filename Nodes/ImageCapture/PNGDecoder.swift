#if Images
  internal import CPNG
  internal import Dataflow
  internal import Messages

  /// PNG by libpng, of any depth and colour type.
  ///
  /// The library gets the chunks that hold the picture and no others. So a colour that stands for transparent stays what
  /// it is, as in Pillow, and compressed texts and profiles are never unfolded. Gamma changes no numbers.
  enum PNGDecoder {
    static var library: Library {
      Library("libpng", version: png_get_libpng_ver(nil).map { String(cString: $0) } ?? "?")
    }

    private static let signature: [UInt8] = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]

    static func recognizes(_ bytes: [UInt8]) -> Bool { bytes.starts(with: signature) }

    /// - Returns: RGB, or RGBA for a file with an alpha channel.
    static func decode(_ bytes: [UInt8]) throws(PictureFault) -> ImageFrame {
      let file = try essence(of: bytes)
      var reader = cpng_reader()
      defer { cpng_end(&reader) }
      let frame: ImageFrame? = file.withUnsafeBufferPointer { file in
        (reader.bytes, reader.left) = (file.baseAddress, file.count)
        var (width, height, channels): (Int32, Int32, Int32) = (0, 0, 0)
        guard cpng_begin(&reader, &width, &height, &channels) != 0 else { return nil }
        var isWhole = false
        let pixels = SharedBuffer<UInt8>(count: Int(width) * Int(height) * Int(channels)) {
          isWhole = cpng_read(&reader, $0.baseAddress) != 0
        }
        guard isWhole else { return nil }
        return ImageFrame(pixels: pixels, width: Int(width), height: Int(height), channels: Int(channels))
      }
      guard let frame else {
        let message = withUnsafeBytes(of: reader.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        throw message.contains("Not enough image data")
          ? .cutOff("the picture's data end early")
          : PictureFault("it is damaged or of an unsupported kind (libpng: \(message))")
      }
      return frame
    }

    /// The file without the chunks that a reader may leave out, once its size has been looked at.
    private static func essence(of bytes: [UInt8]) throws(PictureFault) -> [UInt8] {
      func number(at offset: Int) -> Int { bytes[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) } }
      var result = signature
      var offset = signature.count
      while true {
        // Length, type, data, checksum.
        guard bytes.count - offset >= 12 else { throw .cutOff("after \(bytes.count) bytes, within a chunk's header") }
        let length = number(at: offset)
        let end = offset + 12 + length
        let type = bytes[offset + 4..<offset + 8]
        guard end <= bytes.count else {
          throw .cutOff("the chunk at byte \(offset) needs \(length) bytes, \(bytes.count - offset - 12) are left")
        }
        if offset == signature.count {
          guard type.elementsEqual("IHDR".utf8), length == 13 else {
            throw PictureFault("it does not begin with a header")
          }
          try PictureFile.checkSize(width: number(at: offset + 8), height: number(at: offset + 12))
        }
        // A capital letter: not to be left out.
        if bytes[offset + 4] & 0x20 == 0 { result += bytes[offset..<end] }
        if type.elementsEqual("IEND".utf8) { return result }
        offset = end
      }
    }
  }
#endif
