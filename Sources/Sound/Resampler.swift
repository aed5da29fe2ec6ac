#if Resampling
  internal import CSampleRate
  package import Dataflow

  /// Changes the rate of a source with libsamplerate, as a stream.
  package final class Resampler: SampleSource {
    package static var libraries: [Library] {
      // "libsamplerate-0.2.2 (c) 2002-2008 Erik de Castro Lopo"
      let words = String(cString: src_get_version()).replacing("libsamplerate-", with: "").split(separator: " ")
      return [Library("libsamplerate", version: words.first.map(String.init) ?? "?")]
    }

    package let rate: Int
    private let source: any SampleSource
    private let path: String
    private let converter: OpaquePointer
    private let ratio: Double
    private var input = [Float](repeating: 0, count: 4_096)
    private var start = 0
    private var end = 0
    private var sourceIsAtEnd = false

    package init(_ source: any SampleSource, to rate: Int, path: String) throws(AudioFileError) {
      var code: Int32 = 0
      let ratio = Double(rate) / Double(source.rate)
      guard src_is_valid_ratio(ratio) != 0, let converter = src_new(Int32(SRC_SINC_MEDIUM_QUALITY), 1, &code) else {
        throw AudioFileError(
          path: path, problem: "sound at \(source.rate) Hz cannot be resampled to \(rate) Hz",
          fix: "check the file's rate, or convert it with another program")
      }
      self.source = source
      self.rate = rate
      self.path = path
      self.converter = converter
      self.ratio = ratio
    }

    deinit { src_delete(converter) }

    package func read(into target: inout [Float]) throws(AudioFileError) -> Int {
      var written = 0
      while written < target.count {
        if start == end, !sourceIsAtEnd {
          start = 0
          end = try source.read(into: &input)
          sourceIsAtEnd = end < input.count
        }
        var (used, made, code) = (0, 0, Int32(0))
        input.withUnsafeBufferPointer { input in
          target.withUnsafeMutableBufferPointer { target in
            guard let from = input.baseAddress, let to = target.baseAddress else { return }
            var data = SRC_DATA()
            data.data_in = from + start
            data.data_out = to + written
            data.input_frames = end - start
            data.output_frames = target.count - written
            data.end_of_input = sourceIsAtEnd ? 1 : 0
            data.src_ratio = ratio
            code = src_process(converter, &data)
            (used, made) = (data.input_frames_used, data.output_frames_gen)
          }
        }
        guard code == 0 else {
          throw AudioFileError(
            path: path, problem: "libsamplerate: \(String(cString: src_strerror(code)))", fix: "convert the file first")
        }
        start += used
        written += made
        if sourceIsAtEnd, used == 0, made == 0 { break }
      }
      return written
    }
  }
#else
  package import Dataflow

  /// Stands in where the package is built without its trait `Resampling`.
  package final class Resampler: SampleSource {
    package static let libraries: [Library] = []

    package let rate: Int

    package init(_ source: any SampleSource, to rate: Int, path: String) throws(AudioFileError) {
      self.rate = rate
      throw AudioFileError(
        path: path, problem: "its rate is \(source.rate) Hz, not \(rate) Hz, and this build cannot resample",
        fix: "convert it with: ffmpeg -i FILE -ar \(rate) out.wav, or build with the trait Resampling")
    }

    package func read(into target: inout [Float]) throws(AudioFileError) -> Int { 0 }
  }
#endif
