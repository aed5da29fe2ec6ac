import ArgumentParser
import Foundation
import ModelKit
import Tensors

/// Whether the small Mini-Omni2 answers held-out questions; `tools/eval omni` goes through all of it.
struct OmniCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "omni", abstract: "Puts held-out questions to a Mini-Omni2 graph, and counts what is answered right.",
    subcommands: [Ask.self, Listen.self, Table.self])

  struct Ask: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Runs a graph over the questions of 'tools/train/omni sets'.",
      discussion: """
        Questions are put one after the other, each in a run of its own; every run loads the models anew. The folder \
        then holds the spoken answers and answers.json.
        """)

    @Argument(help: "The folder of questions, with its manifest.json.")
    var questions: String
    @Option(help: "The folder that the answers go to.")
    var out: String
    @Option(help: "The graph, which has the parameters of Graphs/omni.yaml.")
    var graph = "Graphs/omni.yaml"
    @Option(name: .customLong("set"), help: "A parameter, as in 'antiphon run'; may be given several times.")
    var settings: [String] = []
    @Option(help: "Recordings of people: audio files, or folders of them; may be given several times.")
    var recordings: [String] = []
    @Option(help: "Threads that compute.")
    var threads = 2

    func validate() throws {
      guard (1...64).contains(threads) else { throw ValidationError("--threads must be from 1 to 64") }
    }

    func run() async throws {
      Compute.setThreads(threads)
      let set = try QuestionSet(folder: questions)
      let people = try Self.sounds(recordings)
      try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: true)
      var course = OmniAnswers(
        machine: Machine.current().description, kernels: Compute.description, graph: graph, settings: settings,
        questions: URL(fileURLWithPath: questions).standardizedFileURL.path, about: set.about)
      let asker = OmniAsker(graph: graph, settings: settings, threads: threads)
      let jobs = OmniAsker.jobs(set)
      for (index, job) in jobs.enumerated() {
        let name = String(format: "%@-%05d", job.condition.rawValue, index)
        course.answers.append(try await asker.ask(job, name: name, in: out))
        progress("asking", index + 1, jobs.count)
      }
      course.peakBytes = Machine.peakMemory
      try await answer(people, asker, &course)
      try course.write(to: out)
    }

    /// Lets the model write down what people said, and answer it.
    private func answer(_ people: [String], _ asker: OmniAsker, _ course: inout OmniAnswers) async throws {
      for (index, file) in people.enumerated() {
        var recording = OmniRecording(file: file)
        let sound = "\(out)/\(OmniRecording.answerFile(index))"
        recording.transcript = try await asker.run(sound: file, picture: nil, task: "a1t1", to: sound).text
        recording.answer = try await asker.run(sound: file, picture: nil, task: "a1a2", to: sound).text
        course.recordings.append(recording)
        progress("recordings of people", index + 1, people.count)
      }
    }

    /// Audio files of folders, and those that are named themselves.
    private static func sounds(_ paths: [String]) throws -> [String] {
      try paths.map { URL(fileURLWithPath: $0).standardizedFileURL.path }.flatMap { path in
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
          throw BenchError("\(path): there is no such file or folder")
        }
        guard isFolder.boolValue else { return [path] }
        let files = try FileManager.default.contentsOfDirectory(atPath: path).sorted()
        let endings = [".wav", ".flac", ".ogg", ".mp3"]
        let sounds = files.filter { file in endings.contains { file.lowercased().hasSuffix($0) } }
        guard !sounds.isEmpty else { throw BenchError("\(path): the folder holds no WAV, FLAC, Ogg or MP3 file") }
        return sounds.map { "\(path)/\($0)" }
      }
    }
  }

  struct Listen: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Lets Whisper write down the spoken answers, and the questions that the graph wrote down.")

    @Argument(help: "The folder of answers.")
    var answers: String
    @Option(help: "The model that writes down the answers.")
    var judge = "whisper-base"
    @Option(help: "The model that writes down the questions.")
    var ears = "whisper-tiny.en"
    @Option(help: "How the matrices of their encoders are kept and multiplied, as of whisper-encoder.")
    var weights = "bf16"
    @Option(help: "Threads that compute.")
    var threads = 2

    func validate() throws {
      guard (1...64).contains(threads) else { throw ValidationError("--threads must be from 1 to 64") }
      guard WeightPrecision(rawValue: weights) != nil else {
        let known = WeightPrecision.allCases.map(\.rawValue).joined(separator: ", ")
        throw ValidationError("--weights must be one of \(known)")
      }
    }

    func run() throws {
      Compute.setThreads(threads)
      let weights = WeightPrecision(rawValue: weights) ?? .stored
      var course = try OmniAnswers(folder: answers, withOthers: false)
      (course.judge, course.ears) = (judge, ears)
      let (judge, ears) = (try Listener(model: judge, weights: weights), try Listener(model: ears, weights: weights))
      for index in course.answers.indices {
        let answer = course.answers[index]
        if answer.condition == .transcribed {
          let sound = "\(course.questions)/\(answer.question.sound)"
          course.answers[index].heard = [self.ears: try ears.transcribe(file: sound)]
        } else {
          let text = try answer.sound.map { try judge.transcribe(file: "\(answers)/\($0)") } ?? ""
          course.answers[index].heard = [self.judge: text]
        }
        progress("listening", index + 1, course.answers.count)
      }
      for index in course.recordings.indices {
        course.recordings[index].heard = try ears.transcribe(file: course.recordings[index].file)
        let answer = "\(answers)/\(OmniRecording.answerFile(index))"
        if FileManager.default.fileExists(atPath: answer) {
          course.recordings[index].answerHeard = try judge.transcribe(file: answer)
        }
      }
      try course.write(to: answers)
    }
  }

  struct Table: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "What 'omni ask' found, and what other recognizers heard (heard-*.json), with 95 % intervals.")

    @Argument(help: "The folder of answers.")
    var answers: String
    @Flag(help: "Print JSON.")
    var json = false
    @Option(help: "Also write the tables to this file, as Markdown.")
    var markdown: String?

    func run() throws {
      let report = OmniReport(try OmniAnswers(folder: answers))
      if let markdown { try report.markdown.write(toFile: markdown, atomically: true, encoding: .utf8) }
      json ? try print(report.json()) : print(report.description)
    }
  }
}

private func progress(_ what: String, _ done: Int, _ count: Int) {
  let end = done == count ? "\n" : ""
  FileHandle.standardError.write(Data("\r\(what): \(done) of \(count)\(end)".utf8))
}
