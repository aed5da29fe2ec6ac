/// Judges a stream of sound frame by frame: does somebody speak? What is made of the verdicts, an utterance or an
/// alarm, is for others to say. The same samples get the same verdicts, however they arrive.
public protocol SpeechJudge {
  /// Samples of a frame.
  var frame: Int { get }

  /// Judges the next frame.
  ///
  /// - Parameters:
  ///   - samples: ``frame`` of them; fewer at the stream's end.
  ///   - holding: whether the frame before was part of speech; then less is enough.
  mutating func judge(_ samples: UnsafeBufferPointer<Float>, holding: Bool) -> SpeechVerdict

  /// Whether a frame that was judged before would go on with speech, by what is known now.
  func goesOn(_ verdict: SpeechVerdict) -> Bool
}

/// What a ``SpeechJudge`` says of a frame.
public struct SpeechVerdict: Equatable, Sendable {
  public var isSpeech: Bool
  /// Mean square of the samples.
  public var power: Float
  /// How likely it is that somebody speaks, 0 to 1.
  public var probability: Float

  public init(isSpeech: Bool, power: Float, probability: Float) {
    (self.isSpeech, self.power, self.probability) = (isSpeech, power, probability)
  }
}

/// Judges by a neural network, which tells speech from noise of any loudness.
public struct SileroJudge: SpeechJudge {
  /// A frame above this probability begins speech, one above ``holding`` goes on with it: the values of Silero's own
  /// iterator, which takes 0.15 less.
  private let threshold: Float
  private let holding: Float
  private let runner: SileroRunner

  public var frame: Int { SileroModel.frame }

  /// - Parameter threshold: 0 to 1.
  public init(_ model: SileroModel, threshold: Float = 0.5) {
    (self.threshold, holding) = (threshold, max(threshold - 0.15, 0.01))
    runner = SileroRunner(model)
  }

  public mutating func judge(_ samples: UnsafeBufferPointer<Float>, holding isHolding: Bool) -> SpeechVerdict {
    let probability = runner.process(samples)
    let power = samples.reduce(0) { $0 + ($1.isFinite ? $1 * $1 : 0) } / Float(max(1, samples.count))
    return SpeechVerdict(
      isSpeech: probability > (isHolding ? holding : threshold), power: power, probability: probability)
  }

  public func goesOn(_ verdict: SpeechVerdict) -> Bool { verdict.probability > holding }
}

/// Makes judges of one kind, one for each stream; what they share is loaded once.
public struct SpeechJudges: Sendable {
  public enum Kind: String, CaseIterable, Sendable {
    /// ``SpeechLevel``.
    case energy
    /// ``SileroJudge``.
    case silero
  }

  public struct Settings: Sendable {
    public var kind = Kind.energy
    /// dB and dBFS, for the energy.
    public var margin = 10.0
    public var level = -66.0
    /// For Silero: its name in the model cache, its folder or file, and the probability that begins speech.
    public var model = "silero-vad"
    public var threshold: Float = 0.5

    public init() {}
  }

  private let settings: Settings
  private let rate: Int
  private let model: SileroModel?

  /// - Parameter rate: samples a second; Silero knows ``SileroModel/rate`` only.
  /// - Throws: ``ModelError``, ``ModelInputError``, `ComputeError`, or what `checkCancelled` throws.
  public init(_ settings: Settings, rate: Int, checkCancelled: CancellationCheck = {}) throws {
    (self.settings, self.rate) = (settings, rate)
    switch settings.kind {
    case .energy: model = nil
    case .silero:
      guard rate == SileroModel.rate else {
        throw ModelInputError.shape(expected: "sound of \(SileroModel.rate) Hz", found: "\(rate) Hz")
      }
      model = try ModelStore.shared.silero(at: ModelFolder.path(settings.model), checkCancelled: checkCancelled)
    }
  }

  public func make() -> any SpeechJudge {
    if let model { return SileroJudge(model, threshold: settings.threshold) }
    return SpeechLevel(rate: rate, margin: settings.margin, level: settings.level)
  }
}
