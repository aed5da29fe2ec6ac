import ArgumentParser
import Foundation
import Tensors

/// Whether the small Mini-Omni2 answers held-out questions; `tools/eval omni` goes through all of it.
struct OmniCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "omni", abstract: "Puts held-out questions to a Mini-Omni2 graph, and counts what is answered right.",
    subcommands: [Ask.self, Table.self])

  struct Ask: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Runs a graph over the questions of 'tools/train/omni sets', and writes down what can be heard.",
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
    @Option(help: "The Whisper model that writes down the answers.")
    var judge = "whisper-base"
    @Option(help: "The Whisper model that writes down the questions, beside the graph's own transcripts.")
    var ears = "whisper-tiny.en"
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
        about: set.about, judge: judge, ears: ears)
      let asker = OmniAsker(graph: graph, settings: settings, threads: threads)
      let jobs = OmniAsker.jobs(set)
      for (index, job) in jobs.enumerated() {
        let name = String(format: "%@-%05d", job.condition.rawValue, index)
        course.answers.append(try await asker.ask(job, name: name, in: out))
        Self.progress("asking", index + 1, jobs.count)
      }
      course.peakBytes = Self.peakBytes()
      try await answer(people, asker, &course)
      try course.write(to: out)
      try listen(set, jobs, &course)
      try course.write(to: out)
    }

    /// Lets recognizers hear every answer, and the questions that were to be written down.
    private func listen(_ set: QuestionSet, _ jobs: [OmniAsker.Job], _ course: inout OmniAnswers) throws {
      let (judge, ears) = (try Listener(model: judge), try Listener(model: ears))
      for index in course.answers.indices {
        if course.answers[index].condition == .transcribed {
          course.answers[index].heard[self.ears] = try ears.transcribe(file: jobs[index].sound)
        } else {
          let sound = course.answers[index].sound
          course.answers[index].heard[self.judge] = try sound.map { try judge.transcribe(file: "\(out)/\($0)") } ?? ""
        }
        Self.progress("listening", index + 1, course.answers.count)
      }
      for index in course.recordings.indices {
        course.recordings[index].heard = try ears.transcribe(file: course.recordings[index].file)
        let answer = "\(out)/\(Self.answerFile(index))"
        if FileManager.default.fileExists(atPath: answer) {
          course.recordings[index].answerHeard = try judge.transcribe(file: answer)
        }
      }
    }

    /// Lets the model write down what people said, and answer it.
    private func answer(_ people: [String], _ asker: OmniAsker, _ course: inout OmniAnswers) async throws {
      for (index, file) in people.enumerated() {
        var recording = OmniRecording(file: file)
        let sound = "\(out)/\(Self.answerFile(index))"
        recording.transcript = try await asker.run(sound: file, picture: nil, task: "a1t1", to: sound).text
        recording.answer = try await asker.run(sound: file, picture: nil, task: "a1a2", to: sound).text
        course.recordings.append(recording)
        Self.progress("recordings of people", index + 1, people.count)
      }
    }

    private static func answerFile(_ index: Int) -> String { String(format: "people-%03d.wav", index) }

    /// Audio files of folders, and those that are named themselves.
    private static func sounds(_ paths: [String]) throws -> [String] {
      try paths.flatMap { path in
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

    private static func peakBytes() -> Int {
      var usage = rusage()
      getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
      return Int(usage.ru_maxrss) * 1024
    }

    private static func progress(_ what: String, _ done: Int, _ count: Int) {
      let end = done == count ? "\n" : ""
      FileHandle.standardError.write(Data("\r\(what): \(done) of \(count)\(end)".utf8))
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
