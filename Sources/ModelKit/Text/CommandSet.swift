/// Spoken commands that silence an assistant.
public struct CommandSet: Equatable, Sendable {
  /// Code of the language, such as `en` or `zh`.
  public let language: String
  /// The phrases, as they are written in the language.
  public let phrases: [String]

  public init(language: String, phrases: [String]) { (self.language, self.phrases) = (language, phrases) }

  /// Phrases for those who name only a language; Mini-Omni2 was taught to stop at "Stop Omni" (section 3.4).
  public static let defaults: [String: [String]] = [
    "en": ["stop", "stop omni", "wait"],
    "zh": ["停", "打断一下", "换个话题"],
  ]
}
