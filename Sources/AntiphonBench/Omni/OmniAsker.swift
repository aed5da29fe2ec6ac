import DataflowRuntime
import Foundation
import GraphFile
import Synchronization

/// Puts questions to a graph with the parameters of `Graphs/omni.yaml`, one after the other.
struct OmniAsker {
  /// A question as it is put.
  struct Job {
    var condition: OmniCondition
    var question: QuestionSet.Question
    var sound: String
    var picture: String?
  }

  let graph: String
  let settings: [String]
  let threads: Int

  /// Everything that is asked about a set: its questions, each answered and written down; and of the first of the sets,
  /// what is answered when the model cannot see or hear what it is asked about.
  static func jobs(_ set: QuestionSet) -> [Job] {
    func job(
      _ condition: OmniCondition, _ question: QuestionSet.Question, sound: String? = nil, picture: String? = nil
    ) -> Job {
      Job(
        condition: condition, question: question, sound: "\(set.folder)/\(sound ?? question.sound)",
        picture: picture.map { "\(set.folder)/\($0)" })
    }
    var jobs = set.questions.map { job(.asked, $0, picture: $0.picture) }
    jobs += set.questions.map { job(.transcribed, $0) }
    let controlled = set.questions.filter { $0.set == set.questions[0].set }
    let (about, others) = (controlled.filter { $0.picture != nil }, controlled.filter { $0.picture == nil })
    for (index, question) in others.enumerated() where !about.isEmpty {
      jobs.append(job(.beside, question, picture: about[index % about.count].picture))
    }
    for (question, next) in zip(about, about.dropFirst() + about.prefix(1)) where about.count > 1 {
      jobs.append(job(.hidden, question, picture: next.picture))
    }
    for (question, next) in zip(others, others.dropFirst() + others.prefix(1)) where others.count > 1 {
      jobs.append(job(.shuffled, question, sound: next.sound))
    }
    return jobs
  }

  /// - Parameters:
  ///   - name: of the answer's file in the folder, without its ending.
  ///   - folder: of the answers.
  func ask(_ job: Job, name: String, in folder: String) async throws -> OmniAnswer {
    let task = job.condition == .transcribed ? "a1t1" : job.picture == nil ? "a1a2" : "image-a1a2"
    let (answer, summary) = try await run(
      sound: job.sound, picture: job.picture, task: task, to: "\(folder)/\(name).wav")
    var result = OmniAnswer(job.condition, job.question)
    result.text = answer
    result.turns = summary.turns.count
    if FileManager.default.fileExists(atPath: "\(folder)/\(name).wav") { result.sound = "\(name).wav" }
    if let timing = summary.timings.first {
      func seconds(_ time: Int64?) -> Double? { time.map { Double($0) / 1e9 } }
      result.firstAudio = seconds(timing.firstAudio)
      result.answered = seconds(timing.answered)
      result.audio = seconds(timing.audio)
    }
    return result
  }

  /// - Returns: what it writes, and how the run went.
  func run(
    sound: String, picture: String?, task: String, to file: String
  ) async throws -> (text: String, summary: RunSummary) {
    // Of an older run.
    try? FileManager.default.removeItem(atPath: file)
    let directory = try RunDirectory()
    var overrides = [
      "task=\(task)", "question=\(Self.quoted(sound))", "answer=\(Self.quoted(file))", "answer.label=''",
    ]
    if let picture { overrides.append("picture=\(Self.quoted(picture))") }
    let lines = Mutex<[String]>([])
    let summary = try await WholeGraph.run(graph, overrides: overrides + settings, threads: threads, in: directory) {
      if case .print(_, let text) = $0 { lines.withLock { $0.append(text) } }
    }
    return (lines.withLock { $0.joined(separator: " ") }, summary)
  }

  /// As YAML reads it back, whatever stands in it.
  private static func quoted(_ path: String) -> String {
    "'" + URL(fileURLWithPath: path).standardizedFileURL.path.replacing("'", with: "''") + "'"
  }
}
