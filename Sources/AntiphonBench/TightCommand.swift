#if Flite
  import ArgumentParser
  import Foundation
  import ModelKit
  import Tensors

  /// What encoding only what was heard, instead of 30 s, changes and spares.
  struct TightCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "tight",
      abstract: "What Whisper's unpadded encoding changes and spares (real weights, synthetic speech).")

    @Option(help: "The Whisper model: its name in the model cache, or its folder.")
    var model = "whisper-tiny.en"
    @Option(help: "Threads a computation may use.")
    var threads = 2

    func run() throws {
      Compute.setThreads(threads)
      let encoder = WhisperEncoder(try ModelStore.shared.whisperEncoder(at: ModelFolder.path(model)))
      let mel = LogMel(bins: encoder.model.configuration.melBins, padding: .silence)
      var (deviation, padded, tight) = (Samples(), Samples(), Samples())
      for answer in try SpokenAnswers.spoken(by: "rms") {
        let rows = min(LogMel.heardRows(answer.samples.count), encoder.model.configuration.context)
        let frames = mel.features(answer.samples)
        let whole = try timed(&padded) { try encoder.encode(frames) }.prefix(rows)
        let part = try timed(&tight) { try encoder.encode(frames.prefix(2 * rows)) }
        for row in 0..<rows {
          let difference = zip(whole.row(row), part.row(row)).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
          let size = whole.row(row).reduce(0) { $0 + $1 * $1 }
          deviation.add(Double((difference / size).squareRoot()))
        }
      }
      print("# \(Machine.current().description)")
      print("# \(model), \(SpokenAnswers.texts.count) utterances of synthetic speech, \(threads) threads")
      print(
        "deviation of a feature, |a - b| / |b|: p50 \(Self.text(deviation.median)), p90 \(Self.text(deviation.quantile(0.9))), most \(Self.text(deviation.most))"
      )
      print(
        "seconds, medians: padded \(Self.text(padded.median)), tight \(Self.text(tight.median)), \(Self.text(padded.median / tight.median)) times as fast"
      )
    }

    private func timed<Value>(_ samples: inout Samples, _ body: () throws -> Value) rethrows -> Value {
      let start = ContinuousClock.now
      let value = try body()
      let time = (ContinuousClock.now - start).components
      samples.add(Double(time.seconds) + Double(time.attoseconds) * 1e-18)
      return value
    }

    private static func text(_ value: Double) -> String { String(format: "%.3f", value) }
  }
#endif
