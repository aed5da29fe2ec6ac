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
  enum Flite {
    /// Samples per second of every voice offered here.
    static let rate = 16_000
    /// The version of the headers; the library itself does not tell.
    static let version = FLITE_PROJECT_VERSION

    private static let voices = Mutex<[String: UnsafeMutablePointer<cst_voice>]>([:])

    /// Speaks a sentence.
    ///
    /// - Parameters:
    ///   - text: printable ASCII.
    ///   - speed: 1 as the voice was made, 2 twice as fast.
    /// - Returns: samples, full scale at ±1.
    static func speak(_ text: String, voice name: String, speed: Double) throws(FliteError) -> [Float] {
      // Typed throws do not pass through withLock.
      let spoken: Result<[Float], FliteError> = voices.withLock { voices in
        if voices.isEmpty { _ = flite_init() }
        guard let voice = voices[name] ?? register(name) else {
          return .failure(FliteError(description: "flite has no voice '\(name)'"))
        }
        voices[name] = voice
        feat_set_float(voice.pointee.features, "duration_stretch", Float(1 / speed))
        // The voices take their noise from the C library's generator, which others (libzmq for one) seed as they like:
        // a sentence sounds the same in whichever process it is spoken.
        srand(1)
        guard let wave = flite_text_to_wave(text, voice) else {
          return .failure(FliteError(description: "flite could not speak '\(text.prefix(80))'"))
        }
        defer { delete_wave(wave) }
        guard Int(wave.pointee.sample_rate) == rate, wave.pointee.num_channels == 1 else {
          return .failure(FliteError(description: "flite's voice '\(name)' speaks at \(wave.pointee.sample_rate) Hz"))
        }
        let samples = UnsafeBufferPointer(start: wave.pointee.samples, count: Int(wave.pointee.num_samples))
        return .success(samples.map { Float($0) / 32_768 })
      }
      return try spoken.get()
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
