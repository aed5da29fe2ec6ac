/// Finds the stretches of speech in a stream of samples: each begins with a frame that a judge takes for speech, and ends
/// with the last one before a gap.
public struct SpeechStretches {
  public struct Stretch: Equatable, Sendable {
    /// The first sample, and the one behind the last frame of speech.
    public var start: Int
    public var end: Int
    /// Samples that have been heard.
    public var heard: Int
    /// Samples of speech between start and end; the others are gaps.
    public var speech: Int
    /// Mean of what the judge said of them.
    public var probability: Float
    /// Whether the gap has come that ends it.
    public var isOver: Bool
  }

  private var judge: any SpeechJudge
  /// Samples.
  private let gap: Int
  private var rest: [Float] = []
  private var position = 0
  private var current: Stretch?

  /// - Parameter gap: samples of quiet that end a stretch.
  public init(judge: any SpeechJudge, gap: Int) {
    (self.judge, self.gap) = (judge, gap)
  }

  /// Hears more of the stream.
  ///
  /// - Parameter body: gets the stretch after each of its frames, and once when it is over.
  public mutating func feed(_ samples: some Collection<Float>, _ body: (Stretch) throws -> Void) rethrows {
    rest.append(contentsOf: samples)
    let frame = judge.frame
    var used = 0
    defer { rest.removeFirst(used) }
    while rest.count - used >= frame {
      let verdict = rest.withUnsafeBufferPointer {
        judge.judge(UnsafeBufferPointer(rebasing: $0[used..<used + frame]), holding: current != nil)
      }
      used += frame
      position += frame
      take(verdict, frame)
      if let stretch = current {
        if stretch.isOver { current = nil }
        try body(stretch)
      }
    }
  }

  private mutating func take(_ verdict: SpeechVerdict, _ frame: Int) {
    guard var stretch = current else {
      if verdict.isSpeech {
        current = Stretch(
          start: position - frame, end: position, heard: position, speech: frame, probability: verdict.probability,
          isOver: false)
      }
      return
    }
    stretch.heard = position
    if verdict.isSpeech {
      let before = Float(stretch.speech / frame)
      stretch.probability = (stretch.probability * before + verdict.probability) / (before + 1)
      stretch.end = position
      stretch.speech += frame
    } else {
      stretch.isOver = position - stretch.end >= gap
    }
    current = stretch
  }
}
