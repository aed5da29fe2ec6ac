import ArgumentParser
import Foundation
import ModelKit
import Tensors

/// How fast SNAC decodes and encodes, frame by frame as an answer is streamed.
struct CodecCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "codec", abstract: "Measures SNAC: milliseconds a frame and real-time factors, streaming.")

  @Option(help: "The model's folder; without it, random weights of the release's shape.")
  var model: String?
  @Option(help: "Threads that compute.")
  var threads = 2
  @Option(help: "Frames that are measured.")
  var frames = 200
  @Flag(help: "Print JSON.")
  var json = false

  struct Result: Codable {
    var what: String
    var millisecondsPerFrame: Double
    /// The slowest twentieth begins here.
    var slowMilliseconds: Double
    var realTimeFactor: Double
  }

  func validate() throws {
    guard (4...100_000).contains(frames) else { throw ValidationError("--frames must be from 4 to 100000") }
    guard threads > 0 else { throw ValidationError("--threads must be at least 1") }
  }

  func run() throws {
    Compute.setThreads(threads)
    let (codec, loading) =
      if let model { try load(ModelFolder.path(model)) } else { try RandomSnac.release.withFolder(load) }
    let shape = codec.configuration
    var random = SplitMix(state: 1)
    let codes = (0..<frames * shape.layers).map { _ in Int32.random(in: 0..<Int32(shape.codebookSize), using: &random) }
    let decoder = try SnacDecoder(codec)
    var samples: [Float] = []

    var results: [Result] = []
    for (what, noise) in [("decode", SnacNoise.none), ("decode with noise", .seeded(1))] {
      let stream = SnacStream(codec, noise: noise)
      results.append(
        try measure(what, shape) { frame in
          samples.removeAll(keepingCapacity: true)
          try decoder.push(codes[frame * shape.layers..<(frame + 1) * shape.layers], to: stream, into: &samples)
        })
    }
    let encoder = try SnacEncoder(codec)
    let stream = SnacEncoderStream(codec)
    let sound = (0..<shape.frameSamples).map { _ in Float.random(in: -0.5...0.5, using: &random) }
    var found: [Int32] = []
    results.append(
      try measure("encode", shape) { _ in
        found.removeAll(keepingCapacity: true)
        try encoder.push(sound, to: stream, into: &found)
      })

    if json {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
      print(String(decoding: try encoder.encode(results), as: UTF8.self))
      return
    }
    print("\(Compute.description); loaded in \(loading)")
    for result in results {
      let numbers = String(
        format: "%.2f ms a frame (95 %% below %.2f), real-time factor %.4f", result.millisecondsPerFrame,
        result.slowMilliseconds, result.realTimeFactor)
      print("\(result.what): \(numbers)")
    }
  }

  private func load(_ folder: String) throws -> (SnacModel, Duration) {
    let begun = ContinuousClock.now
    return (try ModelStore.shared.snac(at: folder), ContinuousClock.now - begun)
  }

  /// Times a frame after the other; the first ones fill the layers' memory and are not counted.
  private func measure(_ what: String, _ shape: SnacConfiguration, _ body: (Int) throws -> Void) throws -> Result {
    var times: [Double] = []
    for frame in 0..<frames {
      let start = ContinuousClock.now
      try body(frame)
      let time = ContinuousClock.now - start
      if frame >= 3 { times.append(Double(time.components.attoseconds) / 1e15 + Double(time.components.seconds) * 1e3) }
    }
    times.sort()
    let mean = times.reduce(0, +) / Double(times.count)
    let length = Double(shape.frameSamples) * 1e3 / Double(shape.sampleRate)
    return Result(
      what: what, millisecondsPerFrame: mean, slowMilliseconds: times[times.count * 95 / 100],
      realTimeFactor: mean / length)
  }
}

/// SplitMix64.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }
}

/// A SNAC codec of random weights: for its speed, which does not depend on what they are.
struct RandomSnac {
  let settings: String

  /// Of the same shape as `hubertsiuzdak/snac_24khz`.
  static let release = RandomSnac(
    settings: """
      {"sampling_rate": 24000, "encoder_dim": 48, "encoder_rates": [2, 4, 8, 8], "decoder_dim": 1024,
       "decoder_rates": [8, 8, 4, 2], "attn_window_size": null, "codebook_size": 4096, "codebook_dim": 8,
       "vq_strides": [4, 2, 1], "noise": true, "depthwise": true}
      """)

  /// Writes the files that the loader reads, and removes them after `body`.
  func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("antiphon-snac-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try Data(settings.utf8).write(to: folder.appendingPathComponent("config.json"))
    try weights(of: SnacConfiguration(folder: folder.path)).write(
      to: folder.appendingPathComponent("model.safetensors"))
    return try body(folder.path)
  }

  /// The bytes of a safetensors file.
  private func weights(of shape: SnacConfiguration) throws -> Data {
    var random = SplitMix(state: 2)
    var header: [String: Any] = [:]
    var data = Data()
    for tensor in CheckpointNeeds.snacTensors(shape) {
      let start = data.count
      let isLength = tensor.name.hasSuffix("original0")
      let values = (0..<tensor.shape.reduce(1, *)).map { _ in
        isLength || tensor.name.hasSuffix("alpha") ? Float(0.6) : Float.random(in: -0.1...0.1, using: &random)
      }
      values.withUnsafeBytes { data.append(contentsOf: $0) }
      header[tensor.name] = ["dtype": "F32", "shape": tensor.shape, "data_offsets": [start, data.count]]
    }
    let text = try JSONSerialization.data(withJSONObject: header)
    var file = Data()
    withUnsafeBytes(of: UInt64(text.count).littleEndian) { file.append(contentsOf: $0) }
    return file + text + data
  }
}
