import ArgumentParser
import Foundation
import Messages
import VoiceActivity

/// How well a detector hears commands, and only commands, over a set of recordings.
struct DetectCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "detect",
    abstract: "Recall, false alarms and latency of a detector, over recordings of 'tools/bench detect-sounds'.",
    discussion: """
      Any kind of node with the ports of a detector will do, and any that checks what a detector finds. They are run as \
      fast as they go; latencies are the sound that they had got when they said so, and the processor time that it took \
      them then.
      """)

  @Argument(help: "The folder of recordings, with its manifest.json.")
  var sounds: String
  @Option(help: "The kind of detector.")
  var kind = "keyword-detector"
  @Option(name: .customLong("set"), help: "PARAMETER=VALUE of the detector; may be given several times.")
  var settings: [String] = []
  @Option(help: "The kind of a node that checks the detections, such as detection-check.")
  var check: String?
  @Option(name: .customLong("check-set"), help: "PARAMETER=VALUE of the node that checks; may be given several times.")
  var checkSettings: [String] = []
  @Option(
    name: .customLong("own-set"),
    help: "The same of the keyword detector that hears what the assistant plays (default: threshold=0.5).")
  var ownSettings = ["threshold=0.5"]
  @Option(help: "Milliseconds of sound that the detector gets at once.")
  var chunk = 20
  @Option(help: "Hours of talk, and of the assistant's own voice, at most; for slow detectors.")
  var hours = 1_000.0
  @Flag(help: "Print every false alarm and every command that was missed.")
  var faults = false
  @Flag(help: "Print everything as JSON.")
  var json = false

  func validate() throws {
    guard (1...10_000).contains(chunk) else { throw ValidationError("--chunk must be from 1 to 10000") }
    guard hours > 0 else { throw ValidationError("--hours must be more than 0") }
    guard check != nil || checkSettings.isEmpty else { throw ValidationError("--check-set needs --check") }
  }

  func run() async throws {
    let set = try SoundSet.load(sounds)
    let recordings = try limited(set)
    let drive = DetectorDrive(
      kind: kind, settings: settings, check: check, checkSettings: checkSettings,
      chunk: chunk * DetectorDrive.rate / 1_000)
    let machine = Machine.current()
    var outcomes = try await drive.run(recordings.map { recording in { try set.samples(recording.file, in: sounds) } })
    try await markOwnWords(in: &outcomes, of: recordings, set)
    var result = DetectResult(
      machine: machine, about: set.about,
      detector: ([kind] + settings + (check.map { ["and", $0] + checkSettings } ?? [])).joined(separator: " "),
      known: set.commands, words: set.commandWords)
    for (recording, outcome) in zip(recordings, outcomes) { result.add(recording, outcome, faults) }
    json ? try print(result.json()) : print(result.description)
  }

  /// Marks what a keyword detector hears in what was played, too: Graphs/duplex.yaml has one, and such a word interrupts
  /// nobody.
  private func markOwnWords(
    in outcomes: inout [DetectorDrive.Outcome], of recordings: [SoundSet.Recording], _ set: SoundSet
  ) async throws {
    let played = zip(recordings.indices, recordings).compactMap { place, recording in
      recording.reference.map { (place, $0) }
    }
    let drive = DetectorDrive(
      kind: "keyword-detector", settings: ownSettings, chunk: chunk * DetectorDrive.rate / 1_000)
    let own = try await drive.run(played.map { _, file in { try set.samples(file, in: sounds) } })
    for ((place, _), own) in zip(played, own) {
      for index in outcomes[place].found.indices {
        let found = outcomes[place].found[index]
        var voice = OwnVoice()
        for word in own.found where word.heard <= found.heard { voice.note(word.detection) }
        outcomes[place].found[index].isOwnWord = voice.explains(found.detection)
      }
    }
  }

  /// The recordings, of talk and of the own voice only as many as are wanted.
  private func limited(_ set: SoundSet) throws -> [SoundSet.Recording] {
    var heard: [SoundSet.Recording.Kind: Double] = [:]
    return set.recordings.filter { recording in
      guard recording.kind == .talk || recording.kind == .own else { return true }
      guard heard[recording.kind, default: 0] < hours else { return false }
      let file = URL(fileURLWithPath: sounds).appendingPathComponent(recording.file)
      let bytes = (try? file.resourceValues(forKeys: [.fileSizeKey]).fileSize) ?? 0
      heard[recording.kind, default: 0] += Double(bytes) / 2 / Double(DetectorDrive.rate) / 3_600
      return true
    }
  }
}

/// What `antiphon-bench detect` found.
struct DetectResult: Codable {
  var machine: Machine
  var about: String
  var detector: String
  /// By condition, in the order of the recordings.
  var commands: [Group] = []
  /// By whether they hold a word of a command.
  var near = [Group(name: "with a command's word in it"), Group(name: "that sound like a command")]
  var talk: [Group] = []
  /// Milliseconds from a command's end and from its start to when it is told: to the last sound that it took, and the
  /// processor time behind that, which is told apart as well.
  var fromEnd = Samples()
  var fromStart = Samples()
  var computing = Samples()
  /// Seconds of sound and of processor time.
  var duration = 0.0
  var cost = 0.0
  var faults: [String] = []

  struct Group: Codable {
    var name: String
    /// Utterances, and those with a detection.
    var count = 0
    var found = 0
    /// Found, but as another command; a detector that does not tell them apart mistakes none.
    var mistaken = 0
    /// Detections where no utterance was.
    var alarms = 0
    var hours = 0.0
    init(name: String) { self.name = name }
  }

  /// Commands, and the words that they are made of.
  private let known: Set<String>
  private let commandWords: Set<String>

  init(machine: Machine, about: String, detector: String, known: Set<String>, words: Set<String>) {
    (self.machine, self.about, self.detector) = (machine, about, detector)
    (self.known, commandWords) = (known, words)
  }

  /// Seconds after an utterance's end at which a detection is still its own.
  static let patience = 1.0

  mutating func add(_ recording: SoundSet.Recording, _ outcome: DetectorDrive.Outcome, _ keepsFaults: Bool) {
    duration += outcome.duration
    cost += outcome.cost
    var group = Group(name: "")
    group.hours = outcome.duration / 3_600
    var rest = outcome.found
    for utterance in recording.utterances {
      let resembles = SoundSet.words(utterance.text).isDisjoint(with: commandWords) ? 1 : 0
      if recording.kind == .near { near[resembles].count += 1 }
      group.count += 1
      let own = rest.filter { $0.heard >= utterance.start && $0.heard <= utterance.end + Self.patience }
      rest.removeAll { $0.heard >= utterance.start && $0.heard <= utterance.end + Self.patience }
      if let first = own.first {
        group.found += 1
        if recording.kind == .near { near[resembles].found += 1 }
        if recording.kind == .commands {
          fromEnd.add((first.heard + first.computing - utterance.end) * 1e3)
          fromStart.add((first.heard + first.computing - utterance.start) * 1e3)
          computing.add(first.computing * 1e3)
          let label = first.detection.label
          if first.detection.kind == .command, label != utterance.text, known.contains(label) { group.mistaken += 1 }
        }
      }
      if keepsFaults, own.isEmpty == (recording.kind == .commands) {
        faults.append("\(recording.file) \(recording.condition) \(utterance.start) \(utterance.text)")
      }
    }
    group.alarms = rest.count
    if keepsFaults {
      faults += rest.map { "\(recording.file) \(recording.condition) \($0.heard) heard \($0.detection.label)" }
    }
    switch recording.kind {
    case .commands: Self.merge(group, as: "\(recording.condition), \(recording.voices)", into: &commands)
    case .near: Self.merge(group, as: "between near-misses", into: &talk)
    case .talk: Self.merge(group, as: "talk", into: &talk)
    case .own:
      Self.merge(group, as: "own voice", into: &talk)
      guard recording.reference != nil else { break }
      group.alarms = rest.count { !$0.isOwnWord }
      Self.merge(group, as: "own voice, but for words heard in what is played", into: &talk)
    }
  }

  private static func merge(_ group: Group, as name: String, into groups: inout [Group]) {
    if !groups.contains(where: { $0.name == name }) { groups.append(Group(name: name)) }
    for index in groups.indices where groups[index].name == name { groups[index].add(group) }
  }

  func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }

  var description: String {
    var recall = TextTable(["recall, synthetic speech", "commands", "found %", "95 %", "as another"])
    for group in commands + [total] { recall.add(group.recall) }
    var alarms = TextTable(["false alarms, synthetic speech", "hours", "alarms", "an hour", "95 %"])
    for group in talk { alarms.add(group.rate) }
    var misses = TextTable(["near-misses taken for commands, synthetic speech", "utterances", "taken %", "95 %"])
    for group in near { misses.add(Array(group.recall.dropLast())) }
    func latency(_ samples: Samples) -> String {
      String(format: "p50 %.0f, p95 %.0f, most %.0f", samples.median, samples.quantile(0.95), samples.most)
    }
    return """
      \(detector): \(about)
      \(machine.description)

      \(recall.description)

      \(misses.description)

      \(alarms.description)

      ms from a command's end: \(latency(fromEnd)); from its start: \(latency(fromStart))
      of these, processor time behind the last sound: \(latency(computing))
      processor time: \(String(format: "%.2f", 100 * cost / max(duration, 1e-9))) % of one core for sound as it comes \
      (\(String(format: "%.1f", duration / 3_600)) hours of it)
      """ + faults.map { "\n" + $0 }.joined()
  }

  private var total: Group { commands.reduce(into: Group(name: "all")) { $0.add($1) } }
}

private func percent(_ range: ClosedRange<Double>) -> String {
  String(format: "%.1f to %.1f", 100 * range.lowerBound, 100 * range.upperBound)
}

extension DetectResult.Group {
  fileprivate mutating func add(_ other: Self) {
    count += other.count
    found += other.found
    mistaken += other.mistaken
    alarms += other.alarms
    hours += other.hours
  }

  fileprivate var recall: [String] {
    let share = count > 0 ? String(format: "%.1f", 100 * Double(found) / Double(count)) : "-"
    return [name, "\(count)", share, percent(Interval.proportion(found, of: count)), "\(mistaken)"]
  }

  fileprivate var rate: [String] {
    let range = Interval.mean(alarms)
    return [
      name, String(format: "%.2f", hours), "\(alarms)", String(format: "%.2f", Double(alarms) / max(hours, 1e-9)),
      String(format: "%.2f to %.2f", range.lowerBound / max(hours, 1e-9), range.upperBound / max(hours, 1e-9)),
    ]
  }
}
