/// A sound device of this machine.
package struct SoundDevice: Sendable, Equatable {
  /// Its number, by which it can be asked for until devices come or go.
  package let number: Int
  package let name: String
  /// The system that it is reached through, such as `ALSA`.
  package let system: String
  /// Channels that it can record and play at most.
  package let inputs: Int
  package let outputs: Int
  /// Frames per second that it prefers.
  package let rate: Int
  package let isDefaultInput: Bool
  package let isDefaultOutput: Bool
}

/// The machine's sound devices, as far as this build can use them.
package enum LiveDevices {
  /// What to say where they were left out.
  package static let missing =
    "this build knows no sound devices; build it with the trait LiveAudio, which is on by default and needs PortAudio"
}

#if !LiveAudio
  package import Dataflow

  extension LiveDevices {
    package static let areBuiltIn = false
    package static let libraries: [Library] = []

    package static func all() throws(DeviceError) -> [SoundDevice] { throw error("default") }

    package static func playback(
      named name: String, latency: Int, clock: any TimeSource
    ) throws(DeviceError) -> any PlaybackDevice { throw error(name) }

    package static func capture(
      named name: String, rate: Int, latency: Int, clock: any TimeSource
    ) throws(DeviceError) -> any CaptureDevice { throw error(name) }

    private static func error(_ name: String) -> DeviceError {
      DeviceError(
        device: name, problem: "this build knows none", fix: "build with the trait LiveAudio, which needs PortAudio")
    }
  }
#endif
