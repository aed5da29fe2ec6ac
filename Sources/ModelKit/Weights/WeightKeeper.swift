package import Tensors

/// Brings a model's matrices into the form asked for, one after the other; quantized ones come from the cache where they
/// are in it, and go there otherwise.
package final class WeightKeeper {
  package let precision: WeightPrecision
  /// Where the matrices come from, for errors.
  private let file: String
  private let part: String
  private let cacheFolder: String
  /// Looked for when the first matrix comes that is worth it.
  private lazy var cache = WeightCache(file: file, precision: precision, part: part, folder: cacheFolder)
  private var isCached = false
  private var isChanged = false
  private var all: [(name: String, weights: TiledWeights)] = []
  /// Matrices that were in the cache.
  package private(set) var found = 0

  /// Numbers of a matrix; a model of smaller ones is quantized in less time than it takes to look for it.
  private static let leastCount = 1 << 18

  /// - Parameters:
  ///   - file: the file, or the folder of files, that holds the matrices.
  ///   - part: which of its matrices this is about, if others keep their own.
  ///   - cacheFolder: `antiphon/weights` in the user's cache folder by default.
  package init(_ precision: WeightPrecision, file: String, part: String = "model", cacheFolder: String? = nil) {
    (self.precision, self.file, self.part) = (precision, file, part)
    self.cacheFolder = cacheFolder ?? "\(ModelFolder.cache)/weights"
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
    if linear.outputs * linear.inputs >= Self.leastCount { isCached = true }
    if isCached, let weights = cache?.weights(linear.name, form), let kept = linear.with(weights) {
      found += 1
      all.append((linear.name, weights))
      return kept
    }
    let kept = linear.tiled(form)
    if let weights = kept?.tiledWeights { all.append((linear.name, weights)) }
    isChanged = isChanged || isCached
    linear.release()
    return kept
  }

  /// Puts the quantized matrices into the cache, if any is not in it, once all have been kept. A cache that cannot be
  /// written is none.
  package func finish() {
    if isChanged { cache?.write(all) }
    (all, isChanged) = ([], false)
  }
}
