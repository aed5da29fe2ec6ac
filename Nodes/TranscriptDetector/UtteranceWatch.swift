internal import ModelKit

/// Decides which stretches of a stream are worth writing down, and when: sound in, looks out. It knows neither time nor
/// models.
struct UtteranceWatch {
  /// Sound to look at.
  struct Look {
    let samples: [Float]
    /// The utterance: its first sample, and the one behind its last speech.
    let start: Int
    let end: Int
    /// Whether the utterance is over, so that what it says is all that it says.
    let isWhole: Bool
  }

  /// In samples.
  struct Settings {
    /// The most that is looked at.
    var window: Int
    /// From one look at an utterance to the next.
    var every: Int
    /// Quiet that ends an utterance.
    var pause: Int
    /// What is shorter is no utterance but a click.
    var shortest: Int
  }

  private let settings: Settings
  private var stretches: SpeechStretches
  /// The last samples, and the position of the first of them.
  private var recent: [Float] = []
  private var recentStart = 0
  /// Where the last utterance ended, and how far this one has been looked at.
  private var lastEnd = 0
  private var lookedUntil: Int?

  init(_ settings: Settings, judge: any SpeechJudge) {
    self.settings = settings
    stretches = SpeechStretches(judge: judge, gap: settings.pause)
  }

  /// Hears more of the stream.
  mutating func feed(_ samples: some Collection<Float>) -> [Look] {
    recent.append(contentsOf: samples)
    var looks: [Look] = []
    var (lastEnd, lookedUntil) = (lastEnd, lookedUntil)
    let (recent, recentStart, settings) = (recent, recentStart, settings)
    stretches.feed(samples) { stretch in
      let isDue = stretch.heard - (lookedUntil ?? stretch.start) >= settings.every
      if stretch.isOver || isDue, stretch.speech >= settings.shortest {
        // A little of the quiet before it, but nothing of what was said before that.
        let early = min(settings.pause, (stretch.start - lastEnd) / 2)
        let first = max(stretch.start - early, stretch.heard - settings.window, recentStart)
        looks.append(
          Look(
            samples: Array(recent[first - recentStart..<stretch.heard - recentStart]), start: stretch.start,
            end: stretch.end, isWhole: stretch.isOver))
        lookedUntil = stretch.heard
      }
      if stretch.isOver { (lastEnd, lookedUntil) = (stretch.end, nil) }
    }
    (self.lastEnd, self.lookedUntil) = (lastEnd, lookedUntil)
    trim()
    return looks
  }

  private mutating func trim() {
    // More than the window, by what has not been judged yet and by the pause that ended the last utterance.
    let kept = settings.window + 2 * settings.pause + 1_024
    if recent.count > 2 * kept {
      recentStart += recent.count - kept
      recent.removeFirst(recent.count - kept)
    }
  }
}
