import Dataflow
import Foundation
import Messages
import Testing

/// A folder for a test's files, gone when the test is.
final class Folder {
  let url = FileManager.default.temporaryDirectory.appendingPathComponent("antiphon-test-\(UUID().uuidString)")
  init() throws { try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true) }
  deinit { try? FileManager.default.removeItem(at: url) }
  func path(_ name: String) -> String { url.appendingPathComponent(name).path }
}

/// A WAV file of 16 bits, read by the letter.
struct Wave {
  var rate: UInt32
  var channels: UInt16
  var samples: [Int16]

  init(_ path: String) throws {
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    func number<N: FixedWidthInteger>(at offset: Int, _: N.Type = N.self) -> N {
      bytes[offset..<offset + MemoryLayout<N>.size].reversed().reduce(0) { $0 << 8 | N(truncatingIfNeeded: $1) }
    }
    try #require(bytes.count >= 44)
    #expect(String(decoding: bytes[0..<4] + bytes[8..<16] + bytes[36..<40], as: UTF8.self) == "RIFFWAVEfmt data")
    #expect(number(at: 4, UInt32.self) == UInt32(bytes.count - 8), "the header counts what is there")
    #expect(number(at: 40, UInt32.self) == UInt32(bytes.count - 44))
    channels = number(at: 22)
    rate = number(at: 24)
    samples = stride(from: 44, to: bytes.count - 1, by: 2).map { number(at: $0) }
  }
}

func chunk(_ samples: [Float], rate: Int = 16_000) -> AudioChunk {
  AudioChunk(samples: SharedBuffer(samples), rate: rate)
}
