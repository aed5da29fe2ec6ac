/// A Mini-Omni2 that was taught to hear spoken commands: language model, codec, and what its row says (arXiv 2410.11190,
/// section 3.4; the protocol is this project's, since none was released).
///
/// A row of the language model reads the microphone's sound as the codec's codes, a frame a column: the seven codes in the
/// audio layers, without delay, over the text `pad`. It begins with a column of pads over `n-irq`. At every frame the
/// softmax of the text head over `irq` and `n-irq` alone is the probability that a command was spoken.
///
/// It never changes and is shared, as its parts are: with ``LLMStep`` where that computes with the same model. A
/// ``MiniOmni2ListenerRunner`` computes with it.
public final class MiniOmni2Listener: Sendable {
  public let configuration: MiniOmni2ListenerConfiguration
  public let model: MiniOmni2
  public let codec: SnacModel
  /// The text head's row for `irq` less that for `n-irq`, [width]: the log odds are its product with a state.
  let odds: [Float]

  /// - Parameters:
  ///   - weights: the release that the model was made of.
  ///   - folders: the model's and the codec's, for errors.
  /// - Throws: ``ModelError`` for parts that do not fit each other.
  package init(
    _ configuration: MiniOmni2ListenerConfiguration, model: MiniOmni2, codec: SnacModel, weights: MiniOmni2Weights,
    folders: (model: String, codec: String)
  ) throws(ModelError) {
    try configuration.check(model.configuration, in: folders.model, codec.configuration, in: folders.codec)
    (self.configuration, self.model, self.codec) = (configuration, model, codec)
    odds = try weights.headDifference(model.embedding.ids.interrupt, model.embedding.ids.noInterrupt)
  }
}

extension ModelStore {
  /// The listener of the Mini-Omni2 in a folder, the language model's matrices kept as `weights` says.
  ///
  /// - Parameters:
  ///   - codec: the folder of its SNAC codec.
  ///   - configuration: what the folder's `listener.json` says, or something in its place.
  /// - Throws: ``ModelError``; `ComputeError` for a wrong `ANTIPHON_CPU`; what `checkCancelled` throws.
  public func miniOmni2Listener(
    at folder: String, codec: String, weights: WeightPrecision = .stored,
    configuration: MiniOmni2ListenerConfiguration? = nil, checkCancelled: CancellationCheck = {}
  ) throws -> MiniOmni2Listener {
    let configuration = try configuration ?? MiniOmni2ListenerConfiguration(folder: folder)
    return try MiniOmni2Listener(
      configuration, model: miniOmni2(at: folder, weights: weights, checkCancelled: checkCancelled),
      codec: snac(at: codec, checkCancelled: checkCancelled),
      weights: MiniOmni2Weights(folder: folder, checkCancelled: checkCancelled), folders: (folder, codec))
  }
}
