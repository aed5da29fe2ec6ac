public import Dataflow

/// A neural codec's codes: sound as a few whole numbers a frame.
///
/// Type `codes[layers=L, size=N]`. Fields: size (u32). Buffer: int32 [frames, layers]. Which code of the codec a layer
/// stands for is agreed on by those who make and take them; codes from 0 to size - 1 name entries of a codebook.
public struct AudioCodes: Message, Equatable {
  public static let typeName = "codes"

  /// Frame by frame, `frames * layers` codes.
  public let codes: SharedBuffer<Int32>
  /// Codes of a frame.
  public let layers: Int
  /// Entries of a codebook.
  public let size: Int

  /// `codes` must hold whole frames.
  public init(codes: SharedBuffer<Int32>, layers: Int, size: Int) {
    self.codes = codes
    self.layers = layers
    self.size = size
  }

  public var frames: Int { codes.count / layers }

  public var type: PortType { .codes(layers: layers, size: size) }

  public func encode(into encoder: inout MessageEncoder) {
    encoder.put(UInt32(size))
    encoder.put(codes, shape: [frames, layers])
  }

  public init(from decoder: inout MessageDecoder) throws(MessageCodingError) {
    let size = Int(try decoder.take(UInt32.self))
    let (codes, shape) = try decoder.takeBuffer(of: Int32.self, rank: 2)
    guard (1...256).contains(shape[1]), (1...1 << 24).contains(size) else {
      throw MessageCodingError("codes of a codebook of \(size) in a buffer of shape \(shape)")
    }
    self.init(codes: codes, layers: shape[1], size: size)
  }
}

extension PortType {
  /// Codes of sound; nil leaves a particular open.
  ///
  /// - Parameters:
  ///   - layers: codes a frame.
  ///   - size: entries of a codebook.
  public static func codes(layers: Int? = nil, size: Int? = nil) -> PortType {
    PortType(
      AudioCodes.typeName,
      [("layers", layers), ("size", size)].reduce(into: [:]) { all, pair in
        if let value = pair.1 { all[pair.0] = .number(value) }
      })
  }
}

extension FoundType {
  /// The type that `read` makes of a model's file; open, with the reason, where it cannot.
  public static func reading(_ read: () throws -> PortType) -> FoundType {
    do {
      return .known(try read())
    } catch {
      return .unknown(because: "\(error)")
    }
  }
}
