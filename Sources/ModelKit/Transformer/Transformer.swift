package import Tensors

/// The layers of a decoder-only transformer: grouped-query attention, rotary positions, RMS norms, gated SiLU layers.
///
/// What goes in and what is made of the hidden states is the model's: ``CausalLM`` embeds tokens, ``MiniOmni2`` the mean
/// of eight. Weights are used as the file stores them and never change; a ``TransformerRunner`` computes with them.
package struct Transformer: Sendable {
  package let configuration: TransformerConfiguration
  let layers: [Layer]
  let finalNorm: [Float]

  package init(configuration: TransformerConfiguration, layers: [Layer], finalNorm: [Float]) {
    (self.configuration, self.layers, self.finalNorm) = (configuration, layers, finalNorm)
  }

  package struct Layer: Sendable {
    package var attentionNorm: [Float]
    package var attentionInput: AttentionInput
    package var attentionOutput: Linear
    package var feedForwardNorm: [Float]
    package var gate: Linear
    package var up: Linear
    package var down: Linear

    package init(
      attentionNorm: [Float], attentionInput: AttentionInput, attentionOutput: Linear, feedForwardNorm: [Float],
      gate: Linear, up: Linear, down: Linear
    ) {
      (self.attentionNorm, self.attentionInput) = (attentionNorm, attentionInput)
      (self.attentionOutput, self.feedForwardNorm) = (attentionOutput, feedForwardNorm)
      (self.gate, self.up, self.down) = (gate, up, down)
    }
  }

  /// What makes a position's queries, keys and values, and how these lie side by side.
  package struct AttentionInput: Sendable {
    /// Matrices, and where in a position's row the results of each begin.
    private(set) var parts: [(linear: Linear, offset: Int)]
    /// Floats of a position's row.
    let width: Int
    /// From the queries of one group of heads to the next group's.
    let queryGroupStride: Int
    let keyOffset: Int
    let valueOffset: Int
    /// From one key head to the next, and from one value head to the next.
    let keyHeadStride: Int

    /// Queries of all heads, then keys, then values, each from a matrix of its own.
    package init(query: Linear, key: Linear, value: Linear, keyHeads: Int) {
      parts = [(query, 0), (key, query.outputs), (value, query.outputs + key.outputs)]
      width = query.outputs + key.outputs + value.outputs
      (keyOffset, valueOffset) = (query.outputs, query.outputs + key.outputs)
      (queryGroupStride, keyHeadStride) = (query.outputs / keyHeads, key.outputs / keyHeads)
    }

    /// Group by group the queries of its heads, its key and its value, from one matrix: litgpt's order.
    package init(grouped linear: Linear, groups: Int, headWidth: Int) {
      parts = [(linear, 0)]
      width = linear.outputs
      (queryGroupStride, keyHeadStride) = (linear.outputs / groups, linear.outputs / groups)
      (keyOffset, valueOffset) = (queryGroupStride - 2 * headWidth, queryGroupStride - headWidth)
    }

    fileprivate func kept(by keeper: WeightKeeper) throws(ModelError) -> AttentionInput {
      var copy = self
      for index in parts.indices { copy.parts[index].linear = try keeper.keep(parts[index].linear) }
      return copy
    }
  }
}

/// A transformer's dimensions, as a model's file states them.
public struct TransformerConfiguration: Sendable, Equatable {
  public var layers: Int
  /// Floats of a hidden state.
  public var width: Int
  public var heads: Int
  /// Heads of keys and values, each shared by `heads / keyHeads` query heads.
  public var keyHeads: Int
  public var headWidth: Int
  public var feedForwardWidth: Int
  /// The longest sequence.
  public var context: Int
  public var epsilon: Float
  public var rotaryBase: Float
  public var rotaryPairing: RotaryPairing

  package init(
    layers: Int, width: Int, heads: Int, keyHeads: Int, headWidth: Int, feedForwardWidth: Int, context: Int,
    epsilon: Float, rotaryBase: Float, rotaryPairing: RotaryPairing
  ) {
    (self.layers, self.width, self.heads, self.keyHeads) = (layers, width, heads, keyHeads)
    (self.headWidth, self.feedForwardWidth, self.context) = (headWidth, feedForwardWidth, context)
    (self.epsilon, self.rotaryBase, self.rotaryPairing) = (epsilon, rotaryBase, rotaryPairing)
  }
}

/// Which components of a head turn together.
public enum RotaryPairing: Sendable {
  /// 2i and 2i + 1: the order into which llama's GGUF files bring the rows of Q and K.
  case neighbours
  /// i and i + half.
  case halves
}

extension Transformer.Layer {
  /// The layer with its matrices kept as asked; norms stay floats.
  ///
  /// - Throws: ``ModelError`` when the system has not that much memory.
  func kept(by keeper: WeightKeeper) throws(ModelError) -> Transformer.Layer {
    Transformer.Layer(
      attentionNorm: attentionNorm, attentionInput: try attentionInput.kept(by: keeper),
      attentionOutput: try keeper.keep(attentionOutput), feedForwardNorm: feedForwardNorm,
      gate: try keeper.keep(gate), up: try keeper.keep(up), down: try keeper.keep(down))
  }
}
