internal import Glibc

/// How much quieter echo has become: the echo return loss enhancement, ERLE, in dB.
///
/// Power of what came in over power of what went out, in blocks of 100 ms in which the reference sounds, and the median
/// of the blocks. So what the near end says counts for little, as long as it speaks less than half of the time; blocks
/// in which hardly anything came in count for nothing.
struct EchoMeter {
  /// Samples of a block.
  static let block = 1_600
  /// Mean square below which a signal is silence: -50 dBFS for the reference, -70 for what came in.
  private static let silentReference: Float = 1e-5
  private static let silentInput: Float = 1e-7

  private var incoming: Float = 0
  private var outgoing: Float = 0
  private var reference: Float = 0
  private var count = 0
  /// Blocks by their ERLE in whole dB, from ``lowest`` on.
  private var histogram = [Int](repeating: 0, count: 101)
  private static let lowest = -20

  /// Blocks that counted.
  private(set) var blocks = 0
  /// The last one's ERLE.
  private(set) var last: Float?

  /// Adds a frame; blocks must be a multiple of it.
  mutating func add(
    incoming: UnsafeBufferPointer<Float>, outgoing: UnsafeBufferPointer<Float>, reference: UnsafeBufferPointer<Float>
  ) {
    func energy(_ samples: UnsafeBufferPointer<Float>) -> Float {
      samples.reduce(0) { $0 + ($1.isFinite ? $1 * $1 : 0) }
    }
    self.incoming += energy(incoming)
    self.outgoing += energy(outgoing)
    self.reference += energy(reference)
    count += incoming.count
    if count >= Self.block { close() }
  }

  private mutating func close() {
    let samples = Float(count)
    last = nil
    if reference / samples > Self.silentReference, incoming / samples > Self.silentInput {
      // What is rounded to nothing is as quiet as 16 bits can be.
      let loss = 10 * log10f(incoming / max(outgoing, samples * 1e-10))
      last = loss
      histogram[min(max(Int(loss.rounded()) - Self.lowest, 0), histogram.count - 1)] += 1
      blocks += 1
    }
    (incoming, outgoing, reference, count) = (0, 0, 0, 0)
  }

  /// The median, in whole dB; nil if there was no echo to speak of.
  var median: Int? {
    var rest = blocks / 2
    for (index, count) in histogram.enumerated() {
      rest -= count
      if rest < 0 { return index + Self.lowest }
    }
    return nil
  }
}
