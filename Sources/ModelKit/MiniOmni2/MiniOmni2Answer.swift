public import Tensors

/// One answer as it is made: chooses the tokens of each position, says what is fed back, and gathers the codes of whole
/// audio frames from the delayed layers.
///
/// Audio layer i's code of frame f stands at position f + i + 1, so a frame is whole seven positions after its first code
/// could have been. The answer ends where layer 6 says `endOfAudio`, or, if it is not spoken, where text ends.
public struct MiniOmni2Answer {
  /// What came of a position.
  public struct Step: Sendable, Equatable {
    /// The next position's input: seven audio tokens and the text's, or of an answer in text alone just this one.
    public var tokens: [Int32]
    /// The text token that the answer says here; nil once the text has ended, and for its end.
    public var word: Int32?
    /// The codes of the frame that is whole now.
    public var frame: [Int32]?
    /// The answer is over; the position is no part of it.
    public var isLast: Bool
  }

  private let ids: MiniOmni2IDs
  private let speaks: Bool
  private var sampler: Sampler
  /// Positions made.
  public private(set) var positions = 0
  public private(set) var hasTextEnded = false
  /// Frames gathered.
  public private(set) var frames = 0
  /// Tokens in an audio layer that are no codes, inside a frame: a sound model has none.
  public private(set) var wrongCodes = 0
  /// Each layer's tokens of frames that are not whole yet.
  private var codes: [[Int32]]
  /// The last whole frame's codes.
  private var frame: [Int32]

  public init(_ ids: MiniOmni2IDs, speaks: Bool, sampling: SamplingOptions = .greedy) {
    (self.ids, self.speaks) = (ids, speaks)
    sampler = Sampler(sampling)
    codes = Array(repeating: [], count: speaks ? MiniOmni2Configuration.audioLayers : 0)
    frame = codes.map { _ in 0 }
  }

  /// Chooses a position's tokens. The audio tokens come from the first row and the text from the last: no logits are
  /// computed that nothing needs.
  ///
  /// - Parameter hidden: [rows, width]; one row is enough once the text has ended.
  /// - Throws: ``ModelInputError`` for hidden states that do not fit the head.
  public mutating func choose(_ hidden: Matrix, _ head: MiniOmni2HeadRunner) throws(ModelInputError) -> Step {
    var tokens: [Int32] = []
    if speaks {
      for logits in try head.audioLogits(hidden, row: 0) { tokens.append(sampler.sample(logits)) }
    }
    var written = ids.padText
    if !hasTextEnded { written = sampler.sample(try head.textLogits(hidden, row: hidden.rows - 1)) }
    tokens.append(written)
    return advance(tokens)
  }

  /// Takes a position's tokens as they were chosen.
  package mutating func advance(_ tokens: [Int32]) -> Step {
    let written = tokens[tokens.count - 1]
    var step = Step(tokens: tokens, isLast: false)
    if !hasTextEnded {
      hasTextEnded = written == ids.endOfText
      if !hasTextEnded { step.word = written }
    }
    if speaks {
      if tokens[MiniOmni2Configuration.audioLayers - 1] == ids.endOfAudio {
        // The last position's text, if it says any, is no part of the answer.
        step.word = nil
        step.isLast = true
        return step
      }
      step.frame = gather(tokens)
    } else {
      step.isLast = hasTextEnded
    }
    positions += 1
    return step
  }

  /// Adds a position's tokens to their frames.
  ///
  /// - Returns: the codes of the frame that this completes.
  private mutating func gather(_ tokens: [Int32]) -> [Int32]? {
    for layer in codes.indices where positions > layer { codes[layer].append(tokens[layer]) }
    guard positions >= codes.count else { return nil }
    frames += 1
    for layer in codes.indices {
      let token = codes[layer].removeFirst()
      if token < ids.endOfAudio {
        frame[layer] = token
      } else {
        // The release hands such ids to its codec, which fails. An id that is no code has no sound: the one before goes on.
        wrongCodes += 1
      }
    }
    return frame
  }
}
