internal import ModelKit
internal import Tensors

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Darwin)
  internal import Darwin
#endif

/// Every stage on a checkpoint of any size, in particular one as large as the release, against what
/// `tools/golden mini-omni2-full` wrote for it: teacher-forced, so that one close choice does not hide what follows.
package struct FullParity {
  private let models: OmniModels
  private let codec: String
  private let reference: any Checkpoint
  /// Seconds that loading took.
  package let loading: Double

  /// Every argmax must be the reference's unless its two greatest logits lie closer than this part of the greatest
  /// logit's magnitude.
  package static let closest: Float = 1e-4

  /// - Parameters:
  ///   - folder: with `mini-omni2` and `snac_24khz` in it.
  ///   - reference: the file of expected tensors.
  /// - Throws: `ModelError`.
  package init(folder: String, reference: String) throws {
    let start = Self.now
    models = try OmniModels(folder + "/mini-omni2")
    codec = folder + "/snac_24khz"
    self.reference = try Checkpoints.open(reference)
    loading = Self.now - start
  }

  private static var now: Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  /// Computes the table, telling each row as it is known.
  ///
  /// - Throws: `ModelError`, `ModelInputError`.
  package func rows(_ tell: (ParityRow) -> Void = { _ in }) throws -> [ParityRow] {
    var rows: [ParityRow] = []
    var speech = Matrix(rows: 0, columns: 0)
    for stage in [{ try ears(&speech) }, eyes, { try mind(speech) }, voice] {
      let start = Self.now
      var found = try stage()
      if !found.isEmpty {
        let seconds = (Self.now - start).rounded(toPlaces: 2)
        found[found.count - 1].remark += (found[found.count - 1].remark.isEmpty ? "" : ", ") + "\(seconds) s"
      }
      for row in found { tell(row) }
      rows += found
    }
    return rows
  }

  /// - Parameter speech: gets the adapted features.
  private func ears(_ speech: inout Matrix) throws -> [ParityRow] {
    let samples = try reference.integers("samples").map { Int16(truncatingIfNeeded: $0) }
    let heard = try models.heard(samples)
    let encoded = try reference.matrix("encoder").prefix(heard.rows)
    speech = try models.adaptedSpeech(heard)
    return [
      ParityRow("whisper-encoder", "features, \(heard.rows)", error: relativeError(heard.values, encoded.values)),
      ParityRow("adapter", "speech", error: relativeError(speech.values, try reference.floats("adapter"))),
    ]
  }

  private func eyes() throws -> [ParityRow] {
    let seen = try models.seen(try reference.floats("vision.resized").map { UInt8($0) })
    let adapted = try models.adaptedPicture(seen)
    return [
      ParityRow(
        "vision-encoder", "features", error: relativeError(seen.values, try reference.floats("vision.encoder"))),
      ParityRow("adapter", "vision", error: relativeError(adapted.values, try reference.floats("vision.adapter"))),
    ]
  }

  private func mind(_ speech: Matrix) throws -> [ParityRow] {
    let prompt = MiniOmni2Prompt(.a1a2, speech: speech, ids: models.model.embedding.ids)
    let isSame = try models.globalIDs(prompt) == reference.integers("prompt")
    let columns = try OmniCases.columns(reference.matrix("tokens"))
    let (states, logits) = (try reference.stored("states").tensor().floats(), try reference.matrix("logits"))
    let shape = models.model.configuration
    let starts = (0...MiniOmni2Configuration.audioLayers).map {
      $0 == 0 ? 0 : shape.textVocabularySize + ($0 - 1) * shape.audioVocabularySize
    }
    var worst: (states: Float, logits: Float) = (0, 0)
    var (equal, close, all) = (0, 0, 0)
    try models.follow(columns, from: prompt) { step, hidden, found in
      let size = hidden.values.count
      worst.states = max(worst.states, relativeError(hidden.values, states[(step * size)..<(step * size + size)]))
      let expected = Array(logits.row(step))
      worst.logits = max(worst.logits, relativeError(found, expected))
      let scale = expected.reduce(0) { max($0, abs($1)) }
      for (index, start) in starts.enumerated() {
        let end = index + 1 < starts.count ? starts[index + 1] : found.count
        let (mine, its) = (found[start..<end].best, expected[start..<end].best)
        all += 1
        if mine.index == its.index {
          equal += 1
        } else if its.margin < Self.closest * scale {
          close += 1
        }
      }
    }
    var tokens = ParityRow("audio-token-head", "greedy choices, all tokens given", equal: equal + close, of: all)
    tokens.remark = "\(close) of them too close to call"
    return [
      ParityRow("omni-prompt", "prompt", equal: isSame ? 1 : 0, of: 1),
      ParityRow("llm-step", "states of prefill and \(columns.count) steps", error: worst.states),
      ParityRow("audio-token-head", "logits of both heads", error: worst.logits), tokens,
    ]
  }

  private func voice() throws -> [ParityRow] {
    let frames = Goldens.frames(try (0..<3).map { try reference.integers("codes.\($0)") })
    let wave = try SnacDecoder(try ModelStore().snac(at: codec)).decode(frames)
    return [
      ParityRow("snac-decoder", "whole clip, noise off", error: relativeError(wave, try reference.floats("wave")))
    ]
  }
}

extension ArraySlice<Float> {
  /// Where the greatest number is, and how far the next lies below it.
  fileprivate var best: (index: Int, margin: Float) {
    var (index, first, second) = (startIndex, -Float.infinity, -Float.infinity)
    for (place, value) in zip(indices, self) {
      if value > first {
        (index, second, first) = (place, first, value)
      } else if value > second {
        second = value
      }
    }
    return (index, first - second)
  }
}

extension Double {
  fileprivate func rounded(toPlaces places: Int) -> Double {
    let factor = pow(10, Double(places))
    return (self * factor).rounded() / factor
  }
}
