import Foundation

/// Recordings and what is said in them, as `tools/bench detect-sounds` writes them: a folder of WAV files and a
/// `manifest.json`.
struct SoundSet: Decodable {
  /// What is in it, for the table's head.
  var about: String
  var recordings: [Recording]

  struct Recording: Decodable {
    enum Kind: String, Decodable {
      /// Commands, each an utterance of its own.
      case commands
      /// Utterances that resemble commands and are none.
      case near
      /// Talk without commands.
      case talk
      /// The assistant's own voice, as its microphone hears it.
      case own
    }
    var file: String
    /// What was played, where it is the assistant's own voice.
    var reference: String?
    var kind: Kind
    /// Noise and its level, or whatever else tells recordings of a kind apart.
    var condition: String
    /// Who speaks.
    var voices: String
    var utterances: [Utterance]
  }

  /// Seconds of the recording.
  struct Utterance: Decodable {
    var text: String
    var start: Double
    var end: Double
  }

  /// Its commands.
  var commands: Set<String> { Set(recordings.filter { $0.kind == .commands }.flatMap(\.utterances).map(\.text)) }

  /// The words that they are made of.
  var commandWords: Set<String> { commands.reduce(into: []) { $0.formUnion(Self.words($1)) } }

  static func words(_ text: String) -> Set<String> {
    Set(text.lowercased().split { !$0.isLetter && $0 != "'" }.map(String.init))
  }

  /// - Throws: a file that is missing or is no manifest.
  static func load(_ folder: String) throws -> SoundSet {
    let file = URL(fileURLWithPath: folder).appendingPathComponent("manifest.json")
    guard let data = try? Data(contentsOf: file) else {
      throw BenchError("\(file.path) cannot be read; make the sounds first: tools/bench detect-sounds FOLDER")
    }
    do {
      return try JSONDecoder().decode(SoundSet.self, from: data)
    } catch {
      throw BenchError("\(file.path) is no manifest of sounds: \(error)")
    }
  }

  /// The samples of a file: mono, 16 kHz, 16 bits.
  func samples(_ file: String, in folder: String) throws -> [Float] {
    let url = URL(fileURLWithPath: folder).appendingPathComponent(file)
    guard let data = try? Data(contentsOf: url, options: .alwaysMapped) else {
      throw BenchError("\(url.path) cannot be read")
    }
    // A header of 44 bytes, as Python's wave module writes it.
    let header = [UInt8](data.prefix(44))
    guard header.count == 44, header[0..<4].elementsEqual("RIFF".utf8), header[36..<40].elementsEqual("data".utf8),
      header[22] == 1, header[24] == 0x80, header[25] == 0x3e, header[34] == 16
    else { throw BenchError("\(url.path) is no WAV file of one channel, 16 kHz and 16 bits") }
    return data.dropFirst(44).withUnsafeBytes { bytes in
      (0..<bytes.count / 2).map { index in
        Float(Int16(littleEndian: bytes.loadUnaligned(fromByteOffset: 2 * index, as: Int16.self))) / 32_768
      }
    }
  }
}
