/// Mono samples of one rate, in order.
package protocol SampleSource: AnyObject {
  /// Samples per second.
  var rate: Int { get }

  /// Fills `target` from its start.
  ///
  /// - Returns: how many samples were written; fewer than there is room for means that the sound is at its end.
  func read(into target: inout [Float]) throws(AudioFileError) -> Int
}

/// Sound that cannot be had: which, why, and what to do about it.
package struct AudioFileError: Error, Sendable, CustomStringConvertible {
  package let path: String
  package let problem: String
  package let fix: String

  package init(path: String, problem: String, fix: String) {
    (self.path, self.problem, self.fix) = (path, problem, fix)
  }

  package var description: String {
    "cannot read \(path == "-" ? "standard input" : "'\(path)'"): \(problem); \(fix)"
  }
}
