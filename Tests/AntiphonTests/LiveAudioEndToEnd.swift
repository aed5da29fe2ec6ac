import Foundation
import Testing

/// Microphone and speaker on a real sound server: PulseAudio with a sink that nobody hears and the monitor of it, reached
/// as programs reach it on a desktop, by PortAudio through ALSA.
@Suite(
  .serialized, .timeLimit(.minutes(5)),
  .enabled(if: SoundServer.isAvailable, "takes PulseAudio and ALSA's plugin for it: pulseaudio, libasound2-plugins"))
struct LiveAudioEndToEnd {
  private static let rate = 16_000

  /// Three seconds of noise without much treble, of which no two pieces are alike, and two of silence.
  private static let noise: [Float] = {
    var (random, once, twice): (UInt64, Float, Float) = (1, 0, 0)
    let noise = (0..<3 * rate).map { _ -> Float in
      random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      once = 0.55 * once + 0.45 * (Float(random >> 40) / Float(1 << 23) - 1)
      twice = 0.55 * twice + 0.45 * once
      return 0.6 * twice
    }
    return noise + [Float](repeating: 0, count: 2 * rate)
  }()

  @Test func whatIsPlayedIsHeardWithoutGaps() async throws {
    let folder = try Scratch()
    let server = try await SoundServer(in: folder)
    defer { server.stop() }
    try wave(Self.noise).write(to: URL(fileURLWithPath: folder.file("noise.wav")))
    let graph = try folder.write(
      """
      antiphon: 1
      nodes:
        capture: { kind: audio-capture, with: { path: noise.wav } }
        out: { kind: speaker, with: { pace: live, device: antiphon, latency: 100, path: "" } }
        reference: { kind: speaker, with: { path: reference.wav } }
        microphone: { kind: microphone, with: { device: antiphon } }
        record: { kind: speaker, with: { path: heard.wav } }
      edges:
        - capture.audio -> out.audio
        - out.reference -> reference.audio
        - microphone.audio -> record.audio
      """, to: "graph.yaml")
    // A machine that is busy with something else may keep even a patient device, or the sound server, waiting: then once
    // more.
    var problem: String?
    for _ in 1...3 {
      let command = try Command(["run", graph], launcher: server.environment, in: folder)
      // The speaker has played all; the microphone knows no end.
      await command.says("ppm of the clock")
      command.send(SIGINT)
      await command.ends()
      problem =
        command.errors.contains("ran dry")
        ? command.errors
        : ["heard.wav", "reference.wav"].lazy.compactMap { hole(in: samples(folder.read($0)), $0) }.first
      if problem == nil { break }
    }
    #expect(problem == nil)
  }

  /// What is wrong with a recording of the noise; nil if it is whole.
  private func hole(in sound: [Float], _ name: String) -> String? {
    guard let place = place(of: Array(Self.noise[1_600..<4_800]), in: sound) else { return "it is not in \(name)" }
    let start = place - 1_600
    var shifts = [0]
    for piece in stride(from: 1_600, to: 3 * Self.rate - 1_600, by: 1_600) {
      let (first, last) = (max(0, start + piece - 200), min(sound.count, start + piece + 1_800))
      let wanted = Array(Self.noise[piece..<piece + 1_600])
      guard first < last, let found = self.place(of: wanted, in: Array(sound[first..<last])) else {
        return "\(piece) is not in its place in \(name)"
      }
      shifts.append(found + first - start - piece)
    }
    // While the clocks find each other a device may be read faster or slower by a thousandth. A hole would be 80 samples.
    if zip(shifts, shifts.dropFirst()).contains(where: { abs($0 - $1) > 16 }) { return "holes in \(name): \(shifts)" }
    return shifts.contains { abs($0) > 80 } ? "it does not stay where it belongs in \(name): \(shifts)" : nil
  }

  @Test func devicesAreListed() async throws {
    let folder = try Scratch()
    let server = try await SoundServer(in: folder)
    defer { server.stop() }
    let table = try Command(["devices"], launcher: server.environment, in: folder)
    #expect(await table.ends() == Command.Exit(status: 0))
    #expect(table.output.split(separator: "\n").contains { $0.hasPrefix("antiphon") && $0.contains("ALSA") })
    #expect(table.errors.isEmpty, "ALSA and JACK have nothing to say: \(table.errors)")
    let json = try Command(["devices", "--json"], launcher: server.environment, in: folder)
    #expect(await json.ends() == Command.Exit(status: 0))
    let rows = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [[String: Any]]
    #expect(rows?.contains { $0["name"] as? String == "antiphon" } == true)
  }

  @Test func aDeviceThatIsNotThereIsNamed() async throws {
    let folder = try Scratch()
    let server = try await SoundServer(in: folder)
    defer { server.stop() }
    let graph = try folder.write(
      """
      antiphon: 1
      nodes: { microphone: { kind: microphone, with: { device: Wembley } }, out: { kind: speaker } }
      edges: [microphone.audio -> out.audio]
      """, to: "graph.yaml")
    let command = try Command(["run", graph], launcher: server.environment, in: folder)
    #expect(await command.ends() == Command.Exit(status: 1))
    #expect(command.errors.contains("'Wembley'") && command.errors.contains("'antiphon'"), "\(command.errors)")
  }

  @Test func withoutAnyDeviceThatIsSaid() async throws {
    let folder = try Scratch()
    let none = try folder.write("pcm.nothing { type hw card 77 hint { show on } }", to: "alsa.conf")
    let command = try Command(["devices"], launcher: ["/usr/bin/env", "ALSA_CONFIG_PATH=\(none)"], in: folder)
    #expect(await command.ends() == Command.Exit(status: 1))
    #expect(command.errors.contains("no sound device was found"), "\(command.errors)")
    #expect(command.output.isEmpty)
  }

  // MARK: Sound

  private func wave(_ samples: [Float]) -> Data {
    var data = Data()
    func put(_ value: some FixedWidthInteger) {
      withUnsafeBytes(of: value.littleEndian) { data.append(contentsOf: $0) }
    }
    data.append(contentsOf: "RIFF".utf8)
    put(UInt32(36 + samples.count * 2))
    data.append(contentsOf: "WAVEfmt ".utf8)
    put(UInt32(16))
    for value in [UInt16(1), 1] { put(value) }
    for value in [UInt32(Self.rate), UInt32(Self.rate * 2)] { put(value) }
    for value in [UInt16(2), 16] { put(value) }
    data.append(contentsOf: "data".utf8)
    put(UInt32(samples.count * 2))
    for sample in samples { put(Int16(sample * 32_767)) }
    return data
  }

  private func samples(_ wave: Data?) -> [Float] {
    let bytes = [UInt8](wave ?? Data()).dropFirst(44)
    return stride(from: bytes.startIndex, to: bytes.endIndex - 1, by: 2).map { index in
      Float(Int16(truncatingIfNeeded: Int(bytes[index]) | Int(bytes[index + 1]) << 8)) / 32_768
    }
  }

  /// Where a sound is in another, if it is anywhere: the place of the greatest likeness.
  private func place(of sound: [Float], in whole: [Float]) -> Int? {
    guard whole.count >= sound.count else { return nil }
    let all = (0...whole.count - sound.count).map { likeness(sound, whole, at: $0) }
    guard let best = all.indices.max(by: { all[$0] < all[$1] }), all[best] > 0.8 else { return nil }
    return best
  }

  /// The correlation of a sound with what is at a place, 1 if they differ in loudness alone.
  private func likeness(_ sound: [Float], _ whole: [Float], at place: Int) -> Double {
    var (product, own, other): (Float, Float, Float) = (0, 0, 0)
    sound.withUnsafeBufferPointer { sound in
      whole.withUnsafeBufferPointer { whole in
        for index in 0..<sound.count {
          let (a, b) = (sound[index], whole[place + index])
          product += a * b
          own += a * a
          other += b * b
        }
      }
    }
    return other * own == 0 ? 0 : Double(product / (own * other).squareRoot())
  }
}

/// A PulseAudio server of a test's own.
final class SoundServer {
  private let process: pid_t
  /// Runs a command so that it finds this server and no other device.
  let environment: [String]

  private static let program = ["/usr/bin/pulseaudio", "/usr/local/bin/pulseaudio"].first {
    FileManager.default.isExecutableFile(atPath: $0)
  }

  static var isAvailable: Bool {
    let folders = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib")) ?? []
    let plugin = folders.contains {
      FileManager.default.fileExists(atPath: "/usr/lib/\($0)/alsa-lib/libasound_module_pcm_pulse.so")
    }
    return plugin && program != nil
  }

  init(in folder: Scratch) async throws {
    let socket = folder.file("pulse/native")
    for name in ["pulse", "home"] {
      try FileManager.default.createDirectory(
        atPath: folder.file(name), withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    }
    let script = try folder.write(
      """
      load-module module-native-protocol-unix socket=\(socket) auth-anonymous=1
      load-module module-null-sink sink_name=antiphon
      set-default-sink antiphon
      set-default-source antiphon.monitor
      """, to: "default.pa")
    let device = "{ type pulse server \"unix:\(socket)\" }"
    let configuration = try folder.write(
      """
      pcm.antiphon { type pulse server "unix:\(socket)" hint { show on description "the tests' sound server" } }
      pcm.!default \(device)
      ctl.!default \(device)
      """, to: "alsa.conf")
    environment = ["/usr/bin/env", "ALSA_CONFIG_PATH=\(configuration)", "HOME=\(folder.file("home"))"]
    // If nobody stops it, it ends by itself when nobody has come for a minute.
    process = try Self.spawn(
      [
        try #require(Self.program), "--daemonize=no", "--system=false", "--exit-idle-time=60", "--use-pid-file=no",
        "--disable-shm=yes", "--log-target=stderr", "-n", "-F", script,
      ],
      environment: [
        "HOME=\(folder.file("home"))", "PATH=/usr/bin:/bin", "PULSE_RUNTIME_PATH=\(folder.file("pulse"))",
        "PULSE_STATE_PATH=\(folder.file("home"))", "XDG_CONFIG_HOME=\(folder.file("home"))",
      ])
    try await eventually("the sound server listens") { FileManager.default.fileExists(atPath: socket) }
  }

  func stop() {
    kill(process, SIGTERM)
    waitpid(process, nil, 0)
  }

  /// Starts a program that says nothing. Not by `Process`, which takes a program for dead that closes all files that it
  /// did not open, and with no signal blocked, as they are in threads of the tests.
  private static func spawn(_ command: [String], environment: [String]) throws -> pid_t {
    var attributes = posix_spawnattr_t()
    var actions = posix_spawn_file_actions_t()
    posix_spawnattr_init(&attributes)
    posix_spawn_file_actions_init(&actions)
    defer {
      posix_spawnattr_destroy(&attributes)
      posix_spawn_file_actions_destroy(&actions)
    }
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    for file in Int32(0)...2 { posix_spawn_file_actions_addopen(&actions, file, "/dev/null", O_RDWR, 0) }
    let (arguments, variables) = (command.map { strdup($0) } + [nil], environment.map { strdup($0) } + [nil])
    defer { for text in arguments + variables { free(text) } }
    var process: pid_t = 0
    try #require(posix_spawn(&process, command[0], &actions, &attributes, arguments, variables) == 0)
    return process
  }
}
