import Foundation

/// Held-out questions, as `tools/train/omni sets` writes them: a folder of sounds and pictures with a `manifest.json`.
package struct QuestionSet: Sendable {
  package struct Question: Codable, Sendable {
    /// The set that it belongs to.
    package var set: String
    /// Files, from the folder: the question as spoken, and the picture that it is about.
    package var sound: String
    package var picture: String?
    /// What is asked, and what should be answered.
    package var question: String
    package var answer: String
    /// What is most often right for such a question, whatever the picture shows.
    package var guess: String?
    /// What it is about, and how it asks.
    package var topic: String
    package var kind: String
    package var voice: String

    package init(
      set: String, sound: String, picture: String?, question: String, answer: String, guess: String?, topic: String,
      kind: String, voice: String
    ) {
      (self.set, self.sound, self.picture, self.question) = (set, sound, picture, question)
      (self.answer, self.guess, self.topic, self.kind, self.voice) = (answer, guess, topic, kind, voice)
    }
  }

  private struct Manifest: Decodable {
    var version: Int
    var sets: [String: String]
    var questions: [Question]
  }

  package let folder: String
  /// What each set is, by its name.
  package let about: [String: String]
  package let questions: [Question]

  private static let version = 1
  /// A manifest of ten thousand questions has 3 MB.
  private static let mostBytes = 64 << 20

  /// Reads a folder's manifest and looks whether its files are there.
  ///
  /// - Throws: ``QuestionSetError``.
  package init(folder: String) throws(QuestionSetError) {
    let path = folder + "/manifest.json"
    let size = (try? URL(fileURLWithPath: path).resourceValues(forKeys: [.fileSizeKey]))?.fileSize
    guard let size, size <= Self.mostBytes, let data = try? Data(contentsOf: URL(fileURLWithPath: path)) else {
      throw QuestionSetError(
        path: path,
        problem: size.map { $0 > Self.mostBytes } ?? false ? "it has \(size ?? 0) bytes" : "it cannot be read",
        fix: "make the questions: tools/train/omni domain sets --out \(folder)")
    }
    let manifest: Manifest
    do {
      manifest = try JSONDecoder().decode(Manifest.self, from: data)
    } catch {
      throw QuestionSetError(path: path, problem: Self.problem(error), fix: Self.remake(folder))
    }
    guard manifest.version == Self.version else {
      throw QuestionSetError(
        path: path, problem: "expected version \(Self.version), found \(manifest.version)", fix: Self.remake(folder))
    }
    guard !manifest.questions.isEmpty else {
      throw QuestionSetError(path: path, problem: "it holds no questions", fix: Self.remake(folder))
    }
    for (place, question) in manifest.questions.enumerated() {
      guard manifest.sets[question.set] != nil else {
        throw QuestionSetError(
          path: path, problem: "questions[\(place)]: 'sets' does not tell of the set '\(question.set)'",
          fix: Self.remake(folder))
      }
      for file in [question.sound, question.picture].compactMap(\.self)
      where !FileManager.default.isReadableFile(atPath: "\(folder)/\(file)") {
        throw QuestionSetError(
          path: "\(folder)/\(file)", problem: "questions[\(place)] of the manifest needs it, and it cannot be read",
          fix: Self.remake(folder))
      }
    }
    (self.folder, about, questions) = (folder, manifest.sets, manifest.questions)
  }

  private static func remake(_ folder: String) -> String {
    "delete the folder and make it again: tools/train/omni domain sets --out \(folder)"
  }

  /// What of a JSON file cannot be read, in a line.
  static func problem(_ error: any Error) -> String {
    let (what, context): (String, DecodingError.Context)
    switch error as? DecodingError {
    case .keyNotFound(let key, let found): (what, context) = ("'\(key.stringValue)' is missing", found)
    case .typeMismatch(let type, let found): (what, context) = ("expected \(type)", found)
    case .valueNotFound(let type, let found): (what, context) = ("expected \(type), found null", found)
    case .dataCorrupted(let found): (what, context) = ("it is not JSON", found)
    default: return "it is not JSON"
    }
    let place = context.codingPath.reduce("") { path, key in
      if let index = key.intValue { return "\(path)[\(index)]" }
      return path.isEmpty ? key.stringValue : "\(path).\(key.stringValue)"
    }
    return place.isEmpty ? what : "\(place): \(what)"
  }
}

/// What is wrong with a folder of questions.
package struct QuestionSetError: Error, Sendable, CustomStringConvertible {
  package let path: String
  package let problem: String
  package let fix: String
  package var description: String { "\(path): \(problem); \(fix)" }
}
