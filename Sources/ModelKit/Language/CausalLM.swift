public import Tensors

/// A decoder-only transformer: grouped-query attention, rotary positions, RMS norms, gated SiLU layers.
///
/// Weights are used as the file stores them. The model never changes and is shared; a ``CausalLMRunner`` computes with
/// it and a ``KVCache`` remembers one session.
public final class CausalLM: Sendable {
  /// Every dimension, as the file states it.
  public struct Configuration: Sendable, Equatable {
    public var layers: Int
    /// Floats of a hidden state.
    public var width: Int
    public var heads: Int
    /// Heads of keys and values, each shared by `heads / keyHeads` query heads.
    public var keyHeads: Int
    public var headWidth: Int
    public var feedForwardWidth: Int
    public var vocabularySize: Int
    /// The longest sequence.
    public var context: Int
    public var epsilon: Float
    public var rotaryBase: Float
    public var rotaryPairing: RotaryPairing

    package init(
      layers: Int, width: Int, heads: Int, keyHeads: Int, headWidth: Int, feedForwardWidth: Int, vocabularySize: Int,
      context: Int, epsilon: Float, rotaryBase: Float, rotaryPairing: RotaryPairing
    ) {
      (self.layers, self.width, self.heads, self.keyHeads) = (layers, width, heads, keyHeads)
      (self.headWidth, self.feedForwardWidth) = (headWidth, feedForwardWidth)
      (self.vocabularySize, self.context, self.epsilon) = (vocabularySize, context, epsilon)
      (self.rotaryBase, self.rotaryPairing) = (rotaryBase, rotaryPairing)
    }
  }

  /// Which components of a head turn together.
  public enum RotaryPairing: Sendable {
    /// 2i and 2i + 1: the order into which llama's GGUF files bring the rows of Q and K.
    case neighbours
    /// i and i + half.
    case halves
  }

  package struct Layer: Sendable {
    package var attentionNorm: [Float]
    package var query: Linear
    package var key: Linear
    package var value: Linear
    package var output: Linear
    package var feedForwardNorm: [Float]
    package var gate: Linear
    package var up: Linear
    package var down: Linear

    package init(
      attentionNorm: [Float], query: Linear, key: Linear, value: Linear, output: Linear, feedForwardNorm: [Float],
      gate: Linear, up: Linear, down: Linear
    ) {
      (self.attentionNorm, self.query, self.key, self.value) = (attentionNorm, query, key, value)
      (self.output, self.feedForwardNorm) = (output, feedForwardNorm)
      (self.gate, self.up, self.down) = (gate, up, down)
    }
  }

  public let configuration: Configuration
  /// Hidden states to logits. It may run in another node, or on another machine that loads the same file.
  public let head: LanguageHead
  public let tokenizer: Tokenizer
  /// Tokens that end an answer.
  public let endTokens: Set<Int32>

  /// The file of its folder.
  static let files = ["model.gguf"]

  let embedding: Tensor
  let layers: [Layer]
  let finalNorm: [Float]

  package init(
    configuration: Configuration, embedding: Tensor, layers: [Layer], finalNorm: [Float], head: LanguageHead,
    tokenizer: Tokenizer, endTokens: Set<Int32>
  ) {
    (self.configuration, self.embedding, self.layers) = (configuration, embedding, layers)
    (self.finalNorm, self.head, self.tokenizer, self.endTokens) = (finalNorm, head, tokenizer, endTokens)
  }
}

/// The last matrix of a language model: hidden state to one logit a token.
public struct LanguageHead: Sendable {
  let linear: Linear

  package init(_ linear: Linear) { self.linear = linear }

  /// Floats of a hidden state.
  public var width: Int { linear.inputs }
  public var vocabularySize: Int { linear.outputs }
}

/// Computes logits; one for each thread that does.
public final class LanguageHeadRunner {
  public let head: LanguageHead
  private let scratch = Scratch()

  public init(_ head: LanguageHead) { self.head = head }

  /// Logits of the tokens in `tokens` (all by default), a row for each row of `hidden`.
  ///
  /// - Parameter logits: the result; its storage is used again when the shape stays the same.
  /// - Throws: ``ModelInputError``.
  public func logits(_ hidden: Matrix, tokens: Range<Int>? = nil, into logits: inout Matrix) throws(ModelInputError) {
    let tokens = tokens ?? 0..<head.vocabularySize
    guard hidden.columns == head.width else {
      throw .shape(expected: "hidden states of \(head.width)", found: "\(hidden.columns)")
    }
    guard tokens.lowerBound >= 0, tokens.upperBound <= head.vocabularySize else {
      throw .shape(expected: "tokens in 0..<\(head.vocabularySize)", found: "\(tokens)")
    }
    if logits.rows != hidden.rows || logits.columns != tokens.count {
      logits = Matrix(rows: hidden.rows, columns: tokens.count)
    }
    logits.withMutableFloats { out in
      hidden.values.withUnsafeBufferPointer { x in
        guard let x = x.baseAddress, let out = out.baseAddress else { return }
        head.linear.apply(x, rows: hidden.rows, range: tokens, into: out, scratch: scratch)
      }
    }
  }

  /// Logits as a new matrix.
  public func logits(_ hidden: Matrix, tokens: Range<Int>? = nil) throws(ModelInputError) -> Matrix {
    var result = Matrix(rows: 0, columns: 0)
    try logits(hidden, tokens: tokens, into: &result)
    return result
  }
}
