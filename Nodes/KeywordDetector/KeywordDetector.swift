public import Dataflow
public import Messages
internal import ModelKit

/// Hears spoken commands in a stream of sound, each an utterance of its own, by a small network.
///
/// A command is found when the silence after it is, about a fifth of a second after its end; the same word in the midst of
/// talk is none. What is found depends on the sound alone, not on the chunks it comes in nor on the clock.
public struct KeywordDetectorNode: Node {
  public static let kind = "keyword-detector"
  public static let summary = "Hears a few spoken commands, each an utterance of its own, by a small network."

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let model: String
    public let language: String
    public let commands: [String]
    public let threshold: Float
    public let refractory: Int

    public init(_ read: inout ParameterReader) {
      model = read.model(
        "model", default: KeywordModel.builtInName,
        help: "The network: keyword-en, which is part of the program, one in the model cache, or the path of its file.")
      language = read("language", default: "en", help: "Code of the commands' language.")
      commands = read(
        "commands", default: CommandSet.defaults[language],
        help: "What to listen for; the network knows a fixed set, of which some may be left out.")
      threshold = read(
        "threshold", default: 0, in: 0...1,
        help: "Probability from which a command is taken for said; 0 is what the network's maker recommends.")
      refractory = read(
        "refractory", default: 600, in: 0...60_000, unit: "ms", help: "After a command nothing is found for so long.")
      // Where the file is not there, the machine that runs the node will tell.
      guard let known = try? ModelHeader.keyword(model) else { return }
      if known.language != language {
        read.reject("language", "'\(language)' is not known to \(model), whose commands are of '\(known.language)'")
      } else if let phrase = commands.first(where: { known.index(of: $0) == nil }) {
        let all = known.commands.joined(separator: ", ")
        read.reject("commands", "'\(phrase)' is not known to \(model); it knows \(all)")
      } else if commands.isEmpty {
        read.reject("commands", "there is none to listen for")
      }
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let audio: Input<AudioChunk>
    public let detections: Output<Detection>
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      audio = bind.input("audio", type: .audio(rate: 16_000, channels: 1), help: "The session's sound, from its start.")
      detections = bind.output("detections", help: "Each command when it has been said, timed by its end.")
    }
  }

  /// A session on its way through the node.
  private struct Track {
    let stream: KeywordStream
    var decision: KeywordDecision
  }

  private let parameters: Parameters
  private let model: KeywordModel
  private let wanted: [Int]
  private var tracks: [Session: Track] = [:]

  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    model = try ModelStore.shared.keyword(parameters.model) {
      if context.isStopping { throw CancellationError() }
    }
    let known = model.configuration
    wanted = try parameters.commands.map { phrase in
      guard known.language == parameters.language, let index = known.index(of: phrase) else {
        throw ParameterError(
          "commands", "'\(phrase)' in '\(parameters.language)' is not known to \(parameters.model)")
      }
      return index
    }
  }

  public mutating func run(_ ports: Ports) async throws {
    for try await event in ports.audio.events {
      switch event {
      case .message(let chunk):
        for detection in listen(to: chunk) {
          try await ports.detections.send(detection, following: chunk, time: detection.end)
        }
      case .sessionEnded(let session): tracks[session] = nil
      case .sessionBegan, .turnEnded, .turnCut: break
      }
    }
  }

  private mutating func listen(to chunk: Received<AudioChunk>) -> [Detection] {
    var track = tracks.removeValue(forKey: chunk.session) ?? newTrack()
    let rate = Int64(model.configuration.rate)
    // Where the stream's first sample would lie, by this chunk's own time.
    let origin = chunk.stamp.time - Int64(track.stream.samples) * 1_000_000_000 / rate
    var found: [Detection] = []
    chunk.value.samples.withUnsafeBufferPointer { samples in
      track.stream.push(samples) { row in
        guard let hit = track.decision.feed(row) else { return }
        let extent = track.stream.extent()
        func time(_ sample: Int) -> Int64 { max(0, origin + Int64(sample) * 1_000_000_000 / rate) }
        found.append(
          Detection(
            .command, label: parameters.commands[hit.command], start: time(extent.lowerBound),
            end: time(extent.upperBound), score: hit.score))
      }
    }
    tracks[chunk.session] = track
    return found
  }

  private func newTrack() -> Track {
    let known = model.configuration
    let rows = parameters.refractory * known.rate / 1_000 / (2 * known.hop)
    return Track(
      stream: KeywordStream(model),
      decision: KeywordDecision(
        wanted: wanted, threshold: parameters.threshold > 0 ? parameters.threshold : known.threshold,
        average: known.average, refractory: rows))
  }
}
