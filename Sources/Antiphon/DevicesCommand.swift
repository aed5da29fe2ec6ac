import ArgumentParser
import Foundation
import Sound

struct DevicesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "devices", abstract: "Lists the sound devices that microphone and speaker can use.")

  @Flag(help: "Print JSON.")
  var json = false

  func run() throws {
    try plainly {
      guard LiveDevices.areBuiltIn else { throw Problem(description: LiveDevices.missing) }
      let devices = try LiveDevices.all()
      if json {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return Console.result(String(decoding: try encoder.encode(devices.map(Row.init)), as: UTF8.self))
      }
      guard !devices.isEmpty else {
        throw Problem(
          description: """
            no sound device was found: PortAudio knows none here. A desktop's sound server is reached through ALSA by the \
            package libasound2-plugins; without a sound card, files take their place: microphone's 'path' and speaker's \
            pace 'device'
            """)
      }
      Console.result(
        SummaryTable.table(
          ["device", "number", "system", "records", "plays", "rate", "default"],
          devices.map { device in
            let standard = [device.isDefaultInput ? "in" : "", device.isDefaultOutput ? "out" : ""]
            return [
              device.name, "\(device.number)", device.system, device.inputs == 0 ? "-" : "\(device.inputs)",
              device.outputs == 0 ? "-" : "\(device.outputs)", "\(device.rate)",
              standard.filter { !$0.isEmpty }.joined(separator: ", "),
            ]
          }
        ).trimmingCharacters(in: .newlines))
    }
  }

  private struct Problem: Error, CustomStringConvertible { let description: String }

  /// A device in JSON.
  private struct Row: Encodable {
    let number: Int
    let name: String
    let system: String
    let inputs: Int
    let outputs: Int
    let rate: Int
    let isDefaultInput: Bool
    let isDefaultOutput: Bool

    init(_ device: SoundDevice) {
      (number, name, system) = (device.number, device.name, device.system)
      (inputs, outputs, rate) = (device.inputs, device.outputs, device.rate)
      (isDefaultInput, isDefaultOutput) = (device.isDefaultInput, device.isDefaultOutput)
    }
  }
}
