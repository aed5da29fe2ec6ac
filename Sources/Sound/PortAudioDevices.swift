#if LiveAudio
  internal import CPortAudio
  internal import CSoundRing
  package import Dataflow
  internal import Synchronization

  extension LiveDevices {
    package static let areBuiltIn = true

    package static var libraries: [Library] {
      // "PortAudio V19.6.0-devel, revision 396fe4b6699ae929d3a685b3ef8a7e97396139a4"
      let words = String(cString: Pa_GetVersionInfo().pointee.versionText).split { " ,".contains($0) }
      return [Library("PortAudio", version: words.count > 1 ? String(words[1]) : "?")]
    }

    /// PortAudio is not made for several threads at once.
    static let gate = Mutex(())

    /// - Throws: if PortAudio cannot be had, or there is no device at all.
    package static func all() throws(DeviceError) -> [SoundDevice] {
      let session = try PortAudioSession(for: "default")
      defer { withExtendedLifetime(session) {} }
      return session.devices
    }

    package static func playback(
      named name: String, latency: Int, clock: any TimeSource
    ) throws(DeviceError) -> any PlaybackDevice {
      try PortAudioPlayback(PortAudioStream(name, records: false, rate: nil, latency: latency, clock))
    }

    package static func capture(
      named name: String, rate: Int, latency: Int, clock: any TimeSource
    ) throws(DeviceError) -> any CaptureDevice {
      try PortAudioCapture(PortAudioStream(name, records: true, rate: rate, latency: latency, clock))
    }
  }

  /// PortAudio as long as somebody needs it.
  final class PortAudioSession {
    let devices: [SoundDevice]

    /// - Parameter name: the device that is wanted, for errors.
    init(for name: String) throws(DeviceError) {
      let found = LiveDevices.gate.withLock { _ -> Result<[SoundDevice], DeviceError> in
        sound_quiet_libraries()
        let code = Pa_Initialize()
        guard code == paNoError.rawValue else { return .failure(Self.error(name, code)) }
        return .success(Self.list())
      }
      devices = try found.get()
    }

    deinit { LiveDevices.gate.withLock { _ in _ = Pa_Terminate() } }

    private static func list() -> [SoundDevice] {
      let (input, output) = (Pa_GetDefaultInputDevice(), Pa_GetDefaultOutputDevice())
      return (0..<max(0, Pa_GetDeviceCount())).compactMap { index in
        guard let device = Pa_GetDeviceInfo(index)?.pointee else { return nil }
        return SoundDevice(
          number: Int(index), name: String(cString: device.name),
          system: Pa_GetHostApiInfo(device.hostApi).map { String(cString: $0.pointee.name) } ?? "?",
          inputs: Int(device.maxInputChannels), outputs: Int(device.maxOutputChannels),
          rate: Int(device.defaultSampleRate.rounded()), isDefaultInput: index == input,
          isDefaultOutput: index == output)
      }
    }

    /// The device that a user means.
    func device(named name: String, records: Bool) throws(DeviceError) -> SoundDevice {
      let usable = devices.filter { (records ? $0.inputs : $0.outputs) > 0 }
      let kind = records ? "record" : "play"
      guard !usable.isEmpty else {
        throw DeviceError(
          device: name, problem: "this machine has no device that can \(kind) sound",
          fix: "see 'antiphon devices'; without a sound card use a file ('path', or pace 'device')")
      }
      if let number = Int(name) {
        if let device = usable.first(where: { $0.number == number }) { return device }
        throw DeviceError(
          device: name, problem: "there is no device of that number that can \(kind) sound",
          fix: "choose one of \(Self.names(usable))")
      }
      // A device that is called so comes before the one that the system prefers.
      if let device = usable.first(where: { $0.name == name }) { return device }
      if name == "default", let device = usable.first(where: { records ? $0.isDefaultInput : $0.isDefaultOutput }) {
        return device
      }
      let found = usable.filter { $0.name.lowercased().contains(name.lowercased()) }
      guard let device = found.first, found.count == 1 else {
        throw DeviceError(
          device: name,
          problem: found.isEmpty
            ? "there is no device with that in its name that can \(kind) sound"
            : "\(found.count) devices have that in their names",
          fix: "choose one of \(Self.names(found.isEmpty ? usable : found))")
      }
      return device
    }

    private static func names(_ devices: [SoundDevice]) -> String {
      devices.map { "\($0.number) '\($0.name)'" }.joined(separator: ", ")
    }

    static func error(_ name: String, _ code: PaError) -> DeviceError {
      var text = String(cString: Pa_GetErrorText(code))
      if code == paUnanticipatedHostError.rawValue, let host = Pa_GetLastHostErrorInfo()?.pointee.errorText {
        text += " (\(String(cString: host)))"
      }
      return DeviceError(
        device: name, problem: "PortAudio: \(text)",
        fix: "see 'antiphon devices', and whether another program has the device")
    }
  }
#endif
