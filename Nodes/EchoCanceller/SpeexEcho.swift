#if EchoCancelling
  internal import CSpeexDSP
  internal import Dataflow

  /// The system has no memory for a canceller.
  struct EchoError: Error, CustomStringConvertible {
    let description: String
  }

  /// libspeexdsp's echo canceller for one stream: an adaptive filter in the frequency domain whose step follows how much
  /// of what it hears is echo (Valin, "On adjusting the learning rate in frequency domain echo cancellation with
  /// double-talk", 2007), and if wanted its suppression of what the filter leaves.
  final class SpeexEcho {
    static let library = Library("libspeexdsp", version: "1.2 or later")

    /// Samples of a frame: 10 ms.
    static let frame = 160
    static let rate = 16_000

    private let filter: OpaquePointer
    private let suppressor: OpaquePointer?
    private var incoming = [Int16](repeating: 0, count: frame)
    private var played = [Int16](repeating: 0, count: frame)
    private var outgoing = [Int16](repeating: 0, count: frame)

    /// - Parameters:
    ///   - tail: samples of echo that the filter reaches.
    ///   - suppresses: whether what the filter leaves is made quieter; it delays the sound by a frame.
    init(tail: Int, suppresses: Bool) throws(EchoError) {
      guard let filter = speex_echo_state_init(Int32(Self.frame), Int32(tail)) else {
        throw EchoError(description: "libspeexdsp could not make an echo canceller of \(tail) samples")
      }
      self.filter = filter
      var rate = Int32(Self.rate)
      speex_echo_ctl(filter, SPEEX_ECHO_SET_SAMPLING_RATE, &rate)
      guard suppresses else {
        suppressor = nil
        return
      }
      guard let suppressor = speex_preprocess_state_init(Int32(Self.frame), Int32(Self.rate)) else {
        speex_echo_state_destroy(filter)
        throw EchoError(description: "libspeexdsp could not make a suppressor of echo")
      }
      self.suppressor = suppressor
      // Noise is left as it is: who listens behind this was made to hear it.
      var off: Int32 = 0
      speex_preprocess_ctl(suppressor, SPEEX_PREPROCESS_SET_DENOISE, &off)
      speex_preprocess_ctl(suppressor, SPEEX_PREPROCESS_SET_ECHO_STATE, UnsafeMutableRawPointer(filter))
    }

    deinit {
      if let suppressor { speex_preprocess_state_destroy(suppressor) }
      speex_echo_state_destroy(filter)
    }

    /// Takes the echo out of a frame.
    ///
    /// - Parameters:
    ///   - reference: what was played, ``frame`` samples.
    ///   - samples: what came in, as many; replaced by what is left of it.
    func cancel(_ reference: UnsafeBufferPointer<Float>, from samples: UnsafeMutableBufferPointer<Float>) {
      for index in 0..<Self.frame {
        incoming[index] = Self.fixed(samples[index])
        played[index] = Self.fixed(reference[index])
      }
      speex_echo_cancellation(filter, incoming, played, &outgoing)
      if let suppressor { speex_preprocess_run(suppressor, &outgoing) }
      for index in 0..<Self.frame { samples[index] = Float(outgoing[index]) / 32_768 }
    }

    private static func fixed(_ sample: Float) -> Int16 {
      sample.isFinite ? Int16(max(-32_768, min(32_767, (sample * 32_768).rounded()))) : 0
    }
  }
#endif
