internal import Tensors

/// An answer on its way through a ``SnacDecoder``: what each convolution has to remember, and what has been given out.
///
/// Convolutions look ahead, so a sample is final only ``SnacConfiguration/decoderDelay`` samples later. To be heard
/// sooner, the first frames may be given out as if nothing followed them; where the final signal reaches them it takes
/// over within ``SnacConfiguration/hop`` samples.
public final class SnacStream {
  public let model: SnacModel
  /// Frames at the beginning that do not wait for those that follow.
  public let early: Int
  /// Frames that have come.
  public internal(set) var frames = 0
  /// Samples that have been given out.
  public private(set) var given = 0

  var noise: SnacNoise
  let state: SnacDecoderState
  /// A copy of the state that is brought to an end early.
  let provisional: SnacDecoderState?
  /// Samples after those given out that the final ones are faded into.
  private var held: [Float] = []
  private var heldStart = 0

  public init(_ model: SnacModel, noise: SnacNoise = .none, early: Int = 0) {
    (self.model, self.noise, self.early) = (model, noise, early)
    state = SnacDecoderState(model)
    provisional = early > 0 ? SnacDecoderState(model) : nil
    if early > 0 { held.reserveCapacity(model.configuration.hop) }
  }

  /// Makes it ready for another answer.
  public func reset(noise: SnacNoise) {
    state.reset()
    (frames, given, heldStart, self.noise) = (0, 0, 0, noise)
    held.removeAll(keepingCapacity: true)
  }

  /// Gives out samples, but for those that have been before.
  ///
  /// - Parameter range: their places in the answer.
  func give(_ samples: UnsafePointer<Float>, _ range: Range<Int>, into out: inout [Float]) {
    guard range.upperBound > given else { return }
    var place = given
    while place < min(range.upperBound, heldStart + held.count) {
      let share = Float(place - heldStart + 1) / Float(held.count + 1)
      let before = held[place - heldStart]
      out.append(before + share * (samples[place - range.lowerBound] - before))
      place += 1
    }
    out.append(
      contentsOf: UnsafeBufferPointer(
        start: samples + (place - range.lowerBound), count: range.upperBound - place))
    given = range.upperBound
  }

  /// Gives out provisional samples, and holds the last of them back to fade from.
  func giveEarly(_ samples: UnsafePointer<Float>, _ range: Range<Int>, into out: inout [Float]) {
    let end = max(given, range.upperBound - model.configuration.hop)
    if end > range.lowerBound { give(samples, range.lowerBound..<end, into: &out) }
    held.removeAll(keepingCapacity: true)
    heldStart = end
    let rest = samples + (end - range.lowerBound)
    held.append(contentsOf: UnsafeBufferPointer(start: rest, count: max(0, range.upperBound - end)))
  }
}

/// What the decoder's layers keep between frames.
final class SnacDecoderState {
  let latent: RowHistory
  let blocks: [Block]
  let output: RowHistory
  /// Samples that have come out.
  var samples = 0

  struct Block {
    let input: RowHistory
    let units: ResidualHistory
  }
  /// Rows that each block's transposed convolution has made, its padding included.
  var made: [Int]

  init(_ model: SnacModel) {
    let decoder = model.decoder
    let taps = DepthwiseConvolution.taps
    latent = RowHistory(columns: model.configuration.latentWidth, most: taps - 1, padding: taps / 2)
    blocks = decoder.blocks.map {
      Block(
        input: RowHistory(columns: $0.transposed.inputs / 2, most: 1, padding: 1),
        units: ResidualHistory($0.units, columns: $0.columns))
    }
    made = decoder.blocks.map { _ in 0 }
    output = RowHistory(columns: decoder.output.count / taps, most: taps - 1, padding: taps / 2)
  }

  func reset() {
    latent.reset()
    for block in blocks {
      block.input.reset()
      block.units.reset()
    }
    output.reset()
    for index in made.indices { made[index] = 0 }
    samples = 0
  }

  func copy(_ other: SnacDecoderState) {
    latent.copy(other.latent)
    for (block, others) in zip(blocks, other.blocks) {
      block.input.copy(others.input)
      block.units.copy(others.units)
    }
    output.copy(other.output)
    for index in made.indices { made[index] = other.made[index] }
    samples = other.samples
  }
}
