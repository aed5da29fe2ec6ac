public import Tensors

/// One answer as it is made: chooses the tokens of each position, says what is fed back, and gathers the codes of whole
/// audio frames from the delayed layers.
///
/// Audio layer i's code of frame f stands at position f + i + 1, so a frame is whole seven positions after its first code
/// could have been. The answer ends where layer 6 says `endOfAudio`, or, if it is not spoken, where text ends. A position
/// allocates nothing while nobody else holds ``tokens`` or ``frame``.
public struct MiniOmni2Answer {
  /// What came of a position.
  public struct Step: Sendable, Equatable {
    /// The text token that the answer says here; nil once the text has ended, and for its end.
    public var word: Int32?
    /// Whether ``MiniOmni2Answer/frame`` holds another frame, which is whole now.
    public var hasFrame = false
    /// The answer is over; the position is no part of it.
    public var isLast = false
  }

  private static let layers = MiniOmni2Configuration.audioLayers

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
  /// What was chosen at the last position, the next one's input: seven audio tokens and the text's, or of an answer in text
  /// alone just this one.
  public private(set) var tokens: [Int32]
  /// The codes of the last frame that is whole.
  public private(set) var frame: [Int32]
  /// The audio tokens of the last positions, as many as there are layers, in turns: [position, layer].
  private var recent: [Int32]

  public init(_ ids: MiniOmni2IDs, speaks: Bool, sampling: SamplingOptions = .greedy) {
    (self.ids, self.speaks) = (ids, speaks)
    sampler = Sampler(sampling)
    tokens = Array(repeating: 0, count: speaks ? Self.layers + 1 : 1)
    frame = Array(repeating: 0, count: speaks ? Self.layers : 0)
    recent = Array(repeating: 0, count: Self.layers * Self.layers)
  }

  /// Chooses a position's tokens. The audio tokens come from the first row and the text from the last: no logits are
  /// computed that nothing needs.
  ///
  /// - Parameter hidden: [rows, width]; one row is enough once the text has ended.
  /// - Throws: ``ModelInputError`` for hidden states that do not fit the head.
  public mutating func choose(_ hidden: Matrix, _ head: MiniOmni2HeadRunner) throws(ModelInputError) -> Step {
    head.removeAll()
    let needs = try hidden.values.withUnsafeBufferPointer { values throws(ModelInputError) in
      try ask(values, rows: hidden.rows, head)
    }
    head.compute()
    return choose(needs, head)
  }

  // MARK: Beside other answers

  /// Places of a head's results.
  package struct Needs {
    fileprivate var audio: Int?
    fileprivate var text: Int?
  }

  /// Adds what the answer needs to what a head computes next.
  ///
  /// - Parameters:
  ///   - hidden: [rows, width].
  ///   - head: must have room.
  /// - Throws: ``ModelInputError`` for hidden states that do not fit the head; nothing is added then.
  package func ask(
    _ hidden: UnsafeBufferPointer<Float>, rows: Int, _ head: MiniOmni2HeadRunner
  ) throws(ModelInputError) -> Needs {
    let width = head.head.configuration.width
    guard rows > 0, hidden.count == rows * width, let start = hidden.baseAddress else {
      throw .shape(expected: "rows of hidden states of \(width)", found: "\(hidden.count) numbers in \(rows)")
    }
    return Needs(
      audio: speaks ? head.addAudio(start) : nil,
      text: hasTextEnded ? nil : head.addText(start + (rows - 1) * width))
  }

  /// Chooses a position's tokens from what the head has computed.
  package mutating func choose(_ needs: Needs, _ head: MiniOmni2HeadRunner) -> Step {
    if let place = needs.audio {
      for layer in 0..<Self.layers { tokens[layer] = sampler.sample(head.audioLogits(place, layer: layer)) }
    }
    tokens[tokens.count - 1] = needs.text.map { sampler.sample(head.textLogits($0)) } ?? ids.padText
    return advance()
  }

  /// Takes a position's tokens as they were chosen.
  package mutating func advance(_ tokens: [Int32]) -> Step {
    self.tokens = tokens
    return advance()
  }

  private mutating func advance() -> Step {
    var step = Step()
    let written = tokens[tokens.count - 1]
    if !hasTextEnded {
      hasTextEnded = written == ids.endOfText
      if !hasTextEnded { step.word = written }
    }
    if speaks {
      if tokens[Self.layers - 1] == ids.endOfAudio {
        // The last position's text, if it says any, is no part of the answer.
        step.word = nil
        step.isLast = true
        return step
      }
      step.hasFrame = gather()
    } else {
      step.isLast = hasTextEnded
    }
    positions += 1
    return step
  }

  /// Adds the position's tokens to their frames.
  ///
  /// - Returns: whether this completes a frame.
  private mutating func gather() -> Bool {
    let layers = Self.layers
    for layer in 0..<layers { recent[positions % layers * layers + layer] = tokens[layer] }
    guard positions >= layers else { return false }
    frames += 1
    for layer in 0..<layers {
      let token = recent[(positions + 1 + layer) % layers * layers + layer]
      if token < ids.endOfAudio {
        frame[layer] = token
      } else {
        // The release hands such ids to its codec, which fails. An id that is no code has no sound: the one before goes on.
        wrongCodes += 1
      }
    }
    return true
  }
}
