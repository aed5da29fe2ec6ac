public import Dataflow
public import Messages
internal import Sound

/// Records sound from a device, or takes a file for one and plays it in by the clock.
///
/// One session, named `microphone` or after the file. Its time is the clock's: a device that runs fast or slow is followed,
/// so that a chunk holds what was to be heard in just that time, and what other devices tell by the clock fits.
public struct MicrophoneNode: Node {
  public static let kind = "microphone"
  public static let summary = "Records sound from a device, or plays a file in as if it came from one; mono out."

  /// What graph files set; `antiphon nodes` tells of each.
  public struct Parameters: NodeParameters {
    public let device: String
    public let path: String
    public let rate: Int
    public let chunk: Int
    public let latency: Int
    public let drift: Double

    public init(_ read: inout ParameterReader) {
      device = read(
        "device", default: "default", help: "The device: its name, a part of it, or its number in 'antiphon devices'.")
      path = read.path(
        "path", default: "", help: "An audio file to be heard instead of a device, at its own pace. '' for the device.")
      rate = read(
        "rate", default: 16_000, in: 4_000...192_000, unit: "Hz",
        help: "Rate of the sound that is sent; devices and files of other rates are resampled.")
      chunk = read("chunk", default: 20, in: 1...1_000, unit: "ms", help: "Length of the chunks that are sent.")
      latency = read(
        "latency", default: 20, in: 1...1_000, unit: "ms", help: "How long the device may keep what it has recorded.")
      drift = read(
        "drift", default: 0.0, in: -1_000...1_000, unit: "ppm",
        help: "With 'path': how much faster than it says the device is, as real ones are by some tens.")
      if rate * chunk % 1_000 != 0 {
        read.reject("chunk", "\(chunk) ms are no whole number of samples at \(rate) Hz; choose another length")
      }
      if path == "-" { read.reject("path", "standard input is for audio-capture; name a file") }
      if path.isEmpty, drift != 0 { read.reject("drift", "a real device has its own; give 'path' to simulate one") }
      if path.isEmpty, !LiveDevices.areBuiltIn { read.reject("path", "must be given: " + LiveDevices.missing) }
    }
  }

  /// What graph files connect; `antiphon nodes` tells of each.
  public struct Ports: PortSet {
    public let audio: Output<AudioChunk>
    public init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      audio = bind.output(
        "audio", type: .audio(rate: parameters.rate, channels: 1),
        help: "The sound, mono, in chunks of the session, each when its last sample has been heard.")
    }
  }

  public static var libraries: [Library] { LiveDevices.libraries + AudioFile.libraries + Resampler.libraries }
  public static func goesByTheClock(_ parameters: Parameters) -> Bool { true }

  private let parameters: Parameters
  private let context: NodeContext
  private let device: any CaptureDevice

  /// - Throws: `DeviceError` if there is no such device; `AudioFileError` if the file cannot be read.
  public init(_ parameters: Parameters, _ context: NodeContext) throws {
    self.parameters = parameters
    self.context = context
    if parameters.path.isEmpty {
      device = try LiveDevices.capture(
        named: parameters.device, rate: parameters.rate, latency: parameters.latency, clock: context.clock)
    } else {
      let file = try AudioFile(path: parameters.path) { context.log($0) }
      let source: any SampleSource =
        file.rate == parameters.rate ? file : try Resampler(file, to: parameters.rate, path: parameters.path)
      device = ClockedCapture(source, clock: context.clock, drift: parameters.drift)
    }
    try device.start()
  }

  public mutating func run(_ ports: Ports) async throws {
    let name = parameters.path.isEmpty ? "microphone" : sessionNames(for: [parameters.path])[0]
    defer { device.stop() }
    guard let session = context.beginSession(named: name) else { return }
    let stream = Turn(session, epoch: 0)
    let start = context.clock.now
    device.begin(at: start)
    var recorder = Recorder(device, rate: parameters.rate, chunk: parameters.chunk, start: start)
    while !context.isStopping {
      try await context.clock.sleep(until: recorder.nextTime(context.clock.now))
      let isMore = try recorder.take(from: device)
      while let time = recorder.next(by: context.clock.now) {
        try await ports.audio.send(chunk(recorder.block), turn: stream, time: time)
      }
      if isMore { continue }
      while let (time, count) = recorder.rest() {
        try await ports.audio.send(chunk(recorder.block[..<count]), turn: stream, time: time)
      }
      break
    }
    for remark in recorder.remarks { context.log("session \(name): \(remark)") }
    context.endSession(session)
  }

  private func chunk(_ samples: some Collection<Float>) -> AudioChunk {
    AudioChunk(samples: SharedBuffer(samples), rate: parameters.rate)
  }
}
