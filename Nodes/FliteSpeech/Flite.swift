#if Flite
  internal import CFlite
  internal import Foundation
  internal import Synchronization

  /// flite could not speak.
  public struct FliteError: Error, Sendable, CustomStringConvertible {
    public let description: String
  }

  /// The flite library. Its start and its voices are shared by the whole process and not made for threads, so one sentence
  /// is spoken at a time.
  package enum Flite {
    /// Samples per second of every voice offered here.
    package static let rate = 16_000
    /// The version of the headers; the library itself does not tell.
    static let version = FLITE_PROJECT_VERSION

    private static let voices = Mutex<[String: UnsafeMutablePointer<cst_voice>]>([:])

    /// Speaks a sentence.
    ///
    /// - Parameters:
    ///   - text: printable ASCII.
    ///   - speed: 1 as the voice was made, 2 twice as fast.
    /// - Returns: samples, full scale at ±1, and the text's words with the number of samples by which each has been said.
    package static func speak(_ text: String, voice name: String, speed: Double) throws(FliteError) -> Spoken {
      // Typed throws do not pass through withLock.
      let spoken: Result<Spoken, FliteError> = voices.withLock { voices in
        if voices.isEmpty { _ = flite_init() }
        guard let voice = voices[name] ?? register(name) else {
          return .failure(FliteError(description: "flite has no voice '\(name)'"))
        }
        voices[name] = voice
        feat_set_float(voice.pointee.features, "duration_stretch", Float(1 / speed))
        // The voices take their noise from the C library's generator, which others (libzmq for one) seed as they like:
        // a sentence sounds the same in whichever process it is spoken.
        srand(1)
        guard let utterance = flite_synth_text(text, voice), let wave = utt_wave(utterance) else {
          return .failure(FliteError(description: "flite could not speak '\(text.prefix(80))'"))
        }
        defer { delete_utterance(utterance) }
        guard Int(wave.pointee.sample_rate) == rate, wave.pointee.num_channels == 1 else {
          return .failure(FliteError(description: "flite's voice '\(name)' speaks at \(wave.pointee.sample_rate) Hz"))
        }
        let samples = UnsafeBufferPointer(start: wave.pointee.samples, count: Int(wave.pointee.num_samples))
        return .success(Spoken(samples: samples.map { Float($0) / 32_768 }, words: words(of: utterance)))
      }
      return try spoken.get()
    }

    /// A sentence as it was spoken.
    package struct Spoken {
      package var samples: [Float] = []
      /// Words with the marks and spaces around them, and the samples by which each has been said.
      package var words: [(text: String, end: Int)] = []
    }

    /// The tokens of the text; a number is one of them, however many words it is read as.
    private static func words(of utterance: UnsafeMutablePointer<cst_utterance>) -> [(text: String, end: Int)] {
      // The end of the last sound of the token's last word.
      let path = "daughtern.R:SylStructure.daughtern.daughtern.R:Segment.end"
      var words: [(text: String, end: Int)] = []
      var token = utt_relation(utterance, "Token").flatMap { relation_head($0) }
      while let item = token {
        func text(_ feature: String) -> String {
          let value = ffeature_string(item, feature).map { String(cString: $0) } ?? ""
          return value == "0" && feature != "name" ? "" : value
        }
        let end = Int(ffeature_float(item, path) * Float(rate))
        let space = words.isEmpty ? "" : text("whitespace")
        // A token that is read as nothing has no end of its own.
        words.append((space + text("prepunctuation") + text("name") + text("punc"), max(end, words.last?.end ?? 0)))
        token = item_next(item)
      }
      return words
    }

    private static func register(_ name: String) -> UnsafeMutablePointer<cst_voice>? {
      switch name {
      case "slt": register_cmu_us_slt(nil)
      case "rms": register_cmu_us_rms(nil)
      case "kal16": register_cmu_us_kal16(nil)
      default: nil
      }
    }
  }
#endif
