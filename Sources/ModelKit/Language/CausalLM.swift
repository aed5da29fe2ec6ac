public import Tensors

/// A language model of tokens: embedding, transformer, head, tokenizer.
///
/// Weights are used as the file stores them. The model never changes and is shared; a ``CausalLMRunner`` computes with
/// it and a ``KVCache`` remembers one session.
public final class CausalLM: Sendable {
  /// The layers' dimensions, as the file states them.
  public var configuration: TransformerConfiguration { transformer.configuration }
  public var vocabularySize: Int { head.vocabularySize }
  /// Hidden states to logits. It may run in another node, or on another machine that loads the same file.
  public let head: LanguageHead
  public let tokenizer: Tokenizer
  /// Tokens that end an answer.
  public let endTokens: Set<Int32>

  /// The file of its folder.
  static let files = ["model.gguf"]

  let transformer: Transformer
  let embedding: Tensor

  package init(
    transformer: Transformer, embedding: Tensor, head: LanguageHead, tokenizer: Tokenizer, endTokens: Set<Int32>
  ) {
    (self.transformer, self.embedding, self.head) = (transformer, embedding, head)
    (self.tokenizer, self.endTokens) = (tokenizer, endTokens)
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
  /// Hidden states of several sessions, whose logits ``compute()`` computes.
  package let rows: HeadRows
  private let scratch = Scratch()

  public init(_ head: LanguageHead) {
    self.head = head
    rows = HeadRows(width: head.width, outputs: head.vocabularySize)
  }

  /// Computes the logits of all tokens for the hidden states in ``rows``. Nothing is allocated.
  package func compute() { rows.multiply(head.linear, range: 0..<head.vocabularySize, scratch: scratch) }

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
