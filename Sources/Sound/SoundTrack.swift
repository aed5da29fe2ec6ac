internal import Glibc

/// Sound of one channel that comes block by block and is read at another rate, at places that need not be whole frames.
///
/// Places are counted in frames since the first that was appended. Each sample that is read is a sum over its
/// neighbours, weighted by a sinc under a Kaiser window that cuts off what the reader's rate cannot hold (J. O. Smith,
/// "Digital Audio Resampling"). Read frame by frame at its own rate, the track gives back what it was given.
package struct SoundTrack {
  /// Frames that have been appended.
  package private(set) var end = 0
  /// Frames on either side of a place that take part in its sample.
  package let reach: Int

  /// Weights from distance 0 up, ``fineness`` of them to a frame, and one more to go to.
  private let weights: [Float]
  private let passesAll: Bool
  private var samples: [Float] = []
  /// Place of the first sample that is still kept.
  private var first = 0

  private static let fineness = 512
  /// Zeros of the sinc on either side.
  private static let zeros = 16

  /// - Parameters:
  ///   - rate: of what comes, frames per second.
  ///   - target: of what will be read, nearly.
  package init(rate: Int, readAt target: Int) {
    let share = min(1, Double(target) / Double(rate))
    // Leaves the filter some room to fall off in.
    let cutoff = share == 1 ? 1 : share * 0.94
    passesAll = share == 1
    reach = Int((Double(Self.zeros) / cutoff).rounded(.up))
    weights = Self.weights(cutoff: cutoff, reach: reach)
  }

  private static func weights(cutoff: Double, reach: Int) -> [Float] {
    (0..<reach * fineness + 2).map { index in
      let distance = Double(index) / Double(fineness)
      let phase = Double.pi * distance * cutoff
      // At whole frames exactly 1 or 0 if nothing is cut off.
      let isZero = cutoff == 1 && index > 0 && index % fineness == 0
      let sinc = index == 0 ? 1 : isZero ? 0 : sin(phase) / phase
      return Float(cutoff * sinc * kaiser(distance / Double(reach)))
    }
  }

  package mutating func append(_ block: UnsafeBufferPointer<Float>) {
    samples.append(contentsOf: block)
    end += block.count
  }

  package mutating func appendSilence(_ frames: Int) {
    samples.append(contentsOf: repeatElement(0, count: frames))
    end += frames
  }

  /// Drops what came before, if it is a long way before.
  ///
  /// - Parameter place: the earliest that will be read.
  package mutating func forget(before place: Double) {
    let spare = Int(place.rounded(.down)) - reach - 1 - first
    // In few large pieces, since what is left has to be moved.
    guard spare >= max(4_096, samples.count / 2) else { return }
    let gone = min(spare, samples.count)
    samples.removeFirst(gone)
    first += gone
  }

  /// Whether all that belongs to a place has come.
  package func covers(_ place: Double) -> Bool {
    isPlain(place) ? Int(place) < end : Int(place.rounded(.down)) + reach < end
  }

  /// Fills `target` with samples at `place`, `place + step` and so on. What is before the beginning, behind the end, or
  /// forgotten, is silence.
  package func read(into target: inout [Float], count: Int, from place: Double, step: Double) {
    for index in 0..<count {
      let here = place + Double(index) * step
      let whole = here.rounded(.down)
      let frame = Int(whole) - first
      if isPlain(here) {
        target[index] = samples.indices.contains(frame) ? samples[frame] : 0
      } else {
        target[index] = sample(beside: frame, fraction: here - whole)
      }
    }
  }

  private func isPlain(_ place: Double) -> Bool { passesAll && place == place.rounded(.down) }

  private func sample(beside frame: Int, fraction: Double) -> Float {
    let backward = side(from: frame, by: -1, distance: fraction)
    let forward = side(from: frame + 1, by: 1, distance: 1 - fraction)
    return backward + forward
  }

  /// The part of the sum on one side: the sample at `frame`, which is `distance` away, and those beyond.
  private func side(from frame: Int, by direction: Int, distance: Double) -> Float {
    let offset = distance * Double(Self.fineness)
    let low = Int(offset)
    let blend = Float(offset - Double(low))
    // How many of the neighbours are there.
    let before = direction > 0 ? max(0, -frame) : max(0, frame - (samples.count - 1))
    let after = min(reach, direction > 0 ? samples.count - frame : frame + 1)
    guard before < after else { return 0 }
    var sum: Float = 0
    samples.withUnsafeBufferPointer { samples in
      weights.withUnsafeBufferPointer { weights in
        for tap in before..<after {
          let at = low + tap * Self.fineness
          guard at + 1 < weights.count else { break }
          let weight = weights[at] + (weights[at + 1] - weights[at]) * blend
          sum += weight * samples[frame + direction * tap]
        }
      }
    }
    return sum
  }

  /// The window, for distances 0 to 1: about 80 dB between what passes and what does not.
  private static func kaiser(_ distance: Double) -> Double {
    let beta = 8.0
    return distance >= 1 ? 0 : bessel(beta * (1 - distance * distance).squareRoot()) / bessel(beta)
  }

  /// The modified Bessel function of the first kind and order 0, by its series.
  private static func bessel(_ x: Double) -> Double {
    var (sum, term, index) = (1.0, 1.0, 1.0)
    while term > sum * 1e-12 {
      term *= (x / (2 * index)) * (x / (2 * index))
      sum += term
      index += 1
    }
    return sum
  }
}
