/// Mono samples of one rate, in order.
protocol SampleSource: AnyObject {
  /// Samples per second.
  var rate: Int { get }

  /// Fills `target` from its start.
  ///
  /// - Returns: how many samples were written; fewer than there is room for means that the sound is at its end.
  func read(into target: inout [Float]) throws(AudioFileError) -> Int
}

/// Sound that cannot be had: which, why, and what to do about it.
public struct AudioFileError: Error, Sendable, CustomStringConvertible {
  public let path: String
  public let problem: String
  public let fix: String

  public var description: String {
    "cannot read \(path == "-" ? "standard input" : "'\(path)'"): \(problem); \(fix)"
  }
}
