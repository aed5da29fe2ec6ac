package import Tensors

/// Brings a model's matrices into the form asked for, one after the other; quantized ones come from the cache where they
/// are in it, and go there otherwise.
package final class WeightKeeper {
  package let precision: WeightPrecision
  /// Where the matrices come from, for errors.
  private let file: String
  private let cache: WeightCache?
  private var made: [(name: String, weights: TiledWeights)] = []
  /// Matrices that were in the cache.
  package private(set) var found = 0

  /// Below this many bytes quantizing takes less than looking.
  private static let leastBytes = 4 << 20

  /// - Parameters:
  ///   - file: the file, or the folder of files, that holds the matrices.
  ///   - part: which of its matrices this is about, if others keep their own.
  ///   - cacheFolder: `antiphon/weights` in the user's cache folder by default.
  package init(_ precision: WeightPrecision, file: String, part: String = "model", cacheFolder: String? = nil) {
    (self.precision, self.file) = (precision, file)
    cache =
      precision.tiles == nil
      ? nil
      : WeightCache(
        file: file, precision: precision, part: part, folder: cacheFolder ?? "\(ModelFolder.cache)/weights")
  }

  /// - Throws: ``ModelError`` when the system has not that much memory.
  package func keep(_ linear: Linear) throws(ModelError) -> Linear {
    let kept =
      switch precision {
      case .stored: linear
      case .f32: linear.stored(as: .f32)
      case .bf16: linear.rounded()
      case .int8, .int4: quantized(linear)
      }
    guard let kept else {
      throw ModelError(file: file, part: linear.name, .invalid("there is no memory for it as \(precision.rawValue)"))
    }
    return kept
  }

  private func quantized(_ linear: Linear) -> Linear? {
    guard let form = precision.tiles, linear.canBeTiled else { return linear }
    if let weights = cache?.weights(linear.name, form), let kept = linear.with(weights) {
      found += 1
      return kept
    }
    let kept = linear.tiled(form)
    if let weights = kept?.tiledWeights { made.append((linear.name, weights)) }
    linear.release()
    return kept
  }

  /// Puts what was quantized into the cache, once all matrices have been kept. A cache that cannot be written is none.
  package func finish() {
    if made.reduce(0, { $0 + $1.weights.byteCount }) >= Self.leastBytes { cache?.write(made) }
    made = []
  }
}
