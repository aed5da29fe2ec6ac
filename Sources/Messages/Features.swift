public import Dataflow

/// A matrix of features: what an encoder, an adapter or a transformer hands on, one row a position.
///
/// Type `features[dim=D]`. Fields: none. Buffer: float32 [rows, dim].
public struct Features: Message, Equatable {
  public static let typeName = "features"

  /// Row by row, `rows * dim` values.
  public let values: SharedBuffer<Float>
  public let rows: Int
  public let dim: Int

  /// `values` must hold `rows * dim` numbers.
  public init(values: SharedBuffer<Float>, rows: Int, dim: Int) {
    self.values = values
    self.rows = rows
    self.dim = dim
  }

  public var type: PortType { .features(dim: dim) }

  public func encode(into encoder: inout MessageEncoder) {
    encoder.put(values, shape: [rows, dim])
  }

  public init(from decoder: inout MessageDecoder) throws(MessageCodingError) {
    let (values, shape) = try decoder.takeBuffer(of: Float.self, rank: 2)
    self.init(values: values, rows: shape[0], dim: shape[1])
  }
}

extension FoundType {
  /// Features of the width that `dim` reads from a model's file; open, with the reason, where it cannot.
  public static func features(dim: @autoclosure () throws -> Int) -> FoundType {
    reading { .features(dim: try dim()) }
  }
}

extension PortType {
  /// - Parameter dim: values a row; nil leaves it open.
  public static func features(dim: Int? = nil) -> PortType {
    PortType(Features.typeName, dim.map { ["dim": .number($0)] } ?? [:])
  }
}
