public import Dataflow
public import Messages
internal import Sound

/// Reads sound from files or standard input, each file a session of its own.
///
/// At pace `fast` the files are read one after the other, as fast as the graph takes them. At pace `real-time` all
/// sessions begin at once, and a chunk is sent when its last sample would have been recorded.
public struct AudioCaptureNode: Node {
  public static let kind = "audio-capture"
  public static let summary = "Reads audio files (any format of libsndfile) or raw sound from standard input; mono out."

  public enum Pace: String, CaseIterable, Sendable {
    case fast
    case realTime = "real-time"
  }

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let paths: [String]
    public let rate: Int
    public let pace: Pace
    public let chunk: Int

    public init(_ read: inout ParameterReader) {
      paths = read.paths(
        "path",
        help: """
          Audio file, or a list of them; each is a session named after the file. '-' reads raw sound from standard \
          input: 16-bit little-endian, mono, at 'rate'.
          """)
      rate = read(
        "rate", default: 16_000, in: 4_000...192_000, unit: "Hz",
        help: "Rate of the sound that is sent; files of other rates are resampled.")
      pace = read(
        "pace", default: .fast, help: "'fast': as fast as the graph takes it; 'real-time': like a live source.")
      chunk = read("chunk", default: 20, in: 1...1_000, unit: "ms", help: "Length of the chunks that are sent.")
      if paths.isEmpty { read.reject("path", "the list is empty; name at least one audio file, or '-'") }
      if paths.count > 1, paths.contains("-") {
        read.reject("path", "standard input ('-') cannot be read along with files; start a run of its own for it")
      }
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let audio: Output<AudioChunk>
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      audio = bind.output(
        "audio", type: .audio(rate: parameters.rate, channels: 1),
        help: "The sound, mono (the average of all channels), in chunks of the session.")
    }
  }

  public static var libraries: [Library] { AudioFile.libraries + Resampler.libraries }
  public static func goesByTheClock(_ parameters: Parameters) -> Bool { parameters.pace != .fast }

  private let parameters: Parameters
  private let context: NodeContext

  /// - Throws: ``AudioFileError`` if there is only one file and it cannot be read, so that the graph does not start.
  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    if let path = parameters.paths.first, parameters.paths.count == 1, path != "-" {
      _ = try open(path)
    }
  }

  public mutating func run(_ ports: Ports) async throws {
    let names = sessionNames(for: parameters.paths)
    let jobs = zip(parameters.paths, names).map { Job(path: $0, name: $1) }
    switch parameters.pace {
    case .fast:
      for job in jobs where !context.isStopping {
        begin(job)
        while let chunk = try next(of: job) { try await send(chunk, of: job, to: ports.audio) }
      }
    case .realTime:
      for job in jobs { begin(job) }
      let start = context.clock.now
      var open = jobs
      var tick: Int64 = 0
      while !open.isEmpty, !context.isStopping {
        tick += 1
        try await context.clock.sleep(until: start + tick * Int64(parameters.chunk) * 1_000_000)
        var still: [Job] = []
        for job in open {
          guard let chunk = try next(of: job) else { continue }
          try await send(chunk, of: job, to: ports.audio)
          still.append(job)
        }
        open = still
      }
    }
    if jobs.count > 1, let first = jobs.first?.failure, jobs.allSatisfy({ $0.failure != nil }) {
      throw AudioFileError(
        path: first.path, problem: "\(first.problem) (and no other file could be read)", fix: first.fix)
    }
  }

  /// A file on its way through the node.
  private final class Job {
    let path: String
    let name: String
    var session: Session?
    var source: (any SampleSource)?
    var sent = 0
    var failure: AudioFileError?

    init(path: String, name: String) {
      self.path = path
      self.name = name
    }
  }

  /// Opens the file and its session. A file that cannot be read is left for ``next(of:)`` to report.
  private func begin(_ job: Job) {
    guard let session = context.beginSession(named: job.name) else { return }
    job.session = session
    do throws(AudioFileError) {
      job.source = try open(job.path)
    } catch {
      job.failure = error
    }
  }

  private func open(_ path: String) throws(AudioFileError) -> any SampleSource {
    if path == "-" {
      let context = context
      return RawInput(rate: parameters.rate, isStopping: { context.isStopping })
    }
    let context = context
    let file = try AudioFile(path: path) { context.log($0) }
    return file.rate == parameters.rate ? file : try Resampler(file, to: parameters.rate, path: path)
  }

  /// The next chunk, or nil after the session has been ended.
  ///
  /// - Throws: what is wrong with the file, if it is the only one.
  private func next(of job: Job) throws(AudioFileError) -> AudioChunk? {
    guard let session = job.session else { return nil }
    if job.failure == nil, let source = job.source, !context.isStopping {
      let frames = max(1, parameters.rate * parameters.chunk / 1_000)
      var samples = [Float](repeating: 0, count: frames)
      do throws(AudioFileError) {
        let count = try source.read(into: &samples)
        if count > 0 { return AudioChunk(samples: SharedBuffer(samples[..<count]), rate: parameters.rate) }
        if job.sent == 0, !context.isStopping {
          throw AudioFileError(
            path: job.path, problem: "it holds no sound (0 frames)", fix: "record it again, or name another file")
        }
      } catch {
        job.failure = error
      }
    }
    if let failure = job.failure {
      context.fail(Turn(session, epoch: 0), because: "\(failure)")
      if parameters.paths.count == 1 { throw failure }
    }
    job.source = nil
    job.session = nil
    context.endSession(session)
    return nil
  }

  private func send(_ chunk: AudioChunk, of job: Job, to output: Output<AudioChunk>) async throws {
    guard let session = job.session else { return }
    let time = Int64(job.sent) * 1_000_000_000 / Int64(parameters.rate)
    job.sent += chunk.frames
    try await output.send(chunk, turn: Turn(session, epoch: 0), time: time)
  }
}
