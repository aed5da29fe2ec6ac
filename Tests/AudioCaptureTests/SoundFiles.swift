import Foundation

/// A folder for a test's files, gone when the test is.
final class Folder {
  let url = FileManager.default.temporaryDirectory.appendingPathComponent("antiphon-test-\(UUID().uuidString)")

  init() throws { try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true) }
  deinit { try? FileManager.default.removeItem(at: url) }

  func path(_ name: String) -> String { url.appendingPathComponent(name).path }

  func write(_ data: Data, as name: String) throws -> String {
    try data.write(to: url.appendingPathComponent(name))
    return path(name)
  }
}

/// How a WAV file of the tests stores its samples.
enum SampleForm: String, CaseIterable {
  case bits8, bits16, bits24, float32

  var bytes: Int {
    switch self {
    case .bits8: 1
    case .bits16: 2
    case .bits24: 3
    case .float32: 4
    }
  }

  func encode(_ sample: Float) -> [UInt8] {
    switch self {
    case .bits8: return [UInt8(clamping: Int(sample * 127) + 128)]
    case .bits16:
      let value = Int16(clamping: Int(sample * 32_767))
      return [UInt8(truncatingIfNeeded: value), UInt8(truncatingIfNeeded: value >> 8)]
    case .bits24:
      let value = Int32(sample * 8_388_607)
      return (0..<3).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    case .float32: return withUnsafeBytes(of: sample.bitPattern.littleEndian) { Array($0) }
    }
  }
}

/// A WAV file of interleaved samples.
///
/// - Parameter claimedBytes: what the header says of the data's size, if it is to lie.
func wave(
  _ samples: [Float], rate: Int, channels: Int = 1, form: SampleForm = .bits16, claimedBytes: Int? = nil
) -> Data {
  var data = Data()
  func put(_ text: String) { data.append(contentsOf: text.utf8) }
  func put(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { data.append(contentsOf: $0) } }
  let size = claimedBytes ?? samples.count * form.bytes
  put("RIFF")
  put(UInt32(truncatingIfNeeded: 36 + size))
  put("WAVEfmt ")
  put(UInt32(16))
  put(UInt16(form == .float32 ? 3 : 1))
  put(UInt16(channels))
  put(UInt32(rate))
  put(UInt32(rate * channels * form.bytes))
  put(UInt16(channels * form.bytes))
  put(UInt16(form.bytes * 8))
  put("data")
  put(UInt32(truncatingIfNeeded: size))
  for sample in samples { data.append(contentsOf: form.encode(sample)) }
  return data
}

/// A tone of 440 Hz and half of full scale.
func tone(seconds: Double, rate: Int) -> [Float] {
  (0..<Int(seconds * Double(rate))).map { Float(0.5 * sin(2 * Double.pi * 440 * Double($0) / Double(rate))) }
}
